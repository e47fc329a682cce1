"""From rows to specs: defaults, and what an executor that cannot be used says."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from omni_mcp.contract import GATEWAY_HEADERS, GATEWAY_TOKEN, GATEWAY_URL
from omni_mcp.executors.surroundings import surroundings
from omni_mcp.file_check.problem import Problem
from omni_mcp.home import Home
from omni_mcp.presets import ExecutorSpec, candidates, model_of, resolve
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.servers_file.models import Models
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.settings import Settings, load
from omni_mcp.task import Recovery

NONE = Models()
MODELS = Models(model_list=({"model_name": "m", "litellm_params": {"model": "openai/m"}},))


def settings_of(tmp_path: Path, models: Models = NONE, **rows: ExecutorRow) -> Settings:
    return Settings(home=Home(tmp_path), servers=ServersFile(executors=rows, models=models))


def spec_of(tmp_path: Path, models: Models = NONE, **row: Any) -> ExecutorSpec:
    return resolve(settings_of(tmp_path, models, it=ExecutorRow.model_validate(row)))["it"]


def a_program(folder: Path, name: str) -> str:
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return str(program)


def test_the_assistant_answers_through_the_relay(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, MODELS, preset="assistant")
    assert spec.command == (sys.executable, "-P", "-m", "omni_mcp.adapters.assistant")
    assert (spec.handles, spec.parallel, spec.recovery) == ({"general"}, 4, Recovery.RETRY)
    assert spec.adapter
    assert spec.relayed
    assert spec.unusable is None


def test_the_assistant_without_a_model_says_where_to_add_one(tmp_path: Path) -> None:
    assert "servers.yaml" in (spec_of(tmp_path, preset="assistant").unusable or "")


def test_the_assistant_whose_models_lack_a_variable_says_so_also_in_a_translated_file(tmp_path: Path) -> None:
    row = "[{model_name: m, litellm_params: {model: openai/m, api_key: '${NO_SUCH_KEY}'}}]"
    servers = "mcp_servers: {assistant: {preset: assistant}}"
    for text in (f"model_list: {row}\n{servers}\n", f"models: {{model_list: {row}}}\n"):
        (tmp_path / "servers.yaml").write_text(text)
        settings = load(Home(tmp_path))
        unusable = str(resolve(settings)["assistant"].unusable)
        assert unusable.startswith("no row of the models can be used. servers.yaml line 1, model")
        assert "the variable NO_SUCH_KEY is not set" in unusable


def test_claude_code_is_started_with_what_its_row_allows(tmp_path: Path) -> None:
    claude = a_program(tmp_path, "claude")
    spec = spec_of(tmp_path, preset="claude-code", command=claude, permissions="read-only", roots=(tmp_path,))
    assert spec.command == (
        *(sys.executable, "-P", "-m", "omni_mcp.adapters.claude_code"),
        *("--permissions", "read-only", "--ask", "--binary", claude, "--worktrees", str(tmp_path / "worktrees")),
        *("--silent", "180", "--root", str(tmp_path)),
    )
    assert "--ask" not in spec_of(tmp_path, preset="claude-code", command=claude, approvals="none").command
    assert (spec.handles, spec.parallel, spec.recovery) == ({"coding", "system_repair"}, 2, Recovery.RESUME)
    assert spec.unusable is None


@pytest.mark.parametrize(
    ("login", "models", "relayed"),
    [(None, MODELS, True), (None, NONE, False), ("own", MODELS, False), ("relay", MODELS, True)],
)
def test_claude_code_goes_through_the_relay_unless_it_has_a_login_of_its_own(
    tmp_path: Path, login: str | None, models: Models, relayed: bool
) -> None:
    claude = a_program(tmp_path, "claude")
    assert spec_of(tmp_path, models, preset="claude-code", command=claude, login=login).relayed is relayed


def test_a_relay_without_models_is_said_before_a_task_is_sent(tmp_path: Path) -> None:
    row: dict[str, Any] = {"preset": "claude-code", "command": a_program(tmp_path, "claude"), "login": "relay"}
    assert "no model" in (spec_of(tmp_path, **row).unusable or "")


def test_claude_that_is_not_installed_names_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    unusable = spec_of(tmp_path, preset="claude-code").unusable
    assert "npm install -g @anthropic-ai/claude-code" in (unusable or "")


def test_there_is_no_preset_for_codex_and_its_row_says_what_can_be_done(tmp_path: Path) -> None:
    unusable = spec_of(tmp_path, preset="codex").unusable
    assert "docs/executors.md" in (unusable or "")


def test_a_gateway_here_is_known_by_its_token_and_runs_live_there(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, MODELS, preset="openclaw", url="ws://127.0.0.1:18789", agent="worker")
    assert spec.command == (
        *(sys.executable, "-P", "-m", "omni_mcp.adapters.openclaw"),
        *("--agent", "worker", "--connect-timeout", "30"),
    )
    assert (spec.handles, spec.parallel, spec.recovery) == ({"general"}, 8, Recovery.ATTACH)
    assert (spec.adapter, spec.relayed, spec.unusable) == (True, False, None)


def test_a_moltworker_has_time_to_wake_and_a_device_and_says_that_it_works_at_least_once(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, preset="moltworker", url="wss://me.workers.dev/ws")
    device = str(tmp_path / "openclaw-device.key")
    assert spec.command[4:] == (
        *("--agent", "main", "--connect-timeout", "200", "--device", device, "--at-least-once"),
    )
    assert (spec.handles, spec.parallel, spec.recovery) == ({"always_on"}, 2, Recovery.ATTACH)
    patient = spec_of(tmp_path, preset="moltworker", url="wss://me.workers.dev/ws", connect_timeout=30)
    assert patient.command[6:8] == ("--connect-timeout", "30")


def test_a_gateway_elsewhere_needs_a_device(tmp_path: Path) -> None:
    assert "--device" in spec_of(tmp_path, preset="openclaw", url="wss://claw.example/ws").command


def test_what_is_secret_of_a_gateway_is_in_the_environment_of_its_process_and_in_no_command_line(
    tmp_path: Path,
) -> None:
    row: dict[str, Any] = {"url": "wss://me.workers.dev/ws?token=t1", "token": "t2", "headers": {"K": "t3"}}
    spec = spec_of(tmp_path, preset="moltworker", **row)
    assert not any(secret in " ".join(spec.command) + repr(spec) for secret in ("t2", "t3"))
    assert "?token" not in " ".join(spec.command)
    seen = surroundings(spec, owner="o", mark="m")
    assert (seen[GATEWAY_URL], seen[GATEWAY_TOKEN]) == (row["url"], "t2")
    assert json.loads(seen[GATEWAY_HEADERS]) == {"K": "t3"}


def test_the_names_under_models_mean_nothing_to_a_gateway(tmp_path: Path) -> None:
    gateway = ExecutorRow.model_validate({"preset": "openclaw", "url": "ws://127.0.0.1:1"})
    chosen = ExecutorRow.model_validate({"preset": "openclaw", "url": "ws://127.0.0.1:1", "model": "a/b"})
    other = ExecutorRow.model_validate({"preset": "assistant"})
    settings = settings_of(tmp_path, MODELS, gateway=gateway, chosen=chosen, other=other)
    models = {name: model_of(spec, settings, asked=None, task_type="x") for name, spec in resolve(settings).items()}
    assert (models["gateway"], models["chosen"], models["other"]) == (None, "a/b", "m")
    assert model_of(resolve(settings)["chosen"], settings, asked="c/d", task_type="x") == "c/d"
    assert model_of(None, settings, asked=None, task_type="x") == "m"


def test_a_preset_is_never_a_foreign_tool(tmp_path: Path) -> None:
    assert spec_of(tmp_path, MODELS, preset="assistant", tool="x").adapter


def test_an_unknown_server_asks_before_it_runs_again_and_takes_one_task_at_a_time(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, command=sys.executable, args=("server.py",), tool="echo")
    assert (spec.recovery, spec.parallel) == (Recovery.ASK, 1)
    assert (spec.command, spec.adapter, spec.relayed) == ((sys.executable, "server.py"), False, False)


def test_what_a_row_says_wins_over_the_defaults(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, MODELS, preset="assistant", handles=("echo",), parallel=9, recovery="ask")
    assert (spec.handles, spec.parallel, spec.recovery) == ({"echo"}, 9, Recovery.ASK)


def test_a_server_without_a_tool_speaks_the_adapter_contract(tmp_path: Path) -> None:
    assert spec_of(tmp_path, url="http://127.0.0.1:1/mcp", handles=("x",)).adapter


def test_a_url_starts_no_program(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, url="http://127.0.0.1:1/mcp", tool="echo")
    assert (spec.command, spec.unusable) == ((), None)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"command": sys.executable, "tool": "echo", "result": "answer"}, "JSON pointer"),
        ({"command": "no-such-program", "tool": "echo"}, "'no-such-program' is not installed"),
    ],
)
def test_a_row_that_cannot_work_says_why(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    assert said in (spec_of(tmp_path, **row).unusable or "")


@pytest.mark.parametrize(
    ("command", "said"), [("npx", "nodejs.org"), ("uvx", "pip install uv"), ("docker", "docker.com")]
)
def test_a_missing_launcher_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, said: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert said in (spec_of(tmp_path, command=command, tool="echo").unusable or "")


def test_a_program_is_looked_for_where_its_child_would_find_it(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = a_program(tmp_path / "bin", "server")
    assert spec_of(tmp_path, command="bin/server", tool="echo").command == (program,)
    assert spec_of(tmp_path, command="./server", cwd=tmp_path / "bin", tool="echo").command == (program,)
    assert spec_of(tmp_path, command="server", env={"PATH": str(tmp_path / "bin")}, tool="echo").command == (program,)


def test_a_row_that_could_not_be_read_is_still_named_with_its_problem(tmp_path: Path) -> None:
    problem = Problem(where="servers.yaml line 3, executors.bad", what="is no mapping", fix="write one", executor="bad")
    settings = Settings(home=Home(tmp_path), servers=ServersFile(executors={}), problems=[problem])
    assert resolve(settings)["bad"].unusable == str(problem)


def test_routing_sees_what_the_settings_and_the_engine_know_of_an_executor(tmp_path: Path) -> None:
    good = ExecutorRow(command=sys.executable, tool="echo", handles=("x",))
    bad = ExecutorRow(command="no-such-program", tool="echo", handles=("y",))
    seen = candidates(resolve(settings_of(tmp_path, good=good, ill=good, bad=bad)), {"ill": "died", "bad": "died"})
    assert (seen["good"].handles, seen["good"].trouble) == ({"x"}, None)
    assert seen["ill"].trouble == "died"
    assert "not installed" in (seen["bad"].trouble or "")
