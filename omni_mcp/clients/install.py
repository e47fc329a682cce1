"""Install and uninstall: each is worked out whole, shown, and only then carried out."""

import shlex
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omni_mcp.clients import claude, files
from omni_mcp.clients.catalog import ClientKind, Place, client_named
from omni_mcp.clients.change import Change, origin, restored, same, told
from omni_mcp.clients.step import Step
from omni_mcp.errors import BadRequest, SettingsError


def place_of(name: str, *, project: bool) -> Place:
    """Return this machine. Raises BadRequest for `--project` with another client than `json`, and `json` without it."""
    client_named(name)
    if project and name != "json":
        raise BadRequest(
            f"--project belongs to json: {name} has a configuration of its own",
            next_step=f"omni-mcp install {name}, or omni-mcp install json --project",
        )
    if name == "json" and not project:
        raise BadRequest(
            "json only prints, so there is nothing to take back", next_step="omni-mcp uninstall json --project"
        )
    return Place()


def installing(
    name: str,
    place: Place,
    *,
    command: str,
    home: Path | None = None,
    config: Path | None = None,
    url: str | None = None,
    force: bool = False,
) -> Step:
    """Work out how our server comes into a client.

    `command` is what the client starts, `home` and `config` what it names (else the user's own); with a `url` it
    reaches the server there instead. `force` replaces an entry that starts something else. Raises BadRequest and
    SettingsError; nothing is touched.
    """
    client = client_named(name)
    if url is not None and client.http is None:
        raise BadRequest(f"{client.title} is given a command, not a url", next_step=f"omni-mcp install {name}")
    path, entry = client.path(place), client.entry(command, home, config, url=url)
    before, found = _found(client, path)
    if same(found, entry):
        return _nothing(f"{client.title} has it already: {path}")
    if found is not None and not force:
        raise BadRequest(
            f"{path} has a server {'.'.join(client.keys)} already, and it starts something else: {told(found)}",
            next_step=f"omni-mcp install {name} --force",
        )
    with _about(path):
        change = Change(path=path, before=before, after=client.editor.insert(before or "", client.keys, entry))
    if program := _program(name):
        commands = [*([claude.removing(program)] if found is not None else []), claude.adding(program, entry)]
        return _by_claude(commands, done=_done(client, path, url), first=lambda: _back_up(client, change))
    return Step(shown=change.diff(), done=_done(client, path, url), carry_out=lambda: _install(client, change))


def _done(client: ClientKind, path: Path, url: str | None) -> str:
    if url is not None:
        return f"{client.title} has it, and reaches it at {url}: {path}"
    return f"{client.title} has it, and will start it the next time that you open it: {path}"


def uninstalling(name: str, place: Place) -> Step:
    """Work out how our server leaves a client. Raises BadRequest and SettingsError; nothing is touched."""
    client = client_named(name)
    path = client.path(place)
    now, found = _found(client, path)
    if now is None or found is None:
        return _nothing(f"{client.title} does not have it: {path}")
    with _about(path):
        change = Change(path=path, before=now, after=restored(client, now, _text(backup_of(path))))
    done = f"{client.title} has it no more: {path}"
    if program := _program(name):
        return _by_claude([claude.removing(program)], done=done, last=lambda: files.delete(backup_of(path)))
    return Step(shown=change.diff(), done=done, carry_out=lambda: _uninstall(change))


def snippet(command: str, home: Path | None, config: Path | None = None) -> Mapping[str, Any]:
    """Return what most clients take by hand."""
    return {"mcpServers": {"omni": client_named("json").entry(command, home, config)}}


def backup_of(path: Path) -> Path:
    """Return where the back-up of a file is kept."""
    return path.with_name(f"{path.name}.omni-backup")


def _program(name: str) -> str | None:
    return claude.program() if name == "claude-code" else None


def _nothing(why: str) -> Step:
    return Step(shown="", done=why, carry_out=lambda: None)


def _by_claude(
    commands: Sequence[Sequence[str]],
    *,
    done: str,
    first: Callable[[], None] = lambda: None,
    last: Callable[[], None] = lambda: None,
) -> Step:
    def carry_out() -> None:
        first()
        for command in commands:
            claude.run(command)
        last()

    return Step(shown="\n".join(map(shlex.join, commands)), done=done, carry_out=carry_out)


def _install(client: ClientKind, change: Change) -> None:
    _refuse_if_changed(change)
    files.refuse_read_only(change.path)
    _back_up(client, change)
    files.write(change.path, (change.after or "").encode())


def _uninstall(change: Change) -> None:
    _refuse_if_changed(change)
    if change.after is None:
        files.delete(change.path)
    else:
        files.write(change.path, change.after.encode())
    files.delete(backup_of(change.path))


def _back_up(client: ClientKind, change: Change) -> None:
    """Keep what was there before us, also where this installation replaces an older one of ours."""
    backup = backup_of(change.path)
    before = change.before and origin(client, change.before, _text(backup))
    if before is None:
        files.delete(backup)
    else:
        files.write(backup, before.encode(), like=change.path)


def _refuse_if_changed(change: Change) -> None:
    """Refuse to overwrite what the client or somebody else wrote while the diff was looked at."""
    if _text(change.path) != change.before:
        raise SettingsError(
            f"{change.path} has changed in the meantime; it is left as it is", next_step="run the command again"
        )


def _found(client: ClientKind, path: Path) -> tuple[str | None, Any]:
    """Return the text of a configuration, None if it is not there, and what it has under our name."""
    text = _text(path)
    with _about(path):
        return text, client.editor.find(text or "", client.keys)


def _text(path: Path) -> str | None:
    content = files.read(path)
    return None if content is None else files.decoded(path, content)


@contextmanager
def _about(path: Path) -> Generator[None]:
    """Say of a refusal which file it is about, and that nothing has happened to it."""
    try:
        yield
    except SettingsError as error:
        fix = error.next_step or "mend it there"
        raise SettingsError(
            f"{path} cannot be used: {error.message}; it is as it was",
            next_step=f"{fix}, then run the command again",
        ) from error
