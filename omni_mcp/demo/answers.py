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
    insists: bool = False
    """Called again when its tool result is an error: what was cut off is not done."""
    fault: str = ""
    """What goes wrong whenever this is to be answered: a mode of the stub cloud (`503`, `hang`, `stall`)."""
    retry_after: float | None = None
    """Seconds, said with the fault."""


Script = Sequence[Step]

ENDED = Step(text="The script has ended.")

HELLO_CODE = 'def hello() -> str:\n    return "Hello, World!"\n\n\nprint(hello())\n'

WORK_LOG = "steps.log"
"""In the working folder; each step writes into it, by itself, when it begins and when it has ended."""


LONGEST = 600_000
"""Milliseconds that Claude Code gives a command at most."""


def _step(name: str, work: str) -> Step:
    begin, end = (f'echo "{name} {word} $(date +%T) pid $$" >> {WORK_LOG}' for word in ("begin", "end"))
    command = f"{begin} && {{\n{work}\n}} && {end}"
    return Step(tool="Bash", input={"command": command, "description": name, "timeout": LONGEST}, insists=True)


HELLO_WITH_TOOLS: Script = (
    _step("1-write", f"cat > hello.py <<'END'\n{HELLO_CODE}END"),
    _step("2-run", "for i in 1 2 3 4 5 6 7 8; do python3 hello.py && sleep 0.25 || exit 1; done"),
    _step("3-test", """python3 -c 'import hello; assert hello.hello() == "Hello, World!"'"""),
    Step(text="已完成：hello.py 里有一个 hello() 函数，运行后输出 Hello, World!，测试也通过了。"),
)

HELLO_STEPS = tuple(str(step.input["description"]) for step in HELLO_WITH_TOOLS if step.tool)
"""The names by which the work log calls them."""

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


CUES = ("degraded", "normal", "dark")
"""What the steps of the release wait for; the stage says each by a file, `cue-degraded`."""


def _until(cue: str) -> str:
    return f"for _ in $(seq 1800); do [ -e cue-{cue} ] && break; sleep 0.1; done"  # a demo that was killed gives none


RELEASE: Script = (
    _step("1-pack", "echo packed > release.txt"),
    *(_step(f"{number}-until-{cue}", _until(cue)) for number, cue in enumerate(CUES, start=2)),
    Step(text="Released: every step is done, once."),
)
"""A coding task that lasts over a whole outage: what it does between two model calls ends on its cue."""

RELEASE_STEPS = tuple(str(step.input["description"]) for step in RELEASE if step.tool)

ORDER = re.compile(r"\b[Oo]rder (\d+)|订单 (\d+)")
"""A task with a number, which its answer has, too: so the log of the cloud tells who was answered, and how often."""


def confirmed(number: str) -> str:
    """Return how the answer to an order begins."""
    return f"Order {number} is confirmed."


def next_step(body: Mapping[str, Any]) -> tuple[Step, int]:
    """Return the answer to a request of either dialect and its number in the script, from 0.

    Raises ValueError or TypeError for a script that is no list of steps.
    """
    script, done = ENGLISH, 0
    tools = _tool_names(body)
    for piece in _pieces(body):
        if isinstance(piece, bool):
            done += piece or not (done < len(script) and script[done].insists)
        elif (found := _script_in(piece, tools=tools, current=script)) != script:
            script, done = found, 0
    return (script[done] if done < len(script) else ENDED), done


def _pieces(body: Mapping[str, Any]) -> Iterator[str | bool]:
    """Yield each text that a user wrote, and for each result of a tool whether it is a good one."""
    for message in body.get("messages") or ():
        if message.get("role") == "tool":
            yield True
        elif message.get("role") == "user":
            yield from _user_pieces(message.get("content"))


def _user_pieces(content: Any) -> Iterator[str | bool]:
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content or ():
        if block.get("type") == "tool_result":
            yield not block.get("is_error")
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
        return HELLO_WITH_TOOLS if "Bash" in tools else HELLO
    if text.startswith("Release "):
        return RELEASE
    if order := ORDER.search(text):
        return (Step(text=f"{confirmed(order[1] or order[2])} (A canned answer of the demo cloud.)"),)
    if "天气" in text:
        return WEATHER
    return CHINESE if re.search(r"[一-鿿]", text) else ENGLISH
