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
