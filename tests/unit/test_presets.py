"""From rows to specs: defaults, and what an executor that cannot be used says."""

import sys
from pathlib import Path
from typing import Any

import pytest

from omni_mcp.home import Home
from omni_mcp.presets import ExecutorSpec, candidates, resolve
from omni_mcp.servers_file import ExecutorRow, Models, ServersFile
from omni_mcp.settings import Problem, Settings, load
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
        *("--permissions", "read-only", "--ask", "--binary", claude, "--root", str(tmp_path)),
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


@pytest.mark.parametrize("preset", ["openclaw", "moltworker", "codex"])
def test_a_preset_of_a_later_version_says_so(tmp_path: Path, preset: str) -> None:
    spec = spec_of(tmp_path, preset=preset, url="wss://example.org/ws")
    assert "later version" in (spec.unusable or "")


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
