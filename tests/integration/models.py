"""What the tests of the model layer share: their marks and a book for usage rows."""

import pytest

from omni_mcp.budget import Allowance
from omni_mcp.task import Usage

LITELLM = [
    pytest.mark.litellm,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore:Item 'summary' on TypedDict"),  # litellm's own types
    pytest.mark.filterwarnings("ignore:Accessing the 'model_"),
]

PRICES = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}


class Book:
    """Keeps the usage rows that close."""

    def __init__(self) -> None:
        self.closed: list[Usage] = []

    async def open_usage(self, usage: Usage, allowance: Allowance | None = None) -> int:  # pylint: disable=unused-argument
        return usage.attempt

    async def close_usage(self, usage_id: int, usage: Usage) -> None:
        assert usage_id == usage.attempt
        self.closed.append(usage)
