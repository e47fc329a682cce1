"""Draw inputs for each tool in turn and have them judged."""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.inputs import arguments, texts
from tests.fuzz.world import World, schemas, standing

URIS = texts.map(lambda text: text if "://" in text else f"omni://{text}")


def fuzz(folder: Path, *, inputs: int, seed: int, **of_the_client: Any) -> Mapping[str, int]:
    """Give so many inputs to all tools and to resources; returns how many each had. Raises AssertionError."""
    with standing(folder, **of_the_client) as (world, runner):
        tools = runner.run(schemas(world.client))
        each = -(-inputs // (len(tools) + 1))
        for name, schema in tools.items():
            judged(arguments(schema), partial(_called, world, runner, name), each, seed)
        judged(URIS, partial(_read, world, runner), each, seed)
        runner.run(world.nothing_is_lost())
        return world.calls


def _called(world: World, runner: asyncio.Runner, tool: str, drawn: Mapping[str, Any]) -> None:
    runner.run(world.call(tool, drawn))


def _read(world: World, runner: asyncio.Runner, uri: str) -> None:
    runner.run(world.read(uri))


def judged(strategy: Any, judge: Any, examples: int, number: int) -> None:
    """Have examples judged; the same number draws the same ones."""

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[*HealthCheck],  # pyright: ignore[reportArgumentType]
    )
    @given(strategy)
    def one(drawn: Any) -> None:
        judge(drawn)

    one()  # pylint: disable=no-value-for-parameter
