"""The bell of a process: each ring wakes all who wait for it."""

import anyio


class Bell:
    """Holds the event of the next ring."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    @property
    def rung(self) -> anyio.Event:
        """The event of the next ring."""
        return self._rung

    def ring(self) -> None:
        """Wake whoever waits; the next waiter waits for the next ring."""
        self._rung.set()
        self._rung = anyio.Event()
