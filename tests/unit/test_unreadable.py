"""A line of a client that cannot be read is refused by its number, if that can be said at all."""

import json

import pytest
from mcp.types import JSONRPCMessage
from pydantic import TypeAdapter, ValidationError

from omni_mcp.unreadable import refused


def said_of(line: str) -> object:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter[JSONRPCMessage](JSONRPCMessage).validate_json(line)
    answer = refused(caught.value)
    return None if answer is None else json.loads(answer.message.model_dump_json())["id"]


@pytest.mark.parametrize(
    ("call", "said"),
    [("7", 7), ('"a-7"', "a-7"), (r'"\ud800"', None), ("true", None), ("[7]", None)],
)
def test_a_request_is_refused_by_a_number_that_can_be_written_down(call: str, said: object) -> None:
    assert said_of(rf'{{"jsonrpc": "2.0", "id": {call}, "method": "\ud800"}}') == said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"jsonrpc": "2.0", "id": 3, "method": 5}', 3),
        ('{"jsonrpc": "2.0", "id": "b", "method": "ping", "params": [1]}', "b"),
        ('{"id": 4, "method": "ping"}', 4),
        ('{"jsonrpc": "2.0", "id": 5, "result": 6}', None),
        ('{"jsonrpc": "2.0", "method": 6}', None),
        ("[1]", None),
        ('"method"', None),
    ],
)
def test_json_that_is_no_request_is_refused_by_its_number(line: str, said: object) -> None:
    assert said_of(line) == said
