"""The demo: the main job from end to end in a home of its own, without key or cloud; it ends with a proof."""

import json
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio

from omni_mcp import __version__
from omni_mcp.demo.check import Check
from omni_mcp.demo.proof import checks, collect
from omni_mcp.demo.screen import Screen
from omni_mcp.demo.stage import Stage, staged
from omni_mcp.demo.story import BrokenOff, Story, play, telling_steps
from omni_mcp.lang.console import Speaking

LIMIT = 120.0
"""Seconds that the whole may take; cleaning up comes on top and has bounds of its own."""

REAL = (
    "the MCP server: a process of its own, spoken to over stdio by a FastMCP client",
    "the ledger: SQLite on disk, each answer after the commit",
    "the engine: a background process with executor processes of its own",
    "LiteLLM's Router: loaded by the engine, it makes and prices every model call",
    "the kill: SIGKILL to the engine in the middle of a step",
)
CLOUD_STAND_IN = "a stub cloud on loopback instead of model providers: canned answers, demo prices"
CLAUDE_STAND_IN = (
    "a small agent instead of Claude Code (no `claude` on PATH): it really writes, runs and tests hello.py"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What `--json` prints."""

    ok: bool
    seconds: float
    real: Sequence[str]
    stand_ins: Sequence[str]
    checks: Sequence[Check]
    tasks: Sequence[Mapping[str, Any]]
    engines: Mapping[str, int | None]
    takeover_seconds: float
    work_log: Sequence[str]
    hello: str
    versions: Mapping[str, str]


def run_demo(*, as_json: bool) -> int:
    """Play the demo; returns 0 if all that it claims was so. With `as_json` stdout holds the proof and nothing else."""
    screen = Screen(Speaking(stderr=as_json, soft_wrap=True))
    root = Path(tempfile.mkdtemp(prefix="omni-demo-")).resolve()
    try:
        proof = anyio.run(_demo, root, screen)
    except KeyboardInterrupt:
        shutil.rmtree(root, ignore_errors=True)
        return 130
    except Exception as error:  # noqa: BLE001  # pylint: disable=broad-exception-caught  # whatever it was, say it
        screen.broken(_said(error), root)
        answer: Mapping[str, Any] = {"ok": False, "error": _said(error), "kept": str(root)}
    else:
        answer = asdict(proof)
        _end(proof, root, screen)
    if as_json:
        sys.stdout.write(json.dumps(answer, ensure_ascii=False, indent=2) + "\n")
    return 0 if answer["ok"] else 1


async def _demo(root: Path, screen: Screen) -> Proof:
    began = time.monotonic()
    async with staged(root) as stage:
        real, stand_ins = _cast(stage)
        screen.banner(real, stand_ins)
        async with telling_steps(stage, screen):
            story = await _in_time(play(stage, screen))
    evidence = collect(story, stage)
    checked = list(checks(evidence))
    return Proof(
        ok=all(check.ok for check in checked),
        seconds=round(time.monotonic() - began, 1),
        real=real,
        stand_ins=stand_ins,
        checks=checked,
        tasks=[task.shown() for task in story.ended],
        engines={"killed": story.killed, "successor": story.successor},
        takeover_seconds=round(story.takeover, 2),
        work_log=evidence.work_log,
        hello=story.greeting,
        versions=_versions(),
    )


async def _in_time(playing: Awaitable[Story]) -> Story:
    """Bound the story. Raises BrokenOff."""
    try:
        with anyio.fail_after(LIMIT):
            return await playing
    except TimeoutError as error:
        raise BrokenOff(f"it was not over after {LIMIT:.0f} s") from error


def _cast(stage: Stage) -> tuple[Sequence[str], Sequence[str]]:
    """Return what is real and what is a stand-in."""
    if stage.claude is None:
        return REAL, (CLOUD_STAND_IN, CLAUDE_STAND_IN)
    return (*REAL, f"Claude Code: {stage.claude}"), (CLOUD_STAND_IN,)


def _versions() -> Mapping[str, str]:
    libraries = {name: version(name) for name in ("fastmcp", "mcp", "litellm")}
    return {"omni-mcp": __version__, "python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version, **libraries}


def _end(proof: Proof, root: Path, screen: Screen) -> None:
    """Show the checks; a home that proves something wrong is kept."""
    screen.checked(proof.checks, seconds=proof.seconds)
    if proof.ok:
        shutil.rmtree(root, ignore_errors=True)
        screen.how_to_use(_program())
    else:
        screen.kept(root)


def _program() -> str:
    """Return the absolute path of `omni-mcp`."""
    beside = Path(sys.executable).with_name("omni-mcp")
    return str(beside) if beside.exists() else shutil.which("omni-mcp") or "omni-mcp"


def _said(error: BaseException) -> str:
    """Return the first error of a group in words."""
    if isinstance(error, BaseExceptionGroup):
        return _said(error.exceptions[0])  # pyright: ignore[reportUnknownArgumentType,reportUnknownMemberType]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
