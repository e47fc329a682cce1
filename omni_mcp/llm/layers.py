"""From layer to layer of a model where LiteLLM stays with one that does not serve.

The layers of a model are the rows of `model_list` that share its name; LiteLLM tries them by `litellm_params.order`.
It goes on to the next one for whatever fails before an answer begins: no connection, 4xx, 5xx, silence. It does not
(1.106, seen; `make layers`) where a layer answers HTTP 200 with an error, a sign-in page or nothing, where a stream
breaks or falls silent in its middle, nor where a chat is refused by a layer's content policy; and none of these makes
the layer rest. So here such a call goes on with the next layer, which LiteLLM is asked for by its id, and the layer is
passed over for a while. What a caller has already heard half of cannot go on elsewhere: its next call does.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from omni_mcp.llm.base import Answer, Dialect, ModelError, ModelGateway, Refusal
from omni_mcp.llm.deadline import DEADLINE
from omni_mcp.llm.heard import Heard
from omni_mcp.task import FailureClass

FIRST_REST = 60.0
"""Seconds for which a layer is passed over; twice as long each time that it fails again when it is tried."""

LONGEST_REST = 600.0

Now = Callable[[], float]


class Layered(ModelGateway, Protocol):
    """A gateway whose models have layers."""

    async def layers(self, model: str) -> Sequence[str]:
        """Return the ids of the layers of a model, the first one first; none where that is not known."""
        ...


@dataclass(slots=True, kw_only=True)
class _Rest:
    until: float
    seconds: float
    tried: bool = False
    """Whether a call tries it again, while the others still pass over it."""


class Rests:
    """Which layers are passed over, and until when."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._rests: dict[str, _Rest] = {}

    def begin(self, layer: str) -> None:
        """Pass over a layer from now on; one that failed before for twice as long."""
        before = self._rests.get(layer)
        seconds = FIRST_REST if before is None else min(LONGEST_REST, before.seconds * 2)
        if before is None or before.tried or before.until <= self._now():
            self._rests[layer] = _Rest(until=self._now() + seconds, seconds=seconds)

    def end(self, layer: str) -> None:
        """Ask it again: it has served."""
        self._rests.pop(layer, None)

    def rests(self, layer: str) -> bool:
        """Whether it is passed over now."""
        return layer in self._rests and self._rests[layer].until > self._now()

    def target(self, layers: Sequence[str], tried: Collection[str]) -> str | None:
        """Return the layer to ask for by its id; None: the choice is LiteLLM's, as ever."""
        left = [layer for layer in layers if layer not in tried]
        if not tried and (not left or left[0] not in self._rests):
            return None
        if not tried and (rest := self._rests[left[0]]).until <= self._now():
            rest.until, rest.tried = self._now() + rest.seconds, True
            return left[0]
        awake = [layer for layer in left if layer not in self._rests]
        return next(iter(awake or left), None) if tried or awake else None


class WithLayers:
    """A gateway whose calls go on with the next layer when one answers as no model API does."""

    def __init__(self, gateway: Layered, *, deadline: float = DEADLINE, now: Now = time.monotonic) -> None:
        """Take who asks LiteLLM, the seconds after which no other layer is tried any more, and the clock."""
        self.name = gateway.name
        self._gateway = gateway
        self._deadline = deadline
        self._now = now
        self._rests = Rests(now)

    async def call(
        self, dialect: Dialect, body: Mapping[str, Any], *, task_type: str | None = None, beta: str | None = None
    ) -> Answer:
        """Make one call; a stream has said its first word when this returns. Raises ModelError: the first layer's."""
        model, tried, ends_at = str(body.get("model")), list[str](), self._now() + self._deadline
        layers = await self._gateway.layers(model)
        first: ModelError | None = None
        while True:
            target = self._rests.target(layers, tried)
            asked = {**body, "model": target or model}
            try:
                answer = await self._gateway.call(dialect, asked, task_type=task_type, beta=beta)
            except ModelError as error:
                first = first or error
                failed = self._failed(error, target, layers, tried)
                if failed is None or not set(layers) - {*tried, failed} or self._now() >= ends_at:
                    raise first from error
                tried.append(failed)
            else:
                if answer.body is not None and target is not None:
                    self._rests.end(target)
                return Heard(answer, partial(self._ended, target, layers), model=model)

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._gateway.aclose()

    def _failed(
        self, error: ModelError, target: str | None, layers: Sequence[str], tried: Collection[str]
    ) -> str | None:
        """Return the layer that failed, and let it rest; None: LiteLLM has asked them all, or the task is at fault."""
        if error.refuses is Refusal.POLICY:  # the layer is well: it is this call that it refuses
            return target or next((layer for layer in layers if layer not in tried), None)
        failed = error.layer or (target if error.kind is not FailureClass.TASK else None)
        if failed is not None:
            self._rests.begin(failed)
        return failed

    def _ended(self, target: str | None, layers: Sequence[str], error: ModelError | None) -> None:
        """Hear how a stream ended; one that broke says nothing of LiteLLM where the next call goes elsewhere."""
        layer = target if error is None else error.layer or target
        if error is None and layer is not None:
            self._rests.end(layer)
        if error is not None and layer is not None:
            self._rests.begin(layer)
            error.elsewhere = bool(set(layers) - {layer})
