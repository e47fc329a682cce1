"""The folders of tasks that name none: those wanted at one moment are made in one visit to a thread."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
from anyio.to_thread import run_sync


class Workplaces:
    """Folders below `parent`."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._making = anyio.Lock()
        self._wanted: list[Path] = []
        self._failed: dict[Path, OSError] = {}

    async def of(self, task_id: str) -> Path:
        """Return the folder of a task, which is there now. Raises OSError."""
        folder = self._parent / task_id
        self._wanted.append(folder)
        async with self._making:  # who waits here is served by who goes first
            if folder in self._wanted:
                wanted, self._wanted = self._wanted, []
                with anyio.CancelScope(shield=True):  # the others rely on it
                    failed = await run_sync(partial(_made, wanted))
                    self._failed = {each: why for each, why in self._failed.items() if each not in wanted} | failed
        if (error := self._failed.pop(folder, None)) is not None:
            raise error
        return folder


def _made(folders: Sequence[Path]) -> dict[Path, OSError]:
    """Make folders; returns which could not be, and why."""
    failed: dict[Path, OSError] = {}
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            failed[folder] = error
    return failed
