"""Who may come in: a link lets one browser in, once and soon; that browser has a session of its own from then on.

What is on disk is one empty file for each, named by a hash of its key and aged by its time: so nobody can read a key
from there, using a link up is one `unlink`, and removing the folder shuts everybody out. Everything here blocks.
"""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from omni_mcp.home import make_private

LINK, SESSION = "link", "session"
LIVES = {LINK: 600.0, SESSION: 12 * 3600.0}
"""Seconds: of a link from when it was made, of a session from when it was last used."""
RENEWED = 60.0
"""Seconds after which a use of a session is written down."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one home's page."""

    folder: Path

    def link(self) -> str:
        """Return a new key that lets one browser in."""
        return self._new(LINK)

    def let_in(self, link: str) -> str | None:
        """Use a link up; returns the key of a new session. None: it was used, is too old, or never was."""
        file = self.file(LINK, link)
        fresh = _age(file) <= LIVES[LINK]
        try:
            file.unlink()
        except FileNotFoundError:
            return None
        return self._new(SESSION) if fresh else None

    def knows(self, session: str) -> bool:
        """Whether a session holds; it holds on while it is used."""
        file = self.file(SESSION, session)
        age = _age(file)
        if age > LIVES[SESSION]:
            return False
        if age > RENEWED:
            file.touch()
        return True

    def forget(self, session: str) -> None:
        """End a session."""
        self.file(SESSION, session).unlink(missing_ok=True)

    def _new(self, kind: str) -> str:
        make_private(self.folder)
        self._drop_old()
        key = secrets.token_urlsafe(32)
        self.file(kind, key).touch(mode=0o600)
        return key

    def _drop_old(self) -> None:
        for file in self.folder.iterdir():
            if _age(file) > LIVES.get(file.name.partition("-")[0], 0.0):
                file.unlink(missing_ok=True)

    def file(self, kind: str, key: str) -> Path:
        """Return what stands for a key on disk."""
        return self.folder / f"{kind}-{hashlib.sha256(key.encode(errors='replace')).hexdigest()}"


def form_key(session: str) -> str:
    """Return what every form of a session carries: who has only the cookie sent for them cannot know it."""
    return hmac.new(session.encode(), b"form", hashlib.sha256).hexdigest()


def _age(file: Path) -> float:
    """Return the seconds since a file was touched; of one that is not there, or from the future, for ever."""
    try:
        age = time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
    return age if age >= -RENEWED else float("inf")
