"""A model of four layers whose first one is dead: a short form of `make layers`, in each way of serving."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from chaos.layers import play
from chaos.layers_table import HEALTHY, KILLED, REFUSED, Way
from tests.integration.models import LITELLM
from tests.integration.real_proxy import REAL_PROXY

TASKS = 4

WAYS = [
    pytest.param(Way.ROUTER, ("500", "cut"), marks=LITELLM),
    (Way.DIRECT, ("500",)),
    pytest.param(Way.PROXY, (HEALTHY, "500", "garbage", "policy", "cut"), marks=[*REAL_PROXY, pytest.mark.slow]),
    pytest.param(Way.ROUTER, (HEALTHY, REFUSED, "empty", "error", "stall", KILLED), marks=[*LITELLM, pytest.mark.slow]),
    pytest.param(Way.DIRECT, (KILLED,), marks=pytest.mark.slow),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("way", "faults"), WAYS)
async def test_all_tasks_complete_in_the_next_layer_and_the_books_are_the_bill(
    way: Way, faults: Sequence[str], tmp_path: Path
) -> None:
    counts = [count async for count in play(way, faults, TASKS, tmp_path)]
    assert [count.fault for count in counts] == list(faults)
    assert [count.trouble for count in counts] == [None] * len(faults), counts
