"""The clients: which have us, and whether what they start is this installation."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any, cast

from omni_mcp.clients import files
from omni_mcp.clients.catalog import CLIENTS, ClientKind, Place
from omni_mcp.clients.launch import SCRIPT, console_script
from omni_mcp.doctor.finding import AN_EDIT, Finding, Severity, note, ok
from omni_mcp.doctor.scene import Scene
from omni_mcp.doctor.shell import edit, program
from omni_mcp.errors import SettingsError

Entry = Mapping[str, Any]

OPTIONS = {"OMNI_HOME": "--home", "OMNI_CONFIG": "--config"}
"""What an entry may name, and how `install` is told of it."""


def clients(scene: Scene) -> Iterator[Finding]:
    """Look into the configuration of every client that we know."""
    here = Place(variables=scene.variables)
    found = [finding for name, client in CLIENTS.items() for finding in _one(name, client, here, scene)]
    yield from found
    if not found:
        text = "no client that we know has this server yet"
        yield note("no-client", text, fix=f"{program()} install claude-code --yes")


def _one(name: str, client: ClientKind, here: Place, scene: Scene) -> Iterator[Finding]:
    path = client.path(here)
    try:
        entry = _entry(client, path)
    except SettingsError as error:
        text = f"{client.title} cannot read its {path}: {error.message}"
        yield Finding(
            code="client-unreadable", severity=Severity.WARNING, text=text, about=name, fix=edit(path), needs=AN_EDIT
        )
        return
    if entry is not None:
        yield _judged(name, client, entry, scene)


def _entry(client: ClientKind, path: Path) -> Entry | None:
    """Return what a client starts under our name; None if it has nothing there. Raises SettingsError."""
    content = files.read(path)
    if content is None:
        return None
    entry = client.editor.find(files.decoded(path, content), client.keys)
    return cast("Entry", entry) if isinstance(entry, dict) else None


def _judged(name: str, client: ClientKind, entry: Entry, scene: Scene) -> Finding:
    command, named = str(entry.get("command") or ""), _named(entry)
    fix, safe = _reinstall(name, named), name != "json"  # the current folder may be anybody's
    if not command:
        return note("client-elsewhere", f"{client.title} reaches us at {entry.get('url')}", about=name)
    if (program_there := shutil.which(command)) is None:
        text = f"{client.title} starts {command}, which is not there (any more): it does not have our tools"
        return Finding(code="client-stale", severity=Severity.ERROR, text=text, about=name, fix=fix, safe=safe)
    if Path(command).stem == SCRIPT and not _is_this(program_there):
        text = f"{client.title} starts another installation, {command}: two releases on one ledger"
        return Finding(code="client-other", severity=Severity.WARNING, text=text, about=name, fix=fix, safe=safe)
    home = named.get("OMNI_HOME")
    if home and Path(home) != scene.home.root:
        return note("client-home", f"{client.title} uses another home: {home}", about=name)
    return ok("client", f"{client.title} starts {command}", about=name)


def _named(entry: Entry) -> Mapping[str, str]:
    """Return the home and the settings file that an entry names."""
    env: Entry = cast("Entry", entry["env"]) if isinstance(entry.get("env"), dict) else {}
    return {variable: str(env[variable]) for variable in OPTIONS if env.get(variable)}


def _reinstall(name: str, named: Mapping[str, str]) -> str:
    """Return the command that writes us anew into a client, with the home and the file that it names now."""
    words = ["--project"] if name == "json" else []
    words += [word for variable, value in named.items() for word in (OPTIONS[variable], value)]
    return " ".join([program(), "install", name, *map(quote, words), "--force --yes"])


def _is_this(program_there: str) -> bool:
    try:
        return Path(program_there).resolve() == Path(console_script()).resolve()
    except SettingsError:
        return False
