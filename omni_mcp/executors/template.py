"""Arguments of a tool, as rows of servers.yaml write them: places in braces, filled in. Pure."""

import re
from collections.abc import Mapping
from typing import Any


def filled(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with `{name}` put in for each of the values.

    Any other brace stays as it is, and what is put in is not looked at again.
    """
    place = re.compile(rf"\{{({'|'.join(map(re.escape, values))})\}}")

    def fill(value: Any) -> Any:
        match value:
            case str():
                return place.sub(lambda found: str(values[found[1]] or ""), value)
            case Mapping():
                return {key: fill(inner) for key, inner in value.items()}  # pyright: ignore[reportUnknownVariableType]
            case list() | tuple():
                return [fill(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType]
            case _:
                return value

    return {key: fill(value) for key, value in template.items()}
