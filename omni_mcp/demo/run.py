"""The demo of the main job: from end to end in a home of its own, without key or cloud; it ends with a proof."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omni_mcp.demo import show
from omni_mcp.demo.proof import checks, collect
from omni_mcp.demo.screen import Screen
from omni_mcp.demo.stage import Stage, staged
from omni_mcp.demo.story import play, telling_steps

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
class Proof(show.Proof):
    """What `--json` prints."""

    engines: Mapping[str, int | None]
    takeover_seconds: float
    work_log: Sequence[str]
    hello: str


def run_demo(*, as_json: bool) -> int:
    """Play the demo; returns 0 if all that it claims was so."""
    return show.show(_demo, Screen, as_json=as_json)


async def _demo(root: Path, screen: Screen) -> Proof:
    began = time.monotonic()
    async with staged(root) as stage:
        real, stand_ins = _cast(stage)
        screen.banner(real, stand_ins)
        async with telling_steps(stage, screen):
            story = await show.in_time(play(stage, screen), limit=LIMIT)
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
        versions=show.versions(),
    )


def _cast(stage: Stage) -> tuple[Sequence[str], Sequence[str]]:
    """Return what is real and what is a stand-in."""
    if stage.claude is None:
        return REAL, (CLOUD_STAND_IN, CLAUDE_STAND_IN)
    return (*REAL, f"Claude Code: {stage.claude}"), (CLOUD_STAND_IN,)
