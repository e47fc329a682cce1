"""What keeps an engine alive while nobody is there: a systemd user unit (Linux) or a launchd agent (macOS). Blocks.

https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html, and launchd.plist(5) of macOS.
"""

import hashlib
import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omni_mcp.clients import files
from omni_mcp.clients.change import Change
from omni_mcp.clients.launch import console_script
from omni_mcp.clients.step import Step
from omni_mcp.errors import BadRequest, SettingsError
from omni_mcp.home import Home

MARK = "omni-mcp service install"
"""What a file of ours says of itself."""
LIMIT = 60
"""Seconds that a command of the system may take."""
LINGER = "it runs while you are logged in; from the start of the machine on with: loginctl enable-linger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """How this machine keeps a program alive: a file, and the commands that take it up."""

    name: str
    path: Path
    text: str
    starts: Sequence[Sequence[str]]
    stops: Sequence[Sequence[str]]
    """Run before the file is removed."""
    forgets: Sequence[Sequence[str]]
    """Run after it was."""
    asks: Sequence[str]
    """Ends with 0 while it is alive."""
    note: str | None = None


def keeper_for(home: Home, *, serve: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> Keeper:
    """Return how a home is kept: its engine, or with `serve` (its options) engine, MCP over HTTP and webhooks.

    Raises BadRequest where this machine has neither systemd nor launchd, with what to do there.
    """
    argv = [console_script(), "--home", str(home.root)]
    argv += ["--config", str(home.config)] if home.config else []
    argv += ["engine", "run", "--stay"] if serve is None else ["serve", *serve]
    name = _name(home, environ)
    if sys.platform == "darwin" and shutil.which("launchctl"):
        return _launchd(home, name, argv, environ)
    if sys.platform.startswith("linux") and shutil.which("systemctl"):
        return _systemd(home, name, argv, environ)
    raise BadRequest(_elsewhere(), next_step=f"have it keep this command alive: {shlex.join(argv)}")


def _elsewhere() -> str:
    if sys.platform == "win32":
        return "Windows has no user services; its Task Scheduler (schtasks /create /sc onlogon) starts a command"
    return "this machine has neither systemd nor launchd; a container restarts its command, others have a cron @reboot"


def _name(home: Home, environ: Mapping[str, str]) -> str:
    """Return the name of the service: one for each home."""
    if "OMNI_HOME" not in environ:
        return "omni-mcp"
    return f"omni-mcp-{hashlib.sha256(str(home.root).encode()).hexdigest()[:6]}"


def _systemd(home: Home, name: str, argv: Sequence[str], environ: Mapping[str, str]) -> Keeper:
    folder = Path(environ.get("XDG_CONFIG_HOME") or Path(environ["HOME"]) / ".config") / "systemd/user"
    unit = f"{name}.service"
    text = f"""\
# {MARK}
[Unit]
Description=omni-mcp, {_specifier(str(home.root))}

[Service]
Type=exec
ExecStart={" ".join(map(_quoted, argv))}
# a service has no shell: the programs of executors are found here, keys come from .env of the home
Environment={_quoted(f"PATH={environ.get('PATH', os.defpath)}")}
Restart=always
RestartSec=2
# the engine gives back its work first; what is left after it is ended
KillMode=mixed
TimeoutStopSec=60

[Install]
WantedBy=default.target
"""
    manage = ["systemctl", "--user"]
    return Keeper(
        name=unit,
        path=folder / unit,
        text=text,
        starts=[[*manage, "daemon-reload"], [*manage, "enable", unit], [*manage, "restart", unit]],
        stops=[[*manage, "disable", "--now", unit]],
        forgets=[[*manage, "daemon-reload"]],
        asks=[*manage, "--quiet", "is-active", unit],
        note=LINGER,
    )


def _quoted(word: str) -> str:
    """Return a word as a unit has it, in which % and $ mean nothing."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("$", "$$")
    return f'"{_specifier(escaped)}"'


def _specifier(text: str) -> str:
    return text.replace("%", "%%")


