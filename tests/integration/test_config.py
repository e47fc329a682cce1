"""`--config` and OMNI_CONFIG: which file is in force for a face, its commands and the engine that it starts."""

import json
from pathlib import Path

import pytest
import yaml

from tests.integration.house import House, call, ended, house

pytestmark = pytest.mark.timeout(180)  # each command is a process of its own


def another(here: House, folder: Path, name: str = "other") -> Path:
    """Write a settings file elsewhere, with one executor of that name."""
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({"executors": {name: here.workshop()}}), encoding="utf-8")
    return file


async def test_every_command_reads_the_file_that_is_named_wherever_that_stands(tmp_path: Path):
    async with house(tmp_path) as here:
        here.configure(executors={"usual": here.workshop()})
        file = str(another(here, tmp_path))
        _, printed = await here.cli("--config", file, "executors", "--no-check", "--json")
        assert [row["name"] for row in json.loads(printed)] == ["other"]
        assert f"settings: {file}" in (await here.cli("mode", "--config", file))[1]
        assert f"settings {file}" in (await here.cli("engine", "status", "--config", file))[1]


async def test_a_file_that_is_not_there_is_said_and_stops_no_face(tmp_path: Path):
    async with house(tmp_path) as here:
        gone = str(tmp_path / "gone.yaml")
        async with here.client("--config", gone) as client:
            mode = await call(client, "system_mode")
            assert any("gone.yaml: is not there" in problem for problem in mode["problems"])


async def test_the_engine_that_a_face_starts_runs_the_tasks_of_its_file(tmp_path: Path):
    async with house(tmp_path) as here:
        here.configure(executors={"usual": here.workshop()})
        file = another(here, tmp_path)
        async with here.client("--config", str(file)) as client:
            task = await call(client, "submit_task", description="x", type="echo")
            assert (await ended(client, task["task_id"]))["served_by"] == "other"
            mode = await call(client, "system_mode")
            assert (mode["settings"], list(mode["executors"])) == (str(file), ["other"])


async def test_a_face_with_another_file_than_its_engine_says_so_and_how_to_change_it(tmp_path: Path):
    async with house(tmp_path) as here:
        here.configure(executors={"usual": here.workshop()})
        file = another(here, tmp_path)
        async with here.client() as first:
            task = await call(first, "submit_task", description="x", type="echo")
            assert (await ended(first, task["task_id"]))["served_by"] == "usual"
            async with here.client("--config", str(file)) as second:
                task = await call(second, "submit_task", description="y", type="echo")
                advice = f"omni-mcp engine restart --home {here.home.root} --config {file}"
                assert f"reads {here.home.servers}, this face {file}" in task["engine"]
                assert advice in task["engine"]
                assert (await ended(second, task["task_id"]))["served_by"] == "usual"
                assert advice in (await call(second, "system_mode"))["engine"]
            _, status = await here.cli("engine", "status", "--json", "--config", str(file))
            assert json.loads(status)["settings"] == str(here.home.servers)
            assert advice in json.loads(status)["note"]
            assert "note" not in json.loads((await here.cli("engine", "status", "--json"))[1])
            assert (await here.cli(*advice.removeprefix("omni-mcp ").split()))[0] == 0
            task = await call(first, "submit_task", description="z", type="echo")
            assert "omni-mcp engine restart --home" in task["engine"]
            assert (await ended(first, task["task_id"]))["served_by"] == "other"


async def test_a_client_is_given_the_file_that_its_installation_names(tmp_path: Path):
    async with house(tmp_path) as here:
        file = another(here, tmp_path)
        _, printed = await here.cli("install", "json", "--config", str(file))
        entry = json.loads(printed[: printed.index("\n}\n") + 2])["mcpServers"]["omni"]
        assert entry["env"] == {"OMNI_CONFIG": str(file)}
