"""The short form of `make fuzz`: some hundred inputs, over both eras of the protocol."""

from pathlib import Path

import pytest

from tests.fuzz.run import fuzz


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_no_input_of_a_tool_brings_out_a_traceback_or_a_secret_or_loses_a_task(mode: str, tmp_path: Path) -> None:
    calls = fuzz(tmp_path, inputs=150, seed=7, mode=mode)
    assert sum(calls.values()) >= 150
