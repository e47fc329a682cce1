"""What `claude` is started with, and what it is never started with."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from omni_mcp.adapters.claude_command import FIXED, PROFILES, Command, Setup, command_for
from omni_mcp.contract import RunRequest
from omni_mcp.errors import BadRequest, ExecutorUnusable

RUN_ID = "8f0e6c3e-7f0a-4a51-9a0e-0d1f5a4e2b11"
ENDPOINT = {"base_url": "http://127.0.0.1:4567", "token": "token-of-this-attempt"}
SETUP = Setup(binary=sys.executable)


def a_request(cwd: Path, **fields: Any) -> RunRequest:
    given = {"task_id": "t-1", "attempt": 1, "run_id": RUN_ID, "description": "Do it.", "cwd": str(cwd), **fields}
    return RunRequest.model_validate(given)


def a_command(cwd: Path, setup: Setup = SETUP, *, resume: bool = False, **fields: Any) -> Command:
    return command_for(setup, a_request(cwd, **fields), resume=resume, env={"HOME": "/home/me"})


def test_the_token_is_in_no_argument_variable_or_setting(tmp_path: Path):
    command = a_command(tmp_path, endpoint=ENDPOINT)
    env = json.loads(command.settings)["env"]
    assert env["ANTHROPIC_BASE_URL"] == ENDPOINT["base_url"]
    assert ENDPOINT["token"] not in " ".join([*command.argv, *command.env.values(), command.settings.decode()])
    assert command.token == ENDPOINT["token"]


def test_a_proxy_of_the_user_is_not_between_us_and_the_relay(tmp_path: Path):
    env = json.loads(a_command(tmp_path, endpoint=ENDPOINT).settings)["env"]
    assert env["NO_PROXY"] == env["no_proxy"] == "127.0.0.1"


def test_only_what_is_listed_is_passed_on(tmp_path: Path):
    marks = {"OMNI_OWNER": "o-1", "OMNI_SESSION": "s-1"}
    ours = {"HOME": "/home/me", "OMNI_TASK": "outer", "DATABASE_URL": "x", "ANTHROPIC_API_KEY": "k", **marks}
    relayed = command_for(SETUP, a_request(tmp_path, endpoint=ENDPOINT), resume=False, env=ours).env
    common = {"HOME": "/home/me", "LANG": "C.UTF-8", "TERM": "dumb", "OMNI_TASK": "t-1", **marks, **FIXED}
    assert relayed == common
    own = command_for(SETUP, a_request(tmp_path), resume=False, env=ours).env
    assert own == {**common, "ANTHROPIC_API_KEY": "k"}


def test_a_session_is_begun_with_the_description_and_gone_on_with_without_it(tmp_path: Path):
    fresh, again = a_command(tmp_path), a_command(tmp_path, resume=True)
    assert fresh.argv[fresh.argv.index("--session-id") + 1] == RUN_ID
    assert again.argv[again.argv.index("--resume") + 1] == RUN_ID
    assert fresh.prompt == b"Do it."
    assert b"interrupted" in again.prompt


def test_a_model_is_named_only_if_there_is_one(tmp_path: Path):
    assert "--model" not in a_command(tmp_path).argv
    command = a_command(tmp_path, model="some-model")
    assert command.argv[command.argv.index("--model") + 1] == "some-model"


@pytest.mark.parametrize(
    ("row", "asked", "granted"),
    [("edit", None, "edit"), ("edit", "read-only", "read-only"), ("edit", "edit", "edit")],
)
def test_options_only_lower_what_the_row_allows(tmp_path: Path, row: str, asked: str | None, granted: str):
    options = {} if asked is None else {"permissions": asked}
    argv = a_command(tmp_path, Setup(binary=sys.executable, permissions=row), options=options).argv
    assert set(PROFILES[granted]) <= set(argv)
    assert ("--tools" in argv) is (granted == "read-only")


@pytest.mark.parametrize(("row", "asked"), [("edit", "full"), ("read-only", "edit")])
def test_permissions_above_the_rows_are_refused(tmp_path: Path, row: str, asked: str):
    with pytest.raises(BadRequest, match="more than this executor allows"):
        a_command(tmp_path, Setup(binary=sys.executable, permissions=row), options={"permissions": asked})


@pytest.mark.parametrize(("row", "asked", "given"), [(None, None, None), (9, None, "9"), (9, 3, "3"), (None, 3, "3")])
def test_turns_are_limited_by_the_row_and_by_the_task(
    tmp_path: Path, row: int | None, asked: int | None, given: str | None
):
    options = {} if asked is None else {"max_turns": asked}
    argv = list(a_command(tmp_path, Setup(binary=sys.executable, max_turns=row), options=options).argv)
    assert (argv[argv.index("--max-turns") + 1] if "--max-turns" in argv else None) == given


@pytest.mark.parametrize("asked", [10, 0, "many"])
def test_more_turns_than_the_rows_are_refused(tmp_path: Path, asked: object):
    with pytest.raises(BadRequest, match=r"not in 1\.\.9"):
        a_command(tmp_path, Setup(binary=sys.executable, max_turns=9), options={"max_turns": asked})


def test_unknown_permissions_are_the_callers_mistake(tmp_path: Path):
    with pytest.raises(BadRequest, match="unknown permissions 'all'"):
        a_command(tmp_path, options={"permissions": "all"})


def test_full_permissions_are_refused_to_root_outside_a_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    setup = Setup(binary=sys.executable, permissions="full")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ExecutorUnusable, match="root"):
        a_command(tmp_path, setup)
    inside = command_for(setup, a_request(tmp_path), resume=False, env={"IS_SANDBOX": "1"})
    assert inside.env["IS_SANDBOX"] == "1"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "--dangerously-skip-permissions" in a_command(tmp_path, setup).argv


def test_a_folder_outside_the_roots_is_refused_even_through_a_link(tmp_path: Path):
    (root := tmp_path / "root").mkdir()
    (root / "inside").mkdir()
    (tmp_path / "root-beside").mkdir()
    (root / "link").symlink_to(tmp_path / "root-beside")
    (another := tmp_path / "worktrees" / "of-another-task").mkdir(parents=True)
    setup = Setup(binary=sys.executable, roots=(root,), worktrees=another.parent)
    assert a_command(root / "inside", setup).cwd == root / "inside"
    assert a_command(root, setup).cwd == root
    for cwd in (root / "link", tmp_path / "root-beside", root / "..", another):
        with pytest.raises(BadRequest, match="not below an allowed root"):
            a_command(cwd, setup)


def test_a_folder_that_is_none_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    for cwd, reason in ((tmp_path / "gone", "does not exist"), (tmp_path / "file", "not a folder")):
        with pytest.raises(BadRequest, match=reason):
            a_command(cwd)


def test_a_missing_binary_names_the_command_that_installs_it(tmp_path: Path):
    with pytest.raises(ExecutorUnusable) as refused:
        a_command(tmp_path, Setup(binary=str(tmp_path / "claude")))
    assert "npm install" in (refused.value.next_step or "")


def test_a_run_id_that_claude_would_refuse_is_refused_here(tmp_path: Path):
    with pytest.raises(BadRequest, match="not a UUID"):
        a_command(tmp_path, run_id="t-1")
