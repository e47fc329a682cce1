"""A time limit that stands still while somebody is asked: people take their time, and no run fails for that."""

import math
from collections.abc import Generator
from contextlib import contextmanager

import anyio


class Pause:
    """Stops the clock of a scope while at least one question is open."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self._scope = scope
        self._left = math.inf
        self._open = 0

    @contextmanager
    def asking(self) -> Generator[None]:
        """Stand still while the body runs. What has run out stays so: whoever set the limit reads its deadline then."""
        if self._scope.cancel_called:
            yield
            return
        if not self._open:
            self._left = self._scope.deadline - anyio.current_time()
            self._scope.deadline = math.inf
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self._scope.deadline = anyio.current_time() + self._left
