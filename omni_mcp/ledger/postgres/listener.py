"""Hears that anybody in the fleet wrote: a connection that listens, and asks each second as the net under it."""

import selectors
import socket
import threading
from collections.abc import Callable

from omni_mcp.ledger.postgres.connection import Db, connected, one
from omni_mcp.ledger.postgres.place import Place
from omni_mcp.ledger.postgres.statements import CUT, LISTEN, STANDS

NET = 1.0
"""Seconds between two questions whether anything was written, for rings that got lost."""


class Listener:
    """A thread that calls `on_change` whenever somebody may have written; while it cannot hear, each `NET`."""

    def __init__(self, place: Place, on_change: Callable[[], None], *, ours: str) -> None:
        """With `ours` this process rings, which it has to be told of no more."""
        self._place = place
        self._ours = ours
        self._on_change = on_change
        self._over = threading.Event()
        self._nudged, self._nudge = socket.socketpair()
        self._hears = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; returns once it hears, or cannot. Blocks."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ledger listener", daemon=True)
            self._thread.start()
        self._hears.wait()

    def close(self) -> None:
        """End. Blocks for no longer than a question."""
        self._over.set()
        self._nudge.close()
        if self._thread is not None:
            self._thread.join(CUT)
        self._nudged.close()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with connected(self._place, writes=False) as db:
                    self._listen(db)
            except Exception:  # noqa: BLE001 - whatever it is, who waits for a change looks each second
                self._hears.set()
                self._over.wait(NET)
            self._on_change()

    def _listen(self, db: Db) -> None:
        db.execute(one(db, LISTEN)["listen"])
        self._hears.set()
        stood = self._stands(db)
        with selectors.DefaultSelector() as either:
            either.register(db.fileno(), selectors.EVENT_READ)
            either.register(self._nudged, selectors.EVENT_READ)
            while not self._over.is_set():
                either.select(NET)
                rings = {notify.payload for notify in db.notifies(timeout=0)}
                stands = self._stands(db)
                if rings - {self._ours} or (not rings and stands != stood):
                    self._on_change()
                stood = stands

    def _stands(self, db: Db) -> str:
        return one(db, STANDS)["stands"]
