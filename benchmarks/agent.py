"""A scripted agent that knows nothing but what the tools say: it calls what `next_step` names, with what it names.

It is as good as our texts are: where one names no call, it is stuck; where one names a wrong call, that is refused.
"""

import importlib.util
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from fastmcp import Client

PATIENCE = 20
"""Calls that a task may take to come to an end."""
NAMED = r"""[ =:]+("[^"]*"|'[^']*'|[\w.+-]+)"""
"""What a text gives for an argument, behind its name."""


class Stuck(Exception):
    """The text names no call, or the end does not come."""


@cache
def _encode() -> Callable[[str], Sequence[int]]:
    """Return OpenAI's cl100k_base, whose table LiteLLM brings along: claude's own tokenizer is not public."""
    import tiktoken

    found = importlib.util.find_spec("litellm")
    assert found is not None
    assert found.origin is not None
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(found.origin).parent / "litellm_core_utils/tokenizers")
    return tiktoken.get_encoding("cl100k_base").encode


def tokens(text: str) -> int:
    """Return how many tokens a text is."""
    return len(_encode()(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that was made."""

    tool: str
    arguments: Mapping[str, Any]
    answer: Mapping[str, Any]
    refused: bool
    meant: bool
    """Whether the refusal is what the dialogue is about."""

    @property
    def tokens(self) -> int:
        """What the model writes and reads for it."""
        return tokens(json.dumps([self.tool, self.arguments], ensure_ascii=False)) + tokens(
            json.dumps(self.answer, ensure_ascii=False)
        )


@dataclass(kw_only=True)
class Agent:
    """Calls tools, and follows what they say."""

    client: Client[Any]
    tools: Mapping[str, Mapping[str, Any]]
    """Input schemas by name, as listed."""
    calls: list[Call] = field(default_factory=list[Call])
    task_id: str = ""
    """The task that it is about."""

    @classmethod
    async def of(cls, client: Client[Any]) -> "Agent":
        """Return an agent that has read the list of tools."""
        return cls(client=client, tools={tool.name: tool.input_schema for tool in await client.list_tools()})

    @property
    def last(self) -> Mapping[str, Any]:
        """The last answer."""
        return self.calls[-1].answer

    @property
    def wrong(self) -> Sequence[Call]:
        """Calls that were refused and were not meant to be."""
        return [call for call in self.calls if call.refused and not call.meant]

    async def call(self, tool: str, *, refused: bool = False, **arguments: Any) -> Mapping[str, Any]:
        """Call a tool for the user; `refused`: the user wants what cannot be."""
        answer = await self.client.call_tool_mcp(tool, arguments)
        said: Mapping[str, Any] = answer.structured_content or {}
        self.calls.append(
            Call(tool=tool, arguments=arguments, answer=said, refused=bool(answer.is_error), meant=refused)
        )
        if refused and not answer.is_error:
            raise Stuck(f"{tool} was not refused")
        self.task_id = said.get("task_id", self.task_id)
        return said

    async def follow(self, prefer: str | None = None, **knows: Any) -> Mapping[str, Any]:
        """Call what the last answer names; of several calls the preferred one, with what else the user knows."""
        said = str(self.last.get("next_step", ""))
        if "the text says" in said:
            said = f"{self.last.get('text', '')}; {said}"
        tool, clause = self._named(said, prefer)
        return await self.call(tool, **{**self._arguments(tool, clause), **knows})

    async def until(self, *states: str, **knows: Any) -> Mapping[str, Any]:
        """Follow until the task is in one of these states."""
        for _ in range(PATIENCE):
            if self.last.get("state") in states:
                return self.last
            await self.follow(**knows)
        raise Stuck(f"still {self.last.get('state')} after {PATIENCE} calls")

    def _named(self, said: str, prefer: str | None) -> tuple[str, str]:
        """Return a tool that a text names, and the part of the text that is about it."""
        found = list(re.finditer(rf"\b({'|'.join(self.tools)})\b", said))
        chosen = next((at for at in found if at[1] == prefer), None if prefer else next(iter(found), None))
        if chosen is None:
            raise Stuck(f"no call of {prefer or 'a tool'} in: {said}")
        ends = [at.start() for at in found if at.start() > chosen.start()]
        clause = said[chosen.end() : min(ends, default=len(said))]
        return chosen[1], clause.partition("; ")[0]

    def _arguments(self, tool: str, clause: str) -> dict[str, Any]:
        schema = self.tools[tool]
        before = self.calls[-1]
        named = {
            name: value for name, each in schema["properties"].items() if (value := self._value(name, each, clause))
        }
        kept = dict(before.arguments) if before.tool == tool and (before.refused or "again" in clause) else {}
        for name in re.findall(r"without (?:an? )?(\w+)", clause):
            kept.pop(name, None)
        missing = {name: self._known(name) for name in schema.get("required", ()) if name not in {**kept, **named}}
        return {**kept, **{name: value for name, value in missing.items() if value is not None}, **named}

    def _value(self, name: str, schema: Mapping[str, Any], clause: str) -> Any:
        """Return the value that a text gives an argument, None if it gives none."""
        if re.search(rf"\bthis {name}\b", clause):
            return self._known(name)
        if name == "task_ids" and "this task_id" in clause:
            return [self.task_id]
        found = re.search(rf"\b{name}{NAMED}", clause)
        if found is None:
            return None
        said = found[1].rstrip(".")
        if said[0] in "\"'":
            return said[1:-1]
        if re.fullmatch(r"[\d.]+", said):
            return json.loads(said)
        return said if said in _words(schema) else None

    def _known(self, name: str) -> Any:
        """Return what the last answer, or the subject, says of an argument."""
        if name == "task_id":
            return self.task_id
        if name == "question_id":
            return self.last["questions"][0][name] if self.last.get("questions") else None
        return self.last.get(name)


def _words(schema: Mapping[str, Any]) -> Sequence[str]:
    """Return the words that an argument may be."""
    ways = [schema, *schema.get("anyOf", ())]
    return [word for way in ways for word in way.get("enum", ())]