def _launchd(home: Home, name: str, argv: Sequence[str], environ: Mapping[str, str]) -> Keeper:
    label = f"io.{name}"
    path = Path(environ["HOME"]) / "Library/LaunchAgents" / f"{label}.plist"
    settings = {
        "Label": label,
        "ProgramArguments": list(argv),
        "EnvironmentVariables": {"PATH": environ.get("PATH", os.defpath)},
        "RunAtLoad": True,
        "KeepAlive": True,
        "ExitTimeOut": 60,
        "StandardOutPath": str(home.engine_log),
        "StandardErrorPath": str(home.engine_log),
    }
    text = plistlib.dumps(settings, sort_keys=False).decode().replace("<plist", f"<!-- {MARK} -->\n<plist", 1)
    domain = f"gui/{os.getuid()}"
    return Keeper(
        name=label,
        path=path,
        text=text,
        starts=[["launchctl", "bootstrap", domain, str(path)]],
        stops=[["launchctl", "bootout", f"{domain}/{label}"]],
        forgets=[],
        asks=["launchctl", "print", f"{domain}/{label}"],
    )


def installing(keeper: Keeper, *, force: bool = False) -> Step:
    """Work out how the service comes. Raises BadRequest for a file of somebody else, unless forced."""
    before = _text(keeper.path)
    if before is not None and MARK not in before and not force:
        raise BadRequest(f"{keeper.path} is not ours", next_step="omni-mcp service install --force keeps a back-up")
    change = Change(path=keeper.path, before=before, after=keeper.text)
    first: Sequence[Sequence[str]] = keeper.stops if keeper.path.suffix == ".plist" and is_active(keeper) else ()

    def carry_out() -> None:
        _refuse_if_changed(change)
        if before is not None and MARK not in before:
            files.write(_backup(keeper), before.encode(), like=keeper.path)
        files.write(keeper.path, keeper.text.encode())
        for command in (*first, *keeper.starts):
            run(command)

    done = f"{keeper.name} is alive, and is started again whenever it ends: {keeper.path}"
    shown = "\n".join(filter(None, (change.diff(), *map(shlex.join, (*first, *keeper.starts)))))
    return Step(shown=shown, done=". ".join(filter(None, (done, keeper.note))), carry_out=carry_out)


def uninstalling(keeper: Keeper) -> Step:
    """Work out how the service goes; what was there before it comes back. Raises BadRequest for a file of others."""
    now = _text(keeper.path)
    if now is None:
        return Step(shown="", done=f"there is no service: {keeper.path}", carry_out=lambda: None)
    if MARK not in now:
        raise BadRequest(f"{keeper.path} is not ours", next_step=f"look at it: cat {shlex.quote(str(keeper.path))}")
    backup = _text(_backup(keeper))
    change = Change(path=keeper.path, before=now, after=backup)

    def carry_out() -> None:
        _refuse_if_changed(change)
        for command in keeper.stops:
            run(command)
        if backup is None:
            files.delete(keeper.path)
        else:
            files.write(keeper.path, backup.encode())
            files.delete(_backup(keeper))
        for command in keeper.forgets:
            run(command)

    commands = [*map(shlex.join, keeper.stops), change.diff(), *map(shlex.join, keeper.forgets)]
    return Step(shown="\n".join(commands), done=f"{keeper.name} is gone: {keeper.path}", carry_out=carry_out)


def is_installed(keeper: Keeper) -> bool:
    """Whether its file is there and ours."""
    return MARK in (_text(keeper.path) or "")


def is_active(keeper: Keeper) -> bool:
    """Whether the system says that it is alive."""
    try:
        return not _ran(keeper.asks).returncode
    except SettingsError:
        return False


def run(argv: Sequence[str]) -> None:
    """Run a command of the system. Raises SettingsError with what it said if it did not do it."""
    done = _ran(argv)
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise SettingsError(f"{shlex.join(argv)}: {said}", next_step="mend that, then the same command again")


def _ran(argv: Sequence[str]) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SettingsError(f"{argv[0]} did not answer: {error}", next_step=shlex.join(argv)) from error


def _backup(keeper: Keeper) -> Path:
    return keeper.path.with_name(f"{keeper.path.name}.omni-backup")


def _text(path: Path) -> str | None:
    content = files.read(path)
    return None if content is None else files.decoded(path, content)


def _refuse_if_changed(change: Change) -> None:
    if _text(change.path) != change.before:
        raise SettingsError(
            f"{change.path} has changed in the meantime; it is left as it is", next_step="run the command again"
        )
