"""Engines that die right after their start are counted, told and slowed down."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from omni_mcp.crashes import Crashes, counted, is_paused, look
from omni_mcp.home import Home
from omni_mcp.ledger.owners import try_hold


def dies(home: Home, *, after_its_first_turn: bool = False) -> None:
    with pytest.raises(ZeroDivisionError):
        _die(home, after_its_first_turn)


def _die(home: Home, after_its_first_turn: bool) -> None:
    with counted(home) as is_well:
        if after_its_first_turn:
            is_well()
        raise ZeroDivisionError


def test_early_deaths_in_a_row_are_counted_and_told_with_the_last_word_of_the_log(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.engine_log.parent.mkdir()
    home.engine_log.write_text("  | Traceback\n  | ZeroDivisionError: division by zero\n  +-----\n\n")
    assert look(home) is None
    for count in (1, 2):
        dies(home)
        found = look(home)
        assert found is not None
        assert found.count == count
        assert is_paused(home) == (count > 1)
    assert "died 2 times in a row right after its start: ZeroDivisionError: division by zero" in str(look(home))


def test_an_engine_that_comes_up_or_ends_in_order_is_no_crash(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with counted(home):
        pass
    assert look(home) is None
    with pytest.raises(asyncio.CancelledError), counted(home):
        raise asyncio.CancelledError
    assert look(home) is None
    dies(home, after_its_first_turn=True)
    assert look(home) is None


def test_while_an_engine_is_starting_nothing_is_wrong(tmp_path: Path) -> None:
    home = Home(tmp_path)
    dies(home)
    held = try_hold(home.engine_lock)
    assert held is not None
    with held:
        assert look(home) is None
    assert look(home) is not None


def test_the_pause_doubles_and_is_bounded() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    pauses = [Crashes(count=n, at=at, reason="").next_start - at for n in (1, 2, 3, 4, 99)]
    assert pauses == [timedelta(seconds=s) for s in (0, 2, 4, 8, 60)]


@pytest.mark.parametrize("said", ["", "no json", json.dumps({"count": 1}), json.dumps([1]), '{"count": "x", "at": 3}'])
def test_a_file_that_cannot_be_read_stops_nobody(said: str, tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.engine_crashes.write_text(said)
    assert look(home) is None
    dies(home)
    found = look(home)
    assert found is not None
    assert (found.count, found.reason) == (1, "its log is empty")
