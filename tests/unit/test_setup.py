"""A first servers.yaml: what is looked for, what follows from it, and that every line of it can be used."""

import importlib
import inspect
import json
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from omni_mcp.home import Home
from omni_mcp.settings import Settings, load
from omni_mcp.setup import look
from omni_mcp.setup.clouds import CLOUDS
from omni_mcp.setup.look import Found, Program, Proxy, look_for_program, look_for_projects, look_for_proxy
from omni_mcp.setup.restart import Restart, by_compose, by_process
from omni_mcp.setup.text import SECTIONS, masked, text_of
from omni_mcp.setup.tree import tree_for

CLAUDE = Program(name="claude", path="/usr/bin/claude", version="2.1")
EVERYTHING = Found(programs=[CLAUDE], keys=["ANTHROPIC_API_KEY", "OPENAI_API_KEY"])
WITH_PROXY = Found(
    proxy=Proxy(base_url="http://127.0.0.1:4000", answers=True, models=["auto-chat", "auto-claude"]),
    keys=["LITELLM_MASTER_KEY"],
)


def loaded(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Load a text with every variable set that it names."""
    for name in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(name, "set-to-something")
    (folder / "servers.yaml").write_text(text, encoding="utf-8")
    return load(Home(folder))


def a_script(folder: Path, name: str, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = folder / name
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


# the text


@pytest.mark.parametrize("found", [Found(), EVERYTHING, WITH_PROXY], ids=["nothing", "keys", "proxy"])
def test_whatever_was_found_the_file_loads_without_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Found
):
    settings = loaded(tmp_path, text_of(tree_for(found)), monkeypatch)
    assert [str(problem) for problem in settings.problems] == []
    assert "assistant" in settings.names


@pytest.mark.parametrize("found", [Found(), EVERYTHING, WITH_PROXY], ids=["nothing", "keys", "proxy"])
def test_every_line_that_is_switched_off_works_when_it_is_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Found
):
    text = text_of(tree_for(found))
    switched_off = re.findall(r"^ *#\w.*$", text, re.MULTILINE)
    assert len(switched_off) >= 5
    for line in switched_off:
        settings = loaded(tmp_path, text.replace(line, line.replace("#", "", 1)), monkeypatch)
        assert [str(problem) for problem in settings.problems] == [], line


def test_every_section_of_the_settings_is_in_the_file():
    from omni_mcp.servers_file.whole import ServersFile

    assert [section.key for section in SECTIONS] == list(ServersFile.model_fields)


def test_the_first_line_names_the_schema_for_editors():
    assert text_of({}).splitlines()[0] == "# yaml-language-server: $schema=servers.schema.json"


def test_what_is_written_is_what_was_meant(tmp_path: Path):
    tree = {
        "executors": {"x": {"command": "c", "args": ["a" * 80, "'q\" #", "${V}", "null", "7"], "handles": ["写"]}},
        "models": {"model_list": [{"model_name": "m", "litellm_params": {"model": "a/b", "x": "y" * 120}}, {}]},
        "limits": {},
        "github_key": "k: {v}",
    }
    assert yaml.safe_load(text_of(tree)) == tree


def test_a_key_in_plain_is_never_shown():
    tree = {
        "executors": {"x": {"env": {"ANY": "secret"}, "headers": {"H": "secret"}, "token": "secret", "command": "c"}},
        "models": {"model_list": [{"litellm_params": {"api_key": "secret", "model": "m", "aws_secret": "secret"}}]},
        "github_key": "${NAMED}",
    }
    shown = text_of(masked(tree))
    assert "secret" not in shown.replace("aws_secret", "")
    assert "${NAMED}" in shown
    assert "command: c" in shown


def test_what_names_a_variable_is_shown_but_not_the_key_that_is_its_default():
    words = ["--api-key=${NAMED}", "--token", "${NAMED:-secret}", "--keyboard", "us", "https://h/?token=${NAMED}&n=1"]
    shown = masked({"args": words, "url": "https://me:p@ss@h/mcp"})
    assert shown["args"] == [*words[:2], "${NAMED:-…}", *words[3:]]
    assert shown["url"] == "https://…@h/mcp"


# the tree


def test_several_keys_are_layers_of_the_same_models_in_one_order():
    rows: Any = tree_for(EVERYTHING)["models"]["model_list"]
    assert [(row["model_name"], row["litellm_params"]["order"]) for row in rows] == [
        ("strong", 1),
        ("strong", 2),
        ("quick", 1),
        ("quick", 2),
    ]


def test_a_proxy_goes_before_keys():
    both = Found(proxy=WITH_PROXY.proxy, keys=["ANTHROPIC_API_KEY"])
    models: Any = tree_for(both)["models"]
    assert models == {
        "gateway": {
            "base_url": "http://127.0.0.1:4000",
            "for": {"coding": "auto-claude", "general": "auto-chat", "default": "auto-chat"},
        }
    }


def test_claude_code_is_there_if_its_program_is():
    assert set(tree_for(EVERYTHING)["executors"]) == {"assistant", "claude_code"}
    assert set(tree_for(Found())["executors"]) == {"assistant"}


# looking


@contextmanager
def proxy_answering(alive: str = '"I\'m alive!"', models: Any = None) -> Generator[tuple[str, list[str]]]:
    """Run something that answers like a LiteLLM proxy; yields its URL and the keys that it was shown."""
    keys: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        """Two paths, and what was asked for."""

        def do_GET(self) -> None:
            keys.append(f"{self.path} {self.headers.get('authorization')}")
            body = alive if self.path == "/health/liveliness" else json.dumps({"data": models})
            self.send_response(200 if self.path == "/health/liveliness" or models is not None else 401)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", keys
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_proxy_is_known_by_its_liveliness_and_asked_for_its_models():
    with proxy_answering(models=[{"id": "auto-chat"}, {"id": "anthropic/claude"}, {"id": "*"}]) as (url, keys):
        assert look_for_proxy(f"{url}/", "k") == Proxy(base_url=url, answers=True, models=("auto-chat",))
    assert keys == ["/health/liveliness None", "/v1/models Bearer k"]


def test_a_proxy_that_wants_a_key_tells_no_models():
    with proxy_answering() as (url, _keys):
        assert look_for_proxy(url, None) == Proxy(base_url=url, answers=True)


@pytest.mark.parametrize("models", [[{"name": "x"}], "words", [3]])
def test_a_proxy_that_answers_nonsense_has_no_models(models: Any):
    with proxy_answering(models=models) as (url, _keys):
        assert look_for_proxy(url, None).models == ()


def test_something_else_at_the_port_is_no_proxy_and_is_shown_no_key():
    with proxy_answering(alive="<html>", models=[]) as (url, keys):
        assert not look_for_proxy(url, "k").answers
    assert keys == ["/health/liveliness None"]


def test_where_nobody_listens_there_is_no_proxy_unless_it_was_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setattr(look, "OPENCLAW_PORT", closed.getsockname()[1])
        assert look.look({}, beside=url) == Found()
        assert look.look({}, gateway=url).proxy == Proxy(base_url=url, answers=False)


def test_what_listens_on_the_port_of_openclaw_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        port = gateway.getsockname()[1]
        monkeypatch.setattr(look, "OPENCLAW_PORT", port)
        assert look.look({}, beside="http://127.0.0.1:1").openclaw == f"ws://127.0.0.1:{port}"


def test_keys_are_told_by_name_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = look.look({"ANTHROPIC_API_KEY": "sk-value", "OPENAI_API_KEY": ""}, beside="http://127.0.0.1:1")
    assert found.keys == ("ANTHROPIC_API_KEY",)
    assert "sk-value" not in repr(found)


@pytest.mark.parametrize(
    ("body", "version"),
    [("echo '2.1.330 (Claude Code)'; echo more", "2.1.330 (Claude Code)"), ("exit 1", None), ("", None)],
)
def test_a_program_is_told_with_what_it_says_of_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, version: str | None
):
    a_script(tmp_path, "claude", body, monkeypatch)
    assert look_for_program("claude") == Program(name="claude", path=str(tmp_path / "claude"), version=version)
    assert look_for_program("codex") is None


@pytest.mark.parametrize(
    ("said", "names"),
    [('[{"Name":"router","ConfigFiles":"/srv/compose.yaml"}]', ["router"]), ("nonsense", []), ('[{"Name":1}]', [])],
)
def test_compose_projects_are_those_that_docker_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, names: list[str]
):
    a_script(tmp_path, "docker", f"echo '{said}'", monkeypatch)
    assert [project.name for project in look_for_projects()] == names


COMPOSE = """
services:
  db: {image: postgres}
  gateway: {image: "ghcr.io/berriai/litellm:main-stable", ports: ["4000:4000"], environment: {KEY: in-plain}}
"""


def test_the_service_of_compose_that_runs_litellm_is_offered_and_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (folder := tmp_path / "a stack").mkdir()
    (folder / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "other.yaml").write_text("services: [what]")
    files = [str(tmp_path / "gone.yaml"), str(tmp_path / "other.yaml"), str(folder / "compose.yaml")]
    found = by_compose(files)
    assert found is not None
    assert found.row == {
        "restart": f"docker compose -f '{folder}/compose.yaml' restart gateway",
        "cwd": str(folder),
    }
    for tree in (tree_for(WITH_PROXY), {**tree_for(WITH_PROXY), "fault_handler": {"check_interval": 20}}):
        text = text_of(tree, repair=found.row)
        assert loaded(tmp_path, text, monkeypatch).servers.fault_handler.repair is None
        (line,) = [line for line in text.splitlines() if "restart gateway" in line]
        repair = loaded(
            tmp_path, text.replace(line, line.replace("#", "", 1)), monkeypatch
        ).servers.fault_handler.repair
        assert repair is not None
        assert (repair.restart, repair.cwd) == (found.row["restart"], folder)
    assert "in-plain" not in text
    assert by_compose(files[:2]) is None


LISTENS = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"


@pytest.mark.parametrize(("word", "offered"), [("--config", True), ("--api_key=sk-1", False)])
def test_the_process_that_is_litellm_is_offered_as_it_was_started_unless_its_words_hold_a_key(
    word: str, offered: bool, tmp_path: Path
):
    (tmp_path / "litellm").write_text(LISTENS)
    argv = [sys.executable, str(tmp_path / "litellm"), word, "a b.yaml"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        found = by_process(port)
        process.communicate("\n")
    config = str(tmp_path / "a b.yaml")
    assert found == (Restart(command=shlex.join(argv), cwd=str(tmp_path), config=config) if offered else None)
    assert found is None or found.row["config"] == config
    assert by_process(1) is None


@pytest.mark.litellm
@pytest.mark.timeout(120)
def test_litellm_knows_the_models_to_begin_with_and_the_settings_of_its_router(monkeypatch: pytest.MonkeyPatch):
    from omni_mcp.llm.router import OFFLINE
    from omni_mcp.translate.litellm_file import RETRIES, ROUTER

    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)
    litellm: Any = importlib.import_module("litellm")
    models = {model for cloud in CLOUDS for model in (cloud.strong, cloud.quick)}
    listed = {model for model in models if not model.startswith("openrouter/")}  # it lists few of theirs
    assert {m for m in listed if not {m, m.partition("/")[2]} & litellm.model_cost.keys()} == set()
    assert set(inspect.signature(litellm.Router.__init__).parameters) >= ROUTER | RETRIES
