"""The rows of docs/foreign-servers.md, taken from the page and run through our face with the real servers."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.house import call, ended, house

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / ".cache/npm/node_modules"
PAGE = (ROOT / "docs/foreign-servers.md").read_text(encoding="utf-8")
ROWS: dict[str, dict[str, Any]] = {
    name: row
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for name, row in yaml.safe_load(block)["executors"].items()
}


def here_already(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row that starts what `npx` would fetch: the same package in the same version, already installed."""
    _, package, *more = row["args"]
    name, _, version = package.rpartition("@")
    about = json.loads((PACKAGES / name / "package.json").read_text())
    assert about["version"] == version
    [program] = about["bin"].values()
    return {**row, "command": "node", "args": [str(PACKAGES / name / program), *more]}


@pytest.mark.npm
@pytest.mark.timeout(180)
@pytest.mark.skipif(not (PACKAGES / "@modelcontextprotocol/server-memory").exists(), reason="make test installs them")
async def test_a_task_runs_through_each_row_of_the_page(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    async with house(tmp_path) as here:
        here.home.dotenv.write_text(f"NOTES={notes}\nMEMORY_FILE={tmp_path / 'memory.json'}\n")
        here.configure(executors={name: here_already(row) for name, row in ROWS.items()})
        async with here.client() as client:

            async def done(kind: str, description: str, *, after: tuple[str, ...] = ()) -> tuple[str, str]:
                task = await call(client, "submit_task", description=description, type=kind, after=list(after))
                status = await ended(client, task["task_id"])
                assert status["state"] == "completed", status
                return task["task_id"], (await call(client, "task_result", task_id=task["task_id"]))["text"]

            assert "hello there" in (await done("echo", "hello there"))[1]
            first, _ = await done("remember", "the key is under the mat")
            assert (await done("recall", "mat", after=(first,)))[1] == "the key is under the mat"
            written, _ = await done("write", "to be kept")
            assert (notes / f"{written}.md").read_text() == "to be kept"
    assert {"everything", "remember", "recall", "write"} == set(ROWS)
