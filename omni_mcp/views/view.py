"""What all views share.

Fields that hold nothing are left out of an answer (`shown`), so that a model reads only what is so.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """Base: plain data that can be shown."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    def shown(self) -> dict[str, Any]:
        """Return it as JSON-able data without the empty fields."""
        return self.model_dump(mode="json", exclude_none=True)
