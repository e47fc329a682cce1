"""Those who use the home while it is harmed: they submit, consent where they are asked, and take no for no answer."""

import json
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import anyio

from chaos.face import Face, FaceLost, Refused
from chaos.judge import unexplained
from chaos.world import NOBODY, World

OPEN = 14
"""Tasks that are open at once."""
CLIENTS = 2
AGAIN = 3.0
"""Seconds between two submits beyond that, while there is no engine."""


class Clients:
    """Two that submit, and one that looks after what waits."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed)
        self._numbers: Iterator[int] = count(1)
        self.submitting = True
        self._asked = 0.0
        self._wanted: list[str] = []
        self._unanswered = 0
        """Submits whose client does not know yet what came of them."""

    def ask_for(self, kind: str) -> None:
        """Have the next task be for this executor."""
        self._wanted.append(kind)

    async def submit(self) -> None:
        """Submit one task after the other, each with its key, again and again until it is acknowledged."""
        face = self._world.open_face()
        while self.submitting:
            if self._open() >= OPEN and not self._wanted:
                await anyio.sleep(0.05)
            else:
                await self._submit_one(face)

    async def _submit_one(self, face: Face) -> None:
        (kind,) = self._wanted[:1] or self._random.choices(list(self._world.mix), list(self._world.mix.values()))
        self._wanted = self._wanted[1:]
        number = next(self._numbers)
        steps, pause = self._random.randint(2, 6), self._random.randint(20, 250)
        if number % 5 == 0:
            steps, pause = 30, 100  # long enough that an old run could still be at it when the next one begins
        if number % 25 == 0:
            steps, pause = 90, 100  # long enough for a lease to be renewed
        description = f"{number}: {steps} steps of {pause} ms"
        self._unanswered += 1
        task = await self._acknowledged(face, description, kind, f"key {number}")
        self._unanswered -= 1
        self._world.acked[f"key {number}"] = task
        self._world.kinds[task] = kind

    async def _acknowledged(self, face: Face, description: str, kind: str, key: str) -> str:
        while True:
            try:
                answer = await face.call("submit_task", description=description, executor=kind, idempotency_key=key)
            except FaceLost as error:
                self._world.deeds[f"submits not answered ({error})"] += 1
            except Refused as error:
                said = json.loads(str(error))
                if not said.get("retryable"):
                    raise
                self._world.deeds[f"submits refused ({said['code']})"] += 1
            else:
                return answer["task_id"]

    async def tend(self) -> None:
        """Consent for what asks for it, hasten what may go on, cancel what nobody will ever run; for ever."""
        face = self._world.open_face()
        while True:
            with suppress(FaceLost, Refused):
                await self._tend_once(face)
            if not self._world.is_served and self.submitting and time.monotonic() > self._asked + AGAIN:
                self._asked = time.monotonic()
                await self._submit_one(face)  # one that was asked to go comes back with a submit
            self._world.unreasoned.update(unexplained(self._world))
            await anyio.sleep(0.25)

    async def _tend_once(self, face: Face) -> None:
        waiting = self._world.rows("select id, attempt, waiting_for, executor from tasks where state = 'waiting'")
        for row in waiting:
            if row["waiting_for"] == "consent":
                self._world.consents.add((row["id"], row["attempt"]))
                await face.call("resume_pending", task_ids=[row["id"]])
            elif row["executor"] in NOBODY:
                await face.call("cancel_task", task_id=row["id"])
        if any(row["waiting_for"] != "consent" for row in waiting):
            await face.call("resume_pending")

    async def nothing_is_open(self) -> None:
        """Return when all submits are answered and all tasks are over."""
        while self._unanswered or self._open():
            await anyio.sleep(0.1)

    def _open(self) -> int:
        return len(self._world.rows("select 1 from tasks where open = 1"))
