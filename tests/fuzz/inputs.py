"""What a tool is called with: values by its schema, values that almost fit it, and values of the worst kind."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from hypothesis import strategies as st

KNOWN = "a known task "
"""Begins what stands for the id of a task that there is; a number follows."""

Schema = Mapping[str, Any]
Values = st.SearchStrategy[Any]

TEXTS: Sequence[str] = (
    *("", " ", "\0", "a\0b", "\u202e\u2066gnp.exe", "\u200f\u0627\u0644\u0639", "\ufeff", "\u2028", "\U0010ffff"),
    *("e\u0301" * 40, "Z\u0351\u036b\u0343" * 30, "\U0001f469\u200d\U0001f467" * 20, "\u0130\u0131\u017f", "\u0663"),
    *("\x1b[2J\x1b]0;x\x07", "\r\n\r\n", "a" * 201, "a" * 5000, "null", "true", "-0", "1e999", "NaN", "0x10"),
    *("../../../../etc/passwd", "/proc/self/environ", "~root", "~nobody-knows", "C:\\con", "/dev/zero", "~", "/tmp"),
    *("file:///etc/passwd", "${OMNI_CANARY_ENV}", "{task_id}", "{0.__class__}", "%s%n%x", "*", "%", "_", "<script>"),
    *(
        "'; drop table tasks; --",
        '" or 1=1',
        "local",
        "token:alice",
        "hook:claw",
        "system_repair",
        "assistant",
        "bench",
    ),
    *("2h", "P1D", "2026-11-30T00:00:00Z", "-2h", "9999999999h", "0001-01-01T00:00:00+23:59"),
    *("9999-12-31T23:59:59-23:59", "echo", "anthropic", "zzzzzz", "aaaaaaaaaaaaaaaaaaaaaaaa", "q1"),
)
"""Half of a surrogate pair is not among them: no client can send one, and what else does is refused unread."""
NUMBERS: Sequence[float] = (
    *(0, -1, 1, 49.999, 50, 50.01, 100, 101, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1),
    *(10**40, -(10**400), 1e308, -1e-308, 0.1, float("nan"), float("inf"), float("-inf")),
)


def _deep(levels: int) -> Any:
    value: Any = "at last"
    for level in range(levels):
        value = {"deeper": value} if level % 2 else [value]
    return value


texts: Values = st.sampled_from(TEXTS) | st.text(max_size=60) | st.integers(0, 20).map(lambda n: f"{KNOWN}{n}")
numbers: Values = st.sampled_from(NUMBERS) | st.integers() | st.floats()
leaves: Values = st.none() | st.booleans() | texts | numbers
anything: Values = (
    st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
    )
    | st.sampled_from((30, 90)).map(_deep)
    | st.just(["x"] * 600)
)


def fitting(schema: Schema) -> Values:
    """Return values that a schema allows."""
    if "enum" in schema:
        return st.sampled_from(cast("list[Any]", schema["enum"]))
    if "anyOf" in schema:
        return st.one_of([fitting(way) for way in cast("list[Schema]", schema["anyOf"])])
    return KINDS.get(schema.get("type", ""), lambda _: anything)(schema)


KINDS: Mapping[str, Callable[[Schema], Values]] = {
    "string": lambda schema: texts | st.text(min_size=schema.get("minLength", 0), max_size=80),
    "integer": lambda schema: st.integers(schema.get("minimum"), schema.get("maximum")),
    "number": lambda schema: st.floats(schema.get("minimum"), schema.get("maximum"), allow_nan=False),
    "boolean": lambda _: st.booleans(),
    "array": lambda schema: st.lists(fitting(schema.get("items", {})), max_size=5),
    "object": lambda _: st.dictionaries(st.sampled_from(OPTIONS) | texts, leaves, max_size=4),
    "null": lambda _: st.none(),
}
OPTIONS = ("permissions", "worktree", "max_turns", "timeout", "max_attempts", "message")


@st.composite
def arguments(draw: st.DrawFn, schema: Schema) -> dict[str, Any]:
    """Return arguments of a tool: each fits, mostly; some are missing, some are nobody's."""
    properties: Mapping[str, Schema] = schema.get("properties", {})
    required: Sequence[str] = schema.get("required", ())
    wanted = [name for name in properties if draw(st.integers(0, 9)) < (9 if name in required else 3)]
    drawn = {name: draw(anything if draw(st.integers(0, 5)) == 0 else fitting(properties[name])) for name in wanted}
    if draw(st.integers(0, 19)) == 0:
        drawn[draw(texts)] = draw(anything)
    return drawn


def with_ids(value: Any, ids: Sequence[str]) -> Any:
    """Return a value as JSON would bring it, with the ids of tasks that there are."""
    filled = json.loads(json.dumps(value))
    return _with_ids(filled, ids) if ids else filled


def _with_ids(value: Any, ids: Sequence[str]) -> Any:
    if isinstance(value, str) and (known := re.fullmatch(rf"{KNOWN}(\d+)", value, re.ASCII)):
        return ids[int(known[1]) % len(ids)]
    if isinstance(value, list):
        return [_with_ids(each, ids) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: _with_ids(each, ids) for name, each in cast("dict[str, Any]", value).items()}
    return value
