"""Worktrees of runs, with the real git: what is kept, what is removed, and that no repository runs anything."""

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from omni_mcp.adapters.worktree import DIFF_SHOWN, Worktree, closed, opened
from omni_mcp.contract import RunRequest, RunResult
from omni_mcp.errors import BadRequest
from omni_mcp.task import FailureClass
from tests.integration.repository import git, repository

DONE = RunResult(status="completed", text="done")


def a_request(cwd: Path, **fields: Any) -> RunRequest:
    given = {"task_id": "t1", "attempt": 1, "run_id": "r", "description": "x", "cwd": str(cwd)}
    return RunRequest.model_validate({**given, **fields})


async def opened_in(tmp_path: Path, cwd: Path, **fields: Any) -> Worktree:
    return await opened(tmp_path / "home/worktrees", a_request(cwd, **fields))


def worktrees(repo: Path) -> Sequence[str]:
    return [line for line in git(repo, "worktree", "list", "--porcelain").splitlines() if line.startswith("worktree ")]


async def test_a_run_works_in_the_same_folder_of_a_worktree_and_the_users_tree_is_left_alone(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    (repo / "sub").mkdir()
    (repo / "kept.txt").write_text("the user is at it")
    tree = await opened_in(tmp_path, repo / "sub")
    assert (tree.folder, tree.branch) == (tree.path / "sub", "omni/t1")
    assert (tree.path / "kept.txt").read_text() == "old\n"
    (tree.folder / "new.txt").write_text("made")
    result = await closed(tree, DONE)
    assert (repo / "kept.txt").read_text() == "the user is at it"
    assert not (repo / "sub/new.txt").exists()
    assert git(repo, "status", "--porcelain") == " M kept.txt\n"
    assert result.notes["worktree"]["kept"]
    assert str(tree.path) in result.text
    assert "+++ b/sub/new.txt" in result.text
    assert "1 file changed, 1 insertion(+)" in result.text


async def test_what_was_committed_counts_like_what_was_not_and_the_diff_can_be_applied(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    tree = await opened_in(tmp_path, repo)
    (tree.path / "kept.txt").write_text("new\n")
    git(tree.path, "commit", "-qam", "by the agent")
    (tree.path / "raw.bin").write_bytes(bytes(range(256)))
    result = await closed(tree, DONE)
    git(repo, "apply", result.notes["worktree"]["diff_file"])
    assert (repo / "kept.txt").read_text() == "new\n"
    assert (repo / "raw.bin").read_bytes() == bytes(range(256))
    assert git(repo, "log", "--format=%s", "-1", "omni/t1") == "by the agent\n"


async def test_a_worktree_without_changes_is_removed_with_its_branch(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    tree = await opened_in(tmp_path, repo)
    result = await closed(tree, DONE)
    assert "No file was changed" in result.text
    assert not result.notes["worktree"]["kept"]
    assert list((tmp_path / "home/worktrees").iterdir()) == []
    assert len(worktrees(repo)) == 1
    assert git(repo, "branch", "--list", "omni/*") == ""


async def test_files_that_git_ignores_are_not_lost(tmp_path: Path) -> None:
    repo = repository(tmp_path, **{".gitignore": "report.txt\n"})
    tree = await opened_in(tmp_path, repo)
    (tree.path / "report.txt").write_text("the work of an hour")
    result = await closed(tree, DONE)
    assert "Only files that .gitignore names" in result.text
    assert (tree.path / "report.txt").exists()


async def test_a_large_diff_is_shown_in_part_and_whole_in_a_file(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    tree = await opened_in(tmp_path, repo)
    (tree.path / "big.txt").write_text("line\n" * 200_000)
    result = await closed(tree, DONE)
    assert len(result.text) < DIFF_SHOWN + 1000
    assert Path(result.notes["worktree"]["diff_file"]).stat().st_size > 1_000_000
    assert f"The first {DIFF_SHOWN} characters" in result.text


@pytest.mark.parametrize("failure", [FailureClass.INTERRUPTED, FailureClass.PROVIDER, FailureClass.CANCELLED])
async def test_a_later_attempt_goes_on_in_the_same_worktree(tmp_path: Path, failure: FailureClass) -> None:
    repo = repository(tmp_path)
    first = await opened_in(tmp_path, repo)
    cut = RunResult(status="failed", failure=failure, message="cut off")
    assert await closed(first, cut) == cut
    (first.path / "half.txt").write_text("half")
    git(repo, "commit", "-q", "--allow-empty", "-m", "the user goes on")
    second = await opened_in(tmp_path, repo, attempt=2, resume=True)
    assert second == first
    assert "half.txt" in (await closed(second, DONE)).text


async def test_a_worktree_that_a_kill_left_half_made_is_made_anew(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    tree = await opened_in(tmp_path, repo)
    tree.beside("json").unlink()
    (tree.path / "kept.txt").unlink()
    git(repo, "worktree", "lock", str(tree.path))
    again = await opened_in(tmp_path, repo)
    assert (again.path / "kept.txt").exists()
    shutil.rmtree(again.path)
    again.path.mkdir()
    again.beside("json").unlink()
    assert ((await opened_in(tmp_path, repo)).path / "kept.txt").exists()


async def test_what_cannot_be_listed_is_kept_and_said(tmp_path: Path) -> None:
    tree = await opened_in(tmp_path, repository(tmp_path))
    (tree.path / ".git").unlink()
    result = await closed(tree, DONE)
    assert result.status == "completed"
    assert "cannot be listed" in result.text
    assert tree.path.exists()


async def test_where_there_is_no_repository_the_refusal_says_so(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(BadRequest, match="is in no git repository") as error:
        await opened_in(tmp_path, tmp_path / "plain")
    assert "options.worktree" in (error.value.next_step or "")
    git(tmp_path / "plain", "init", "-q")
    with pytest.raises(BadRequest, match="has no commit yet"):
        await opened_in(tmp_path, tmp_path / "plain")
    assert not (tmp_path / "home").exists()


async def test_a_hostile_repository_runs_nothing(tmp_path: Path) -> None:
    repo, trap = hostile(tmp_path)
    tree = await opened_in(tmp_path, repo)
    for name in ("kept.txt", "a.evil", "b.worse"):
        (tree.path / name).write_text("changed\n")
    result = await closed(tree, DONE)
    assert "3 files changed" in result.text
    clean = await opened_in(tmp_path, repo, task_id="t2")
    assert "No file was changed" in (await closed(clean, DONE)).text
    assert trapped(trap) == []
    with suppress(subprocess.CalledProcessError):
        git(repo, "status")
    assert trapped(trap) != [], "the trap has no spring"


async def test_hooks_that_stand_in_the_settings_of_a_repository_are_refused(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    git(repo, "config", "hook.evil.command", "touch ran")
    with pytest.raises(BadRequest, match=r"settings of the repository .* run a program: hook\.evil\.command"):
        await opened_in(tmp_path, repo)


def hostile(tmp_path: Path) -> tuple[Path, Path]:
    """Return a repository that has everything run which git can be told to run, and the folder that shows what did."""
    (trap := tmp_path / "trap").mkdir()
    repo = repository(tmp_path, **{".gitattributes": "*.evil filter=evil diff=evil\n*.worse filter=x=y\n"})
    for name in ("a.evil", "b.worse"):
        (repo / name).write_text("old\n")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "files with filters")
    spring = tmp_path / "spring"
    spring.write_text(f'#!/bin/sh\ntouch "{trap}/$(basename "$0")-$1"\ncat\n')
    spring.chmod(0o755)
    hooks = repo / ".git/hooks"
    for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-commit"):
        shutil.copy(spring, hooks / name)
    for name in ("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "diff.external"):
        git(repo, "config", name, str(spring))
    for driver in ("filter.evil", "filter.x=y"):
        for part in ("clean", "smudge", "process"):
            git(repo, "config", f"{driver}.{part}", f"{spring} {part}")
        git(repo, "config", f"{driver}.required", "true")
    git(repo, "config", "diff.evil.command", str(spring))
    git(repo, "config", "diff.evil.textconv", str(spring))
    git(repo, "config", "core.hooksPath", str(hooks))
    return repo, trap


def trapped(trap: Path) -> list[str]:
    return sorted(found.name for found in trap.iterdir())
