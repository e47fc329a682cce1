"""The demo of faults from end to end: who plays, the play, its timeline and its proof."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omni_mcp.demo import show
from omni_mcp.demo.faults.books import read_books
from omni_mcp.demo.faults.proof import checks, collect
from omni_mcp.demo.faults.screen import FaultScreen
from omni_mcp.demo.faults.stage import FAST, FaultStage, shortened, staged_faults
from omni_mcp.demo.faults.story import play
from omni_mcp.demo.faults.timeline import Moment, moments
from omni_mcp.demo.story import telling_steps

LIMIT = 300.0
"""Seconds that the whole may take; a minute is usual, the first start of LiteLLM may take half of another."""

REAL = (
    "the MCP server: a process of its own, spoken to over stdio by a FastMCP client",
    "the ledger, the engine, its probes and its relay: what runs every day, with shortened times",
    "the outages: kill -9 to the LiteLLM proxy; then the clouds hang up on every caller",
)
CLOUDS_STAND_IN = "two stub clouds on loopback instead of model providers: canned answers, the prices of LiteLLM's list"
CLAUDE_STAND_IN = "a small agent instead of Claude Code (no `claude` on PATH): it really runs the commands of its task"
PROXY_STAND_IN = (
    "a small program instead of the LiteLLM proxy (no `litellm` with its proxy on PATH): it passes calls on and says "
    "that it is alive. For the real one: make demo-faults, or pip install 'litellm[proxy]' and put it on PATH"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof(show.Proof):
    """What `--json` prints."""

    profile: Mapping[str, float]
    timeline: Sequence[Mapping[str, Any]]


def run_faults(*, as_json: bool) -> int:
    """Play the demo; returns 0 if all that it claims was so."""
    return show.show(_demo, FaultScreen, as_json=as_json)


async def _demo(root: Path, screen: FaultScreen) -> Proof:
    """Play it, then prove it. Raises BrokenOff, NotUp, ToolError."""
    began = time.monotonic()
    async with staged_faults(root) as stage:
        real, stand_ins = _cast(stage)
        screen.banner(real, stand_ins)
        screen.profile(shortened())
        async with telling_steps(stage, screen):
            story = await show.in_time(play(stage, screen), limit=LIMIT)
    happened = moments(read_books(stage.home.ledger), story.deeds)
    screen.timeline(happened, began=story.began)
    checked = list(checks(collect(story, stage)))
    return Proof(
        ok=all(check.ok for check in checked),
        seconds=round(time.monotonic() - began, 1),
        profile=FAST,
        real=real,
        stand_ins=stand_ins,
        checks=checked,
        timeline=[_told(moment, story.began) for moment in happened],
        tasks=[task.shown() for task in story.ended],
        versions=show.versions(),
    )


def _cast(stage: FaultStage) -> tuple[Sequence[str], Sequence[str]]:
    """Return what is real and what is a stand-in."""
    proxy = f"the LiteLLM proxy: {stage.proxy}" if stage.proxy else PROXY_STAND_IN
    claude = f"Claude Code: {stage.claude}" if stage.claude else CLAUDE_STAND_IN
    cast = ((proxy, stage.proxy), (claude, stage.claude))
    return (
        [*REAL, *(what for what, real in cast if real)],
        [CLOUDS_STAND_IN, *(what for what, real in cast if not real)],
    )


def _told(moment: Moment, began: float) -> Mapping[str, Any]:
    return {**asdict(moment), "at": round(moment.at - began, 1)}
