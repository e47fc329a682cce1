"""What an installation changes in the file of a client, and what undoes it. Pure: texts in, texts out."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from omni_mcp.clients.catalog import ClientKind, Editor
from omni_mcp.clients.launch import SCRIPT
from omni_mcp.this_machine import leads_here


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A file before and after; None where it is not there."""

    path: Path
    before: str | None
    after: str | None

    def diff(self) -> str:
        """Return the change for a person to judge, with one line around it: what is near may be a secret."""
        before, after = ((text or "").removeprefix("\ufeff").splitlines() for text in (self.before, self.after))
        was, will_be = (str(self.path) if text is not None else "(no file)" for text in (self.before, self.after))
        return "\n".join(difflib.unified_diff(before, after, was, will_be, lineterm="", n=1))


def same(one: Any, other: Any) -> bool:
    """Whether two entries start the same thing, however they are written and whatever else they say."""
    return _start(one) == _start(other)


def _start(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    row = cast("dict[str, Any]", entry)
    return row.get("command"), row.get("args") or [], row.get("env") or {}, row.get("url")


def told(entry: Any) -> str:
    """Return what an entry starts, without its variables: they may be secrets."""
    row = cast("dict[str, Any]", entry if isinstance(entry, dict) else {})
    return " ".join(map(str, [row.get("command") or row.get("url") or "nothing", *(row.get("args") or [])]))


def origin(client: ClientKind, now: str, backup: str | None) -> str | None:
    """Return what a file was before it knew us, None if it was not there; what others have under our name is theirs."""
    return restored(client, now, backup) if _is_us(client.editor.find(now, client.keys)) else now


def restored(client: ClientKind, now: str, backup: str | None) -> str | None:
    """Return what a file was before the installation, None if it was not there.

    If it is what our edit makes of the back-up, that comes back byte for byte; else somebody has changed it since, and
    only what we added is taken out.
    """
    entry = client.editor.find(now, client.keys)
    if _is_us(entry) and client.editor.insert(backup or "", client.keys, entry) == now:
        return backup
    return client.editor.remove(now, _added(client.editor, client.keys, now, backup))


def _is_us(entry: Any) -> bool:
    row = cast("dict[str, Any]", entry if isinstance(entry, dict) else {})
    return Path(str(row.get("command"))).stem == SCRIPT or _is_served(str(row.get("url") or ""))


def _is_served(url: str) -> bool:
    """Whether a url may be that of an `omni-mcp serve`, which is on this machine."""
    return leads_here(url) and urlsplit(url).path == "/mcp"


def _added(edit: Editor, keys: Sequence[str], now: str, before: str | None) -> Sequence[str]:
    """Return the path of the outermost object that we made and nobody else has used since."""
    outer = keys[:-1]
    ours = before is not None and edit.find(before, outer) is None and len(edit.find(now, outer)) == 1
    return _added(edit, outer, now, before) if outer and ours else keys
