"""`omni-mcp init` as a person runs it: what it finds, writes, refuses and says, and that the file then works."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from omni_mcp.settings import load
from tests.integration.house import House, call, ended, house

PLAN = (Path(__file__).parents[1] / "data" / "plan_config.yaml").read_text(encoding="utf-8")

pytestmark = pytest.mark.timeout(180)  # each command is a process of its own

NOWHERE = ("--gateway", "http://127.0.0.1:1")
"""A proxy that nobody runs: so that none is looked for at its usual port, where this machine may have one."""


def schema_beside(here: House) -> Any:
    return json.loads((here.home.root / "servers.schema.json").read_text(encoding="utf-8"))


async def as_json(here: House, *arguments: str) -> dict[str, Any]:
    code, printed = await here.cli("init", *arguments, "--json")
    assert code == 0, printed
    return json.loads(printed)


async def test_a_first_file_is_written_with_its_schema_shown_and_loads(tmp_path: Path):
    async with house(tmp_path) as here:
        code, printed = await here.cli("init")
        assert code == 0, printed
        text = here.home.servers.read_text(encoding="utf-8")
        assert text.strip() in printed
        assert text.startswith("# yaml-language-server: $schema=servers.schema.json\n")
        assert schema_beside(here)["title"].startswith("servers.yaml")
        assert f"wrote {here.home.servers}" in printed
        assert "next: omni-mcp executors" in printed
        assert not load(here.home).problems
        assert stat.S_IMODE(here.home.servers.stat().st_mode) == 0o600


async def test_a_file_that_is_there_is_kept_until_force_and_then_backed_up(tmp_path: Path):
    async with house(tmp_path) as here:
        here.home.servers.write_text("# mine\n")
        code, printed = await here.cli("init")
        assert (code, here.home.servers.read_text()) == (1, "# mine\n")
        assert "--force" in printed
        first = await as_json(here, "--force")
        second = await as_json(here, "--force")
        assert Path(first["backup"]).read_text(encoding="utf-8") == "# mine\n"
        assert first["backup"] != second["backup"]


async def test_print_writes_nothing_at_all(tmp_path: Path):
    async with house(tmp_path) as here:
        before = sorted(here.home.root.iterdir())
        shown = await as_json(here, "--print")
        assert shown["written"] is False
        assert "executors:" in shown["text"]
        assert sorted(here.home.root.iterdir()) == before


async def test_what_is_on_path_and_the_keys_of_the_dotenv_are_found_by_name(tmp_path: Path):
    async with house(tmp_path) as here:
        program = tmp_path / "bin" / "claude"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\necho 2.1.0\n")
        program.chmod(0o755)
        here.home.dotenv.write_text("DEEPSEEK_API_KEY=sk-very-secret\n")
        code, printed = await here.cli("init", path=f"{program.parent}:{os.environ['PATH']}")
        assert code == 0
        assert f"found claude 2.1.0: {program}" in printed
        assert "found the variables DEEPSEEK_API_KEY" in printed
        assert "sk-very-secret" not in printed + here.home.servers.read_text()
        servers = load(here.home).servers
        assert set(servers.executors) == {"assistant", "claude_code"}
        assert servers.models.model_for("coding") == "strong"


async def test_the_plans_file_becomes_a_servers_yaml_that_says_what_was_rewritten(tmp_path: Path):
    async with house(tmp_path) as here:
        source = tmp_path / "config.yaml"
        source.write_text(PLAN)
        here.home.dotenv.write_text("ANTHROPIC_API_KEY=a\nGITHUB_LITELLM_KEY=b\n")
        shown = await as_json(here, "--from", str(source))
        assert "problems" not in shown
        assert {each["where"] for each in shown["rewrites"]} >= {"model_list.0", "litellm_settings.temperature"}
        assert all(each["why"] for each in shown["rewrites"])
        assert source.read_text() == PLAN
        ours = load(here.home)
        assert not ours.problems
        assert not ours.rewrites
        theirs = load(type(here.home)(here.home.root, source))
        assert ours.servers == theirs.servers


async def test_a_proxy_that_is_named_serves_the_calls_of_its_own_configuration(tmp_path: Path):
    async with house(tmp_path) as here:
        source = tmp_path / "config.yaml"
        rows = "".join(
            f"  - {{model_name: {name}, litellm_params: {{model: a/b}}}}\n" for name in ("auto-chat", "auto-claude")
        )
        source.write_text(f"model_list:\n{rows}general_settings: {{master_key: os.environ/LITELLM_MASTER_KEY}}\n")
        here.home.dotenv.write_text("LITELLM_MASTER_KEY=sk-m\n")
        shown = await as_json(here, "--from", str(source), *NOWHERE)
        gateway = load(here.home).servers.models.gateway
        assert gateway is not None
        assert gateway.base_url == NOWHERE[1]
        assert gateway.use == {"coding": "auto-claude", "general": "auto-chat", "default": "auto-chat"}
        assert any("start the proxy" in step for step in shown["next_steps"])
        assert "sk-m" not in json.dumps(shown)


async def test_a_key_that_stands_in_a_file_in_plain_is_not_shown(tmp_path: Path):
    async with house(tmp_path) as here:
        source = tmp_path / "mcp.json"
        source.write_text('{"mcpServers": {"x": {"command": "x", "env": {"TOKEN": "sk-plain"}}}} // mine')
        code, printed = await here.cli("init", "--from", str(source))
        assert code == 0
        assert "sk-plain" not in printed
        assert load(here.home).servers.executors["x"].env == {"TOKEN": "sk-plain"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("gone.yaml", None, "is not there"),
        ("mcp.json", "{", "is no JSON"),
        ("x.yaml", "executors: {}", "has no part of the plan's config.yaml"),
        ("x.yaml", "a: [", "line 1"),
    ],
)
async def test_a_file_that_is_none_of_these_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, text: str | None, said: str
):
    async with house(tmp_path) as here:
        if text is not None:
            (tmp_path / name).write_text(text)
        code, printed = await here.cli("init", "--from", str(tmp_path / name))
        assert code == 1
        assert said in printed
        assert "next: " in printed
        assert not here.home.servers.exists()


async def test_init_does_not_write_beside_a_file_that_is_named(tmp_path: Path):
    async with house(tmp_path) as here:
        code, printed = await here.cli("init", "--config", str(tmp_path / "other.yaml"))
        assert code == 1
        assert "is in force" in printed
        assert not here.home.servers.exists()


async def test_a_server_of_a_client_that_names_no_tool_says_which_it_has(tmp_path: Path):
    async with house(tmp_path) as here:
        bench = here.workshop()
        source = tmp_path / "mcp.json"
        source.write_text(json.dumps({"mcpServers": {"bench": {key: bench[key] for key in ("command", "args")}}}))
        assert (await here.cli("init", "--from", str(source)))[0] == 0
        code, printed = await here.cli("executors", "--json")
        row = next(row for row in json.loads(printed[printed.index("[\n") :]) if row["name"] == "bench")
        assert row["usable"] is False
        assert "has no tool run_task, but: " in row["detail"]
        assert "echo" in row["tools"]
        assert code == 1
        async with here.client() as client:
            task = await call(client, "submit_task", description="hello", executor="bench")
            waits = await ended(client, task["task_id"])
            assert (waits["state"], waits["waiting_for"]) == ("waiting", "executor")
            assert "`tool`" in waits["text"]


async def test_what_is_to_be_done_next_plans_the_same_file_again(tmp_path: Path):
    async with house(tmp_path) as here:
        source = tmp_path / "my mcp.json"
        source.write_text('{"mcpServers": {"x": {"command": "x"}}}')
        same = f"omni-mcp init --from '{source}' --gateway {NOWHERE[1]} --home {here.home.root}"
        shown = await as_json(here, "--from", str(source), *NOWHERE, "--print")
        assert shown["next_steps"][0] == f"{same} writes it; --force if there is one already"
        assert any(
            step.endswith(f"then {same} --force; or init --from its config.yaml") for step in shown["next_steps"]
        )
        here.home.servers.write_text("# mine\n")
        assert f"{same} --print to look" in (await here.cli("init", "--from", str(source), *NOWHERE))[1]


async def test_models_that_lack_only_their_variables_need_the_dotenv_and_no_other_file(tmp_path: Path):
    async with house(tmp_path) as here:
        source = tmp_path / "config.yaml"
        source.write_text("model_list: [{model_name: m, litellm_params: {model: a/b, api_key: os.environ/NOT_SET_X}}]")
        steps = "\n".join((await as_json(here, "--from", str(source)))["next_steps"])
        assert f"one NAME=value a line: {here.home.dotenv}" in steps
        assert "give it a model" not in steps


async def test_a_key_is_shown_wherever_it_stands_in_the_file_that_is_written_and_never_at_the_terminal(tmp_path: Path):
    keys = [f"planted-{number}" for number in range(7)]
    async with house(tmp_path) as here:
        servers = {
            "a": {"command": "x", "args": [f"--api-key={keys[0]}", "--token", keys[1], "--port", "99"]},
            "b": {"command": "x", "args": ["--header", f"Authorization: Bearer {keys[2]}", f"API_KEY={keys[3]}"]},
            "c": {"url": f"https://me:{keys[4]}@h.example/mcp?api_key={keys[5]}&page=7"},
        }
        client, litellm = tmp_path / "mcp.json", tmp_path / "config.yaml"
        client.write_text(json.dumps({"mcpServers": servers}))
        row = {"model": "a/b", "extra_headers": {"Authorization": f"Bearer {keys[6]}"}}
        litellm.write_text(json.dumps({"model_list": [{"model_name": "m", "litellm_params": row}]}))
        for source, planted in ((client, keys[:6]), (litellm, keys[6:])):
            printed = "".join(
                [
                    (await here.cli("init", "--from", str(source), *more))[1]
                    for more in (["--print"], ["--json", "--force"])
                ]
            )
            assert "planted-" not in printed
            assert "…" in printed
            assert all(key in here.home.servers.read_text(encoding="utf-8") for key in planted)


async def test_a_problem_names_its_file_once(tmp_path: Path):
    async with house(tmp_path) as here:
        here.home.servers.write_text("limits: {max_atempts: 1}\n")
        printed = (await here.cli("executors"))[1]
        assert "problem: servers.yaml line 1" in printed
