"""Draw inputs for each tool in turn and have them judged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.inputs import arguments, texts
from tests.fuzz.world import schemas, standing

URIS = texts.map(lambda text: text if "://" in text else f"omni://{text}")


def fuzz(folder: Path, *, inputs: int, seed: int, **of_the_client: Any) -> Mapping[str, int]:
    """Give so many inputs to all tools and to resources; returns how many each had. Raises AssertionError."""
    with standing(folder, **of_the_client) as (world, runner):
        tools = runner.run(schemas(world.client))
        each = -(-inputs // (len(tools) + 1))
        for name, schema in tools.items():
            judged(arguments(schema), lambda drawn, name=name: runner.run(world.call(name, drawn)), each, seed)
        judged(URIS, lambda uri: runner.run(world.read(uri)), each, seed)
        runner.run(world.nothing_is_lost())
        return world.calls


def judged(strategy: Any, judge: Any, examples: int, number: int) -> None:
    """Have examples judged; the same number draws the same ones."""

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(drawn: Any) -> None:
        judge(drawn)

    one()
