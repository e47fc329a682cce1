"""A git worktree of its own for a run, so that it leaves the user's working tree alone, and what the run changed in it.

The repository is not trusted: nothing that it names may run. Its hooks, its file system monitor and its filters are
switched off for every call (so a file of git LFS stays a pointer), nothing is fetched, and hooks that stand in its
settings, which git 2.54 runs, are refused.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import anyio
from anyio.to_thread import run_sync

from omni_mcp.contract import OWNER_MARK, RunRequest, RunResult
from omni_mcp.errors import BadRequest, OmniError
from omni_mcp.home import make_private
from omni_mcp.processes import SESSION_MARK, whole
from omni_mcp.task import FailureClass

DIFF_SHOWN = 20_000
"""Characters of the changes that stand in the result; the whole is in a file beside the worktree."""
CLOSE_LIMIT = 20.0
"""Seconds that reading the changes of a run may take."""
OVER = frozenset({None, FailureClass.TASK})
"""Ends after which no attempt goes on in the worktree."""
WITHOUT = "submit without options.worktree"

PASSED_ON = ("PATH", "HOME", "TMPDIR", OWNER_MARK, SESSION_MARK)
SAFE_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    # A clone that lacks files would fetch them, by whatever program its settings name for that.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}
SAFE_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "branch.autoSetupMerge": "false",
    "diff.noprefix": "false",
    "diff.mnemonicPrefix": "false",
    "advice.addEmbeddedRepo": "false",
}
TO_TREES = ("--no-ext-diff", "--no-textconv", "--no-color", "--find-renames", "--submodule=short")
"""How two trees are compared without any program of the repository."""


class GitRefused(OmniError):
    """Git did not do it; the text is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worktree:
    """The worktree of a task; the same in each of its attempts."""

    path: Path
    folder: Path
    """What the run works in: the task's `cwd` as it is in the worktree."""
    repository: Path
    """The top of the user's working tree."""
    branch: str
    base: str
    """The commit that it began from."""
    safe: Mapping[str, str]
    """Settings that switch off what the repository's own would run."""

    @property
    def words(self) -> str:
        """Where it is, for people."""
        return f"worktree {self.path}, branch {self.branch}, from commit {self.base[:10]}"

    @property
    def hint(self) -> str:
        """What the agent has to know: the task may name files of the user's own working tree."""
        return f"(You work in a git worktree of {self.repository}. Change files below {self.path} only.)"

    def beside(self, ending: str) -> Path:
        """Return a file of this task beside the worktree."""
        return self.path.with_name(f"{self.path.name}.{ending}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changes:
    """What a run has left in its worktree."""

    files: bool
    """Whether files differ."""
    diff: Path
    summary: str
    """`2 files changed, 3 insertions(+)`; empty: none."""
    ignored: bool
    """Whether there are files that `.gitignore` names."""
    moved: bool
    """Whether the branch has commits of the run, or was left."""

    @property
    def any(self) -> bool:
        """Whether a removal would lose anything."""
        return self.files or self.ignored or self.moved


async def opened(parent: Path, request: RunRequest) -> Worktree:
    """Return the worktree of a task, made if no earlier attempt did. Raises BadRequest before anything has run."""
    if not re.fullmatch(r"\w[\w-]{0,99}", request.task_id, re.ASCII):
        raise BadRequest(f"the task id {request.task_id[:64]!r} cannot name a branch")
    try:
        return await _kept(parent, request) or await _made(parent, request)
    except GitRefused as error:
        raise BadRequest(f"no worktree: {error.message}", next_step=error.next_step) from error


async def closed(tree: Worktree, result: RunResult) -> RunResult:
    """Add to the end of a run what it changed; its worktree is removed if that is nothing. An end to go on from waits.

    What git refuses costs the result nothing: the worktree is kept, and that is said.
    """
    if result.failure not in OVER:
        return result
    try:
        with anyio.fail_after(CLOSE_LIMIT):
            return await _told(tree, result)
    except (GitRefused, OSError, TimeoutError) as error:
        trouble = str(error) or f"no answer in {CLOSE_LIMIT:.0f} s"
        note = f"What it changed cannot be listed ({trouble}); all of it is kept: {tree.words}."
        return _with(tree, result, note, kept=True, trouble=trouble)


async def _kept(parent: Path, request: RunRequest) -> Worktree | None:
    """Return the worktree of an earlier attempt."""
    (path, state) = (parent / request.task_id, parent / f"{request.task_id}.json")
    if not (state.is_file() and path.is_dir()):
        return None
    told = json.loads(state.read_text(encoding="utf-8"))
    repository = Path(told["repository"])
    return Worktree(
        path=path,
        folder=path / told["prefix"],
        repository=repository,
        branch=told["branch"],
        base=told["base"],
        safe=await _safe_settings(repository),
    )


async def _made(parent: Path, request: RunRequest) -> Worktree:
    top = await _top(Path(request.cwd))
    safe = await _safe_settings(top)
    path = parent / request.task_id
    tree = Worktree(
        path=path,
        folder=path / _relative(Path(request.cwd), top),
        repository=top,
        branch=f"omni/{request.task_id}",
        base=await _commit(top, safe),
        safe=safe,
    )
    make_private(parent)
    await _remove(tree, missing_ok=True)
    await _git(top, "worktree", "add", "--quiet", "-B", tree.branch, str(path), tree.base, safe=safe)
    _note_whole(tree)
    return tree


async def _top(cwd: Path) -> Path:
    try:
        said = await _git(cwd, "rev-parse", "--path-format=absolute", "--show-toplevel")
    except GitRefused as error:
        fix = f"submit with a cwd inside of a git repository, or {WITHOUT}"
        raise GitRefused(f"{cwd} is in no git repository with files ({error.message})", next_step=fix) from error
    return Path(said.removesuffix("\n"))


def _relative(cwd: Path, top: Path) -> Path:
    if not (top.is_absolute() and cwd.resolve().is_relative_to(top)):
        raise GitRefused(f"{cwd} is not below {top}, which git calls the top of its repository", next_step=WITHOUT)
    return cwd.resolve().relative_to(top)


async def _commit(top: Path, safe: Mapping[str, str]) -> str:
    try:
        return (await _git(top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", safe=safe)).strip()
    except GitRefused as error:
        raise GitRefused(
            f"the repository {top} has no commit yet", next_step=f"commit something, or {WITHOUT}"
        ) from error


def _note_whole(tree: Worktree) -> None:
    """Note that the worktree is whole: one without this note is made anew."""
    tree.folder.mkdir(parents=True, exist_ok=True)  # the task's cwd need not be in the commit
    prefix = str(tree.folder.relative_to(tree.path))
    told = {"repository": str(tree.repository), "prefix": prefix, "branch": tree.branch, "base": tree.base}
    draft = tree.beside("part")
    draft.write_text(json.dumps(told), encoding="utf-8")
    draft.replace(tree.beside("json"))


async def _safe_settings(top: Path) -> Mapping[str, str]:
    """Return what switches off all filters; raises GitRefused for a repository whose own settings name hooks."""
    listed = (await _git(top, "config", "--list", "--show-scope", "--name-only", "-z")).split("\0")
    scopes = list(zip(listed[::2], listed[1::2], strict=False))
    own = sorted(name for scope, name in scopes if scope in ("local", "worktree") and name.startswith("hook."))
    if own:
        fix = f"remove it with git config --unset, or {WITHOUT}"
        raise GitRefused(f"the settings of the repository {top} run a program: {own[0][:200]}", next_step=fix)
    drivers = {name.rpartition(".")[0] for _, name in scopes if name.startswith("filter.")}
    parts = {"clean": "", "smudge": "", "process": "", "required": "false"}
    return {f"{driver}.{part}": value for driver in drivers for part, value in parts.items()}


async def _told(tree: Worktree, result: RunResult) -> RunResult:
    changes = await _changes(tree)
    if not changes.any:
        await _remove(tree)
        return _with(tree, result, "No file was changed; the worktree of this task is removed.", kept=False)
    note = "\n\n".join([f"Kept: {tree.words}. {_in_words(changes)}", *_shown(changes)])
    return _with(tree, result, note, kept=True, diff_file=str(changes.diff), summary=changes.summary)


def _with(tree: Worktree, result: RunResult, note: str, *, kept: bool, **more: Any) -> RunResult:
    about = {"path": str(tree.path), "branch": tree.branch, "base": tree.base} if kept else {}
    notes = {**result.notes, "worktree": {"kept": kept, **about, **more}}
    return result.model_copy(update={"text": f"{result.text}\n\n---\n{note}", "notes": notes})


def _in_words(changes: _Changes) -> str:
    if changes.files:
        return f"{changes.summary}; the whole diff is in {changes.diff} ({changes.diff.stat().st_size} bytes)."
    return "No file differs, but there are commits." if changes.moved else "Only files that .gitignore names were made."


def _shown(changes: _Changes) -> list[str]:
    """Return the beginning of the diff; a file of it is read no further than it is shown."""
    with changes.diff.open(encoding="utf-8", errors="replace") as file:
        text = file.read(DIFF_SHOWN)
        more = bool(file.read(1))
    if not text:
        return []
    cut = [f"The first {DIFF_SHOWN} characters; the rest is in {changes.diff}"] if more else []
    return [f"```diff\n{text.rstrip()}\n```", *cut]


async def _changes(tree: Worktree) -> _Changes:
    """Compare all that stands in the worktree, committed or not, with what it began from. Raises GitRefused."""
    git = partial(_git, tree.path, safe=tree.safe)
    now = await _snapshot(tree)
    diff = tree.beside("diff")
    with diff.open("wb") as file:
        await git("diff", "--binary", *TO_TREES, tree.base, now, into=file)
    head, branch = await git("rev-parse", "HEAD"), await git("rev-parse", "--abbrev-ref", "HEAD")
    return _Changes(
        files=now != (await git("rev-parse", f"{tree.base}^{{tree}}")).strip(),
        diff=diff,
        summary=(await git("diff", "--shortstat", *TO_TREES, tree.base, now)).strip(),
        ignored=bool(await git("ls-files", "--others", "--ignored", "--exclude-standard", "--directory")),
        moved=(head.strip(), branch.strip()) != (tree.base, tree.branch),
    )


async def _snapshot(tree: Worktree) -> str:
    """Return a tree object of all that stands in the worktree; its own index stays as it is."""
    index = tree.beside("index")
    git = partial(_git, tree.path, safe=tree.safe, index=index)
    theirs = await _git(tree.path, "rev-parse", "--path-format=absolute", "--git-path", "index", safe=tree.safe)
    try:
        # It knows which files are unchanged: without it git would have to read all of them.
        await run_sync(shutil.copyfile, theirs.removesuffix("\n"), index)
        await git("add", "--all")
        return (await git("write-tree")).strip()
    finally:
        for leftover in (index, index.with_name(f"{index.name}.lock")):
            leftover.unlink(missing_ok=True)


async def _remove(tree: Worktree, *, missing_ok: bool = False) -> None:
    """Remove worktree, branch and notes; `missing_ok`: what a run that was killed at its start left half made."""
    git = partial(_git, tree.repository, safe=tree.safe)
    if missing_ok and not tree.path.exists():
        return
    try:
        await git("worktree", "remove", "--force", "--force", str(tree.path))
    except GitRefused:
        if not missing_ok:
            raise
        with suppress(GitRefused):
            await git("worktree", "unlock", str(tree.path))
        await run_sync(partial(shutil.rmtree, tree.path, ignore_errors=True))
        await git("worktree", "prune")
    if not missing_ok:
        await git("branch", "--quiet", "-D", tree.branch)
    for ending in ("json", "diff"):
        tree.beside(ending).unlink(missing_ok=True)


async def _git(
    folder: Path,
    *arguments: str,
    safe: Mapping[str, str] | None = None,
    index: Path | None = None,
    into: IO[bytes] | None = None,
) -> str:
    """Run git and return what it said, unless that goes `into` a file. Raises GitRefused."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as trouble:
        start = anyio.open_process(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=into or said,
            stderr=trouble,
            env=_environment(safe or {}, index),
        )
        try:
            async with await whole(start) as process:
                code = await process.wait()
        except FileNotFoundError as error:
            raise GitRefused("git is not installed", next_step=f"install git, or {WITHOUT}") from error
        if code:
            raise GitRefused(_reason(trouble) or f"git {arguments[0]} ended with {code}")
        return _read(said)


def _environment(safe: Mapping[str, str], index: Path | None) -> Mapping[str, str]:
    """Return the whole environment of git; settings travel by it, since a name may hold any character."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    place = {"GIT_INDEX_FILE": str(index)} if index is not None else {}
    numbered: dict[str, str] = {}
    settings = {**SAFE_SETTINGS, **safe}
    for number, (name, value) in enumerate(settings.items()):
        numbered |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return {**passed, **SAFE_ENVIRONMENT, **place, "GIT_CONFIG_COUNT": str(len(settings)), **numbered}


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="surrogateescape")


def _reason(file: IO[bytes]) -> str:
    lines = _read(file).encode(errors="replace").decode().strip().splitlines()
    reasons = [line.partition(": ")[2] for line in lines if line.startswith(("fatal: ", "error: "))]
    return next(iter(reasons or lines), "")[:300]
