"""How every demo is shown: in a folder of its own, bounded, with its proof at the end; what fails is kept."""

import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import anyio

from omni_mcp import __version__
from omni_mcp.demo.check import Check
from omni_mcp.demo.screen import Screen
from omni_mcp.demo.story import BrokenOff
from omni_mcp.lang.console import Speaking

S = TypeVar("S", bound=Screen)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What `--json` prints of every demo."""

    ok: bool
    seconds: float
    real: Sequence[str]
    stand_ins: Sequence[str]
    checks: Sequence[Check]
    tasks: Sequence[Mapping[str, Any]]
    versions: Mapping[str, str]


def show(demo: Callable[[Path, S], Awaitable[Proof]], screen: type[S], *, as_json: bool) -> int:
    """Play a demo; returns 0 if all that it claims was so. With `as_json` stdout holds the proof and nothing else."""
    shown = screen(Speaking(stderr=as_json, soft_wrap=True))
    root = Path(tempfile.mkdtemp(prefix="omni-demo-")).resolve()
    try:
        proof = anyio.run(demo, root, shown)
    except KeyboardInterrupt:
        shutil.rmtree(root, ignore_errors=True)
        return 130
    except Exception as error:  # noqa: BLE001  # pylint: disable=broad-exception-caught  # whatever it was, say it
        shown.broken(_said(error), root)
        answer: Mapping[str, Any] = {"ok": False, "error": _said(error), "kept": str(root)}
    else:
        answer = asdict(proof)
        _end(proof, root, shown)
    if as_json:
        sys.stdout.write(json.dumps(answer, ensure_ascii=False, indent=2) + "\n")
    return 0 if answer["ok"] else 1


async def in_time(playing: Awaitable[T], *, limit: float) -> T:
    """Bound a story, in seconds. Raises BrokenOff."""
    try:
        with anyio.fail_after(limit):
            return await playing
    except TimeoutError as error:
        raise BrokenOff(f"it was not over after {limit:.0f} s") from error


def versions() -> Mapping[str, str]:
    """Return what played."""
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
