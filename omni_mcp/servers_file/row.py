"""What all rows and sections share."""

from pydantic import BaseModel, ConfigDict


class Row(BaseModel):
    """Base: a mapping of the file, whose keys are explained by what stands below each of them."""

    # Built when first used: what nobody reads a file with costs no start.
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False, defer_build=True
    )
