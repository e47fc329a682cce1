"""An answer whose end is heard of: whoever chose who serves learns how that ended."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from omni_mcp.llm.base import Answer, ModelError, Spent


class Heard:
    """An answer that says once how its stream ended: with an error, or with None."""

    def __init__(
        self, answer: Answer, on_end: Callable[[ModelError | None], None], *, model: str | None = None
    ) -> None:
        """With a `model` that is the one it tells of, whatever served."""
        self._answer = answer
        self._on_end = on_end
        self._model = model

    @property
    def body(self) -> Mapping[str, Any] | None:
        """The whole JSON body; None when it streams."""
        return self._answer.body

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Pass the pieces on. Raises ModelError."""
        try:
            async with aclosing(self._answer.chunks()) as chunks:
                async for chunk in chunks:
                    yield chunk
        except ModelError as error:
            self._on_end(error)
            raise
        self._on_end(None)

    def spent(self) -> Spent:
        """Return what it used."""
        spent = self._answer.spent()
        return spent if self._model is None else replace(spent, model=self._model)
