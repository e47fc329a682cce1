"""What the stub cloud answers. Pure: the same conversation gets the same answer, so a resumed session goes on right."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MARK = "SCRIPT:"
"""In a user text: a JSON list of steps follows."""


def _no_input() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One answer of the model: a text, or the call of a tool."""

    text: str = ""
    tool: str | None = None
    input: Mapping[str, Any] = field(default_factory=_no_input)
    sleep: float = 0
    """Seconds to think before the answer."""


Script = Sequence[Step]

ENDED = Step(text="The script has ended.")

HELLO_CODE = 'def hello() -> str:\n    return "Hello, World!"\n\n\nprint(hello())\n'

HELLO_WITH_TOOLS: Script = (
    Step(tool="Write", input={"file_path": "hello.py", "content": HELLO_CODE}),
    Step(
        tool="Bash",
        input={
            "command": "echo checked >> steps.log && python3 -m py_compile hello.py && sleep 2",
            "description": "Check hello.py",
        },
    ),
    Step(tool="Bash", input={"command": "echo ran >> steps.log && python3 hello.py", "description": "Run hello.py"}),
    Step(text="已完成：hello.py 里有一个 hello() 函数，运行后输出 Hello, World!"),
)
"""Leaves one line in steps.log for each command, so that anybody can count how often it ran."""

HELLO: Script = (Step(text=f"这是一个 Hello World 函数：\n\n```python\n{HELLO_CODE}```\n"),)

WEATHER: Script = (
    Step(text="今天晴转多云，最高 24℃，最低 16℃，东南风 2 级，适合出门。（演示云的固定回答，不是真实天气。）"),
)

CHINESE: Script = (Step(text="任务已收到，处理完毕。（演示云的固定回答。）"),)

ENGLISH: Script = (
    Step(
        text=(
            "Done, step by step.\n"
            "1. Read the task and listed what it asks for.\n"
            "2. Worked through each part in the order given.\n"
            "3. Checked the result against the task.\n"
            "(A canned answer of the demo cloud.)"
        )
    ),
)


def next_step(body: Mapping[str, Any]) -> tuple[Step, int]:
    """Return the answer to a request of either dialect and its number in the script, from 0.

    Raises ValueError or TypeError for a script that is no list of steps.
    """
    script, done = ENGLISH, 0
    tools = _tool_names(body)
    for piece in _pieces(body):
        if piece is None:
            done += 1
        elif (found := _script_in(piece, tools=tools, current=script)) != script:
            script, done = found, 0
    return (script[done] if done < len(script) else ENDED), done


def _pieces(body: Mapping[str, Any]) -> Iterator[str | None]:
    """Yield each text that a user wrote, and None for each result of a tool."""
    for message in body.get("messages") or ():
        if message.get("role") == "tool":
            yield None
        elif message.get("role") == "user":
            yield from _user_pieces(message.get("content"))


def _user_pieces(content: Any) -> Iterator[str | None]:
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content or ():
        if block.get("type") == "tool_result":
            yield None
        elif text := str(block.get("text") or ""):
            yield text


def _tool_names(body: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(str(tool.get("name") or tool.get("function", {}).get("name")) for tool in body.get("tools") or ())


def _script_in(text: str, *, tools: frozenset[str], current: Script) -> Script:
    """Return the script that a text begins, or `current` where it is no task (a reminder, `continue`)."""
    if (start := text.find(MARK + "[")) >= 0:
        steps, _ = json.JSONDecoder().raw_decode(text[start + len(MARK) :])
        return tuple(Step(**step) for step in steps)
    if text.startswith("<") or len(current) > 1:  # a script of several steps goes on whatever is said in between
        return current
    return _canned(text, tools=tools)


def _canned(text: str, *, tools: frozenset[str]) -> Script:
    if "hello world" in text.lower():
        return HELLO_WITH_TOOLS if {"Write", "Bash"} <= tools else HELLO
    if "天气" in text:
        return WEATHER
    return CHINESE if re.search(r"[一-鿿]", text) else ENGLISH
