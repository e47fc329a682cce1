"""What an installation changes in the file of a client, and what undoes it. Pure: texts in, texts out."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omni_mcp.clients.catalog import ClientKind, Editor


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
    row = cast("Mapping[str, Any]", entry)
    return row.get("command"), row.get("args") or [], row.get("env") or {}


def told(entry: Any) -> str:
    """Return what an entry starts, without its variables: they may be secrets."""
    row = cast("Mapping[str, Any]", entry) if isinstance(entry, dict) else {}
    return " ".join(map(str, [row.get("command") or row.get("url") or "nothing", *(row.get("args") or [])]))


def is_only_ours(client: ClientKind, now: str, before: str | None) -> bool:
    """Whether a file is what our edit makes of the back-up, and nobody has changed it since."""
    entry = client.editor.find(now, client.keys)
    return entry is not None and client.editor.insert(before or "", client.keys, entry) == now


def restored(client: ClientKind, now: str, before: str | None) -> str | None:
    """Return what the file was before the installation, None if it was not there.

    `before` is the back-up: it comes back byte for byte, unless somebody has changed the file since; then only what we
    added is taken out.
    """
    if is_only_ours(client, now, before):
        return before
    return client.editor.remove(now, _added(client.editor, client.keys, now, before))


def _added(edit: Editor, keys: Sequence[str], now: str, before: str | None) -> Sequence[str]:
    """Return the path of the outermost object that we made and nobody else has used since."""
    outer = keys[:-1]
    ours = before is not None and edit.find(before, outer) is None and len(edit.find(now, outer)) == 1
    return _added(edit, outer, now, before) if outer and ours else keys
