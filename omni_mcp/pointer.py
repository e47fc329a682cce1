"""JSON pointers (RFC 6901), such as `/answer/0`: where in a document a value stands. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any


class NotThere(LookupError):
    """A JSON pointer leads to nothing."""


def at(pointer: str, document: Any) -> Any:
    """Return what an RFC 6901 JSON pointer such as `/answer/0` leads to. Raises NotThere."""
    for token in pointer.split("/")[1:]:
        document = _step(document, token.replace("~1", "/").replace("~0", "~"))
    return document


def _step(document: Any, key: str) -> Any:
    match document:
        case Mapping() if key in document:
            return document[key]  # pyright: ignore[reportUnknownVariableType]
        case str():
            raise NotThere(key)
        case Sequence() if key.isdecimal() and int(key) < len(document):  # pyright: ignore[reportUnknownArgumentType]
            return document[int(key)]  # pyright: ignore[reportUnknownVariableType]
        case _:
            raise NotThere(key)
