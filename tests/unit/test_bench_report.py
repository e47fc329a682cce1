"""The page of benchmarks is what was measured, and the simulated day obeys the arithmetic of queues."""

import json
import re
from dataclasses import replace

import pytest

from benchmarks import scale
from benchmarks.empty import MEASURED
from benchmarks.report import DOCS, pages, picture, table
from benchmarks.run import PARTS

CHEAP = scale.Costs(tool_call=0.001, task=0.001, life=0.0001, model_call=0.001)
SMALL = scale.Day(tasks=20_000)


def test_the_pages_and_pictures_are_made_of_what_was_measured() -> None:
    made = pages(json.loads(MEASURED.read_text(encoding="utf-8")))
    assert {name: (DOCS / name).read_text(encoding="utf-8") for name in made} == made, "python -m benchmarks.report"


def test_every_part_says_what_it_measures() -> None:
    assert [name for name, part in PARTS.items() if len(part.__doc__ or "") < 100 or not callable(part.main)] == []


def test_a_goal_that_was_missed_is_not_hidden() -> None:
    row = {"name": "a thing", "unit": "ms", "ours": 3.0, "other": 1.0, "ratio": 3.0}
    assert "**≤ 2.0 ×: missed**" in table([{**row, "at_most": 2.0}])
    assert "≤ 4.0 ×: met" in table([{**row, "at_most": 4.0}])
    assert "missed" not in table([row])


def test_bars_of_one_unit_have_one_scale_and_names_are_escaped() -> None:
    rows = [
        {"name": "<a>", "unit": "ms", "ours": 1.0, "other": 4.0, "ratio": 0.25},
        {"name": "b", "unit": "ms", "ours": 2.0, "other": 4.0, "ratio": 0.5},
    ]
    drawn = picture("t", rows)
    assert "&lt;a&gt;" in drawn
    assert re.findall(r'class="\w+" x="0" y="\d+" width="([\d.]+)" height="14"', drawn) == [
        "150.0",
        "600.0",
        "300.0",
        "600.0",
    ]


def test_a_day_has_all_its_tasks_and_the_same_dice_give_the_same_day() -> None:
    found = scale.simulated(CHEAP, SMALL, processes=(1,))
    assert found == scale.simulated(CHEAP, SMALL, processes=(1,))
    assert found != scale.simulated(CHEAP, SMALL, processes=(1,), seed=2)
    busy = SMALL.tasks * (4 * CHEAP.tool_call + CHEAP.task + 10 * CHEAP.model_call) / scale.DAY
    assert found.process[1].used == pytest.approx(busy, rel=0.02)  # some runs go on into the next day
    assert found.running[0] == pytest.approx(SMALL.tasks / scale.DAY * SMALL.mean_run, rel=0.5)


def test_what_a_process_has_no_room_for_waits_and_another_process_helps() -> None:
    dear = replace(CHEAP, tool_call=1.2)
    found = scale.simulated(dear, SMALL, processes=(1, 4)).process
    assert found[1].used == 1.0
    assert found[1].p50 > found[4].p50
    assert found[4].longest < 600
