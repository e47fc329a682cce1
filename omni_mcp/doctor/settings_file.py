"""The settings: which file holds, what of it cannot be used, and who may read `.env`."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from omni_mcp.doctor.finding import AN_EDIT, Finding, Severity, ok
from omni_mcp.doctor.scene import Scene
from omni_mcp.doctor.shell import edit, kept, pip_install, replaced
from omni_mcp.file_check.check import APPRISE, LACKS_APPRISE
from omni_mcp.file_check.problem import Problem

_UNSET = re.compile(r"the variable (\w+) is not set")
_MISSPELT = re.compile(r"'([^']+)' is no key here|no \w+ is called '([^']+)'")
_NEAREST = re.compile(r"did you mean '([^']+)'\?")
_LINE = re.compile(r" line (\d+)|^line (\d+)")
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def file_in_force(scene: Scene) -> Iterator[Finding]:
    """Say which file holds, and whose home it is."""
    yield ok("settings", f"settings: {scene.settings}; home: {scene.home.root} ({_whose(scene)})")


def _whose(scene: Scene) -> str:
    return "--home or OMNI_HOME" if "OMNI_HOME" in scene.variables else "the user's own"


def problems(scene: Scene) -> Iterator[Finding]:
    """Yield what of the settings cannot be used, each with its line."""
    if scene.is_open:
        yield from (_finding(problem, scene) for problem in scene.settings.problems)


def _finding(problem: Problem, scene: Scene) -> Finding:
    if problem.where == str(scene.home.dotenv):
        return _unreadable(problem, scene.home.dotenv)
    if problem.where == str(scene.home.config) and not scene.home.servers.exists():
        return Finding(code="settings-missing", severity=Severity.ERROR, text=str(problem), fix="unset OMNI_CONFIG")
    if problem.what == LACKS_APPRISE:
        return Finding(code="extra-missing", severity=Severity.ERROR, text=str(problem), fix=pip_install(APPRISE))
    if unset := _UNSET.search(problem.what):
        return _unset(problem, unset[1], scene)
    if (fix := _respelt(problem, scene)) is not None:
        is_key = problem.what.endswith("is no key here")
        return Finding(code="settings-word", severity=Severity.ERROR, text=str(problem), fix=fix, safe=is_key)
    fix = edit(scene.home.servers, _line(problem))
    return Finding(code="settings-flaw", severity=Severity.ERROR, text=str(problem), fix=fix, needs=AN_EDIT)


def _unreadable(problem: Problem, dotenv: Path) -> Finding:
    fix = f"chmod u+rw {quote(str(dotenv))} && {edit(dotenv)}"
    text = f"{problem}. None of its variables is known"
    return Finding(code="dotenv-unreadable", severity=Severity.ERROR, text=text, fix=fix, needs=AN_EDIT)


def _unset(problem: Problem, name: str, scene: Scene) -> Finding:
    """Return a variable without a value: where it costs one executor or provider, the rest works."""
    one_row = problem.executor is not None or ", direct." in problem.where
    return Finding(
        code="variable-unset",
        severity=Severity.WARNING if one_row else Severity.ERROR,
        text=str(problem),
        about=name,
        fix=given(name, scene),
        needs=f"the value of {name}",
    )


def given(name: str, scene: Scene) -> str:
    """Return the command that gives a variable a value; the one of the shell would go before the one in `.env`."""
    unset = f"unset {name} && " if name in scene.variables else ""
    return unset + kept(name, scene.home.dotenv)


def _respelt(problem: Problem, scene: Scene) -> str | None:
    """Return the command that puts the nearest word in the place of a misspelt key or name."""
    wrong, right, line = _MISSPELT.search(problem.what), _NEAREST.search(problem.fix), _line(problem)
    if not (wrong and right and line) or not scene.may_be_edited:
        return None
    key, name = wrong.groups()
    return replaced(scene.home.servers, line, f"{key}:" if key else name, f"{right[1]}:" if key else right[1])


def _line(problem: Problem) -> int | None:
    found = _LINE.search(problem.where) or _LINE.search(problem.what)
    return int(found[1] or found[2]) if found else None


def who_reads_dotenv(scene: Scene) -> Iterator[Finding]:
    """Say whether anybody else may read `.env`: it holds keys."""
    file = scene.home.dotenv
    if os.name != "posix" or not file.exists():
        return
    names = ", ".join(sorted(scene.settings.secrets)) or "nothing"
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & OTHERS:
        text = f"{file} can be read by other users (mode {mode:o}); it holds {names}"
        fix = f"chmod 600 {quote(str(file))}"
        yield Finding(code="dotenv-open", severity=Severity.WARNING, text=text, fix=fix, safe=True)
    else:
        yield ok("dotenv", f"{file} is yours alone; it sets {names}")
