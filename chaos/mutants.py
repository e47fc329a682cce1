"""`make mutants`: take one safeguard away at a time, in a copy of the package, and see a named test fail for it.

A mutant that survives is a promise that nothing checks.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("omni_mcp", "tests", "pyproject.toml")
LIMIT = 180.0
"""Seconds for one test."""
BROKEN = 1
"""Exit code of pytest: it ran, and a test failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A safeguard to take away, and the test that has to notice."""

    name: str
    file: str
    was: str
    becomes: str
    test: str


def _unit(test: str) -> str:
    return f"tests/unit/{test}"


MUTANTS = (
    Mutant(
        name="the state guard of begin",
        file="ledger/statements.py",
        was='where id = :id and state = \'idle\'\n    """\n    + _MOVED\n)\nNEW_ATTEMPT',
        becomes='where id = :id\n    """\n    + _MOVED\n)\nNEW_ATTEMPT',
        test=_unit("test_sqlite_ledger.py::test_a_task_is_begun_once"),
    ),
    Mutant(
        name="the state guard of bind",
        file="ledger/statements.py",
        was="+ \" and state = 'dispatching'\"",
        becomes='+ ""',
        test=_unit("test_sqlite_ledger.py::test_a_bound_task_is_not_bound_again"),
    ),
    Mutant(
        name="terminal for ever",
        file="ledger/sql/0001_initial.sql",
        was="when old.open = 0 and old.state <> new.state",
        becomes="when 0",
        test=_unit("test_sqlite_ledger.py::test_the_file_itself_refuses_to_wake_the_dead"),
    ),
    Mutant(
        name="the attempt fence",
        file="ledger/statements.py",
        was=" and attempt = :attempt and owner = :owner",
        becomes=" and owner = :owner",
        test=_unit("test_sqlite_ledger.py::test_only_the_attempt_and_owner_that_hold_a_task_move_it"),
    ),
    Mutant(
        name="the owner check",
        file="ledger/statements.py",
        was=" and attempt = :attempt and owner = :owner",
        becomes=" and attempt = :attempt",
        test=_unit("test_sqlite_ledger.py::test_only_the_attempt_and_owner_that_hold_a_task_move_it"),
    ),
    Mutant(
        name="the history trigger",
        file="ledger/sql/0001_initial.sql",
        was="when old.state <> new.state or old.waiting_for is not new.waiting_for",
        becomes="when 0",
        test=_unit(
            "test_sqlite_ledger.py::test_a_task_goes_from_submit_to_its_result_and_its_history_has_no_gap",
        ),
    ),
    Mutant(
        name="the re-run of the surviving units",
        file="ledger/writer.py",
        was="                    self._commit_one_by_one(units)\n",
        becomes="                    pass\n",
        test=_unit(
            "test_writer.py::test_when_a_unit_ends_the_whole_transaction_the_others_are_written_once_and_answered_truly"
        ),
    ),
    Mutant(
        name="the look at open tasks in the write of the idle exit",
        file="ledger/statements.py",
        was="exists (select 1 from tasks where open = 1)",
        becomes="false",
        test=_unit("test_engine_idle.py::test_a_submit_at_each_moment_of_the_idle_exit_always_runs"),
    ),
    Mutant(
        name="the look whether a unit has ended the transaction",
        file="ledger/writer.py",
        was="                if not db.in_transaction:\n                    return False\n",
        becomes="",
        test=_unit(
            "test_writer.py::test_when_a_unit_ends_the_whole_transaction_the_others_are_written_once_and_answered_truly"
        ),
    ),
    Mutant(
        name="the sweep of what a dead engine has left",
        file="processes.py",
        was="    ended: dict[int, str] = {}\n",
        becomes="    return Swept(ended=[], remaining=[])\n",
        test=_unit("test_processes.py::test_a_sweep_ends_the_tree_of_a_mark_and_nothing_else"),
    ),
    Mutant(
        name="the proof that the old owner is dead",
        file="engine.py",
        was="if owner == self.owner or await self.is_over(owner)}",
        becomes="if owner or await self.is_over(owner)}",
        test=_unit("test_engine.py::test_a_lapsed_lease_is_not_a_licence"),
    ),
    Mutant(
        name="consent",
        file="decide/recovery.py",
        was="    if recovery in HARMLESS:",
        becomes="    if recovery:",
        test=_unit("test_engine.py::test_a_run_of_a_dead_engine_that_may_not_be_repeated_waits_for_consent"),
    ),
    Mutant(
        name="bind before the executor is told",
        file="attempt.py",
        was="                    await self._bind()\n                    outcome = await self._run()",
        becomes="                    outcome = await self._run()",
        test=_unit("test_engine.py::test_the_choice_is_on_disk_before_the_executor_is_told"),
    ),
)


def survives(mutant: Mutant) -> str | None:
    """Return how a mutant got through, None when its test failed as it has to."""
    with tempfile.TemporaryDirectory(prefix="omni-mutant-") as folder:
        copy = Path(folder)
        _copy(copy)
        file = copy / "omni_mcp" / mutant.file
        source = file.read_text(encoding="utf-8")
        if source.count(mutant.was) != 1:
            return f"{mutant.file} has changed: what is to be taken away is there {source.count(mutant.was)} times"
        file.write_text(source.replace(mutant.was, mutant.becomes), encoding="utf-8")
        code = _run(copy, [mutant.test])
    return None if code == BROKEN else f"{mutant.test} ended with {code}"


def _copy(folder: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def _run(folder: Path, tests: Sequence[str]) -> int:
    """Run tests against the package in a folder; returns pytest's exit code."""
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(argv, cwd=folder, env=env, check=False, capture_output=True, timeout=LIMIT).returncode


def main() -> int:
    """Try all; returns 1 when the tests fail without a mutant, or a mutant survives."""
    with tempfile.TemporaryDirectory(prefix="omni-mutant-") as folder:
        _copy(Path(folder))
        healthy = _run(Path(folder), sorted({mutant.test for mutant in MUTANTS}))
    if healthy:
        print(f"  ✗ the tests fail without a mutant, too ({healthy})", flush=True)
    survivors = 0
    for mutant in MUTANTS:
        how = survives(mutant)
        survivors += how is not None
        print(f"  {'✗' if how else '✓'} without {mutant.name}: {how or 'caught'}", flush=True)
    return int(bool(healthy) or survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
