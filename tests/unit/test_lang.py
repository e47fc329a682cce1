"""The language of the terminal: which one, how a message is found, and that none is missing."""

import functools
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pytest

from omni_mcp.lang import FOLDER, LONGEST, language
from omni_mcp.lang.catalogue import HOLE, Catalogue, load
from tests.lang import TOOLS, Message, catalogue, messages, missing, normal

TOOL_WORDS = (*TOOLS, "answer_task", "task_id", "wait_seconds")

KEY = re.compile(r"""^  ("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'): """, re.MULTILINE)
"""A message in a catalogue; its reader takes the last of two."""

NAMES = re.compile(r"omni-mcp|servers\.yaml|pid|status|result|--[a-z]+")

SPOKEN = Catalogue(
    {
        "no task has the id {id!r}": "没有任务 {id!r}",
        "call task_status with task_id {id!r}": "omni-mcp status {id}",
        "task_result": "omni-mcp result {task}",
        "{where}: {what}. Fix: {fix}": "{where}：{what}。改法：{fix}",
        "is {what} of {n} bytes": "有 {n} 字节的 {what}",
        "the disk is full": "磁盘已满",
        "waiting": "等待中",
        "is not configured": "没有配置",
    },
    {"; ": "；", ": ": "：", "()": "（{}）"},
)


@functools.cache
def ours() -> Collection[Message]:
    return tuple(messages())


def said(text: str, **known: str) -> str:
    return SPOKEN.say(text, known)


@pytest.mark.parametrize(
    ("variables", "spoken"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW"}, "zh"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_ALL": "C", "LANG": "zh_CN"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "zh_CN.UTF-8", "LANG": "POSIX"}, "zh"),
        ({"OMNI_LANG": "zh", "LC_ALL": "C"}, "zh"),
        ({"OMNI_LANG": "zh-Hans"}, "zh"),
        ({"OMNI_LANG": "en", "LANG": "zh_CN"}, "en"),
        ({"OMNI_LANG": "klingon", "LANG": "zh_CN"}, "en"),
    ],
)
def test_the_language_is_that_of_omni_lang_else_of_the_locale_else_english(
    variables: dict[str, str], spoken: str
) -> None:
    assert language(variables) == spoken


def test_what_is_quoted_stays_quoted_or_loses_its_quotes_as_the_catalogue_says() -> None:
    assert said('no task has the id "it\'s"') == '没有任务 "it\'s"'
    assert said("call task_status with task_id 'a1b2'") == "omni-mcp status a1b2"


def test_a_message_within_a_message_is_said_too() -> None:
    assert said("a.yaml: the disk is full. Fix: task_result", task="a1") == "a.yaml：磁盘已满。改法：omni-mcp result a1"


def test_messages_that_were_put_together_are_said_one_by_one() -> None:
    assert said("the disk is full; task 7 waits (waiting)") == "磁盘已满；task 7 waits（等待中）"
    assert said("openclaw is not configured → assistant") == "openclaw 没有配置 → assistant"


def test_each_line_is_said_by_itself() -> None:
    text = "the disk is full\n\n  task_result  \nelse: bread"
    assert said(text, task="a1") == "磁盘已满\n\n  omni-mcp result a1  \nelse: bread"
    together = "is a\nloaf of 5 bytes"
    assert said(together) == together


def test_an_or_of_others_stays_as_it_is_and_that_between_values_does_not() -> None:
    chinese = load(FOLDER / "zh.yaml")
    assert chinese.say("bread or butter", {}) == "bread or butter"
    assert chinese.say("Input should be 'a', 'b' or 'c'", {}) == "应为 'a', 'b' 或 'c'"


@pytest.mark.parametrize("text", ["", "  ", "the disk", "a: b; c (d)\ne", "is bread of five bytes", "{id!r}", "[bold]"])
def test_what_is_not_ours_stays_as_it_is(text: str) -> None:
    assert said(text) == text


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["a: b. c; d (e) → f\n", "(", "while x worked on it. Fix: ", ": ", "attempt 1, → ", "' "]
)
def test_a_text_that_looks_like_ours_everywhere_is_soon_left_alone(piece: str) -> None:
    text = (piece * LONGEST)[: LONGEST // 2].strip()
    text += ")" * (LONGEST - len(text))
    assert load(FOLDER / "zh.yaml").say(text, {})


def test_what_a_command_needs_and_nobody_named_stands_in_capitals() -> None:
    assert said("task_result") == "omni-mcp result TASK"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ours: [1, 2]",
        "ours: {a: 1",
        "ours: {a: 1}",
        "just words",
        'ours: {"{a} {a}": "x"}',
        'ours: {"no {id}": "keins: {name!r}"}',
        "\x00",
    ],
)
def test_a_catalogue_that_is_none_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "zh.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"zh\.yaml cannot be used"):
        load(path)


def test_everything_that_this_program_says_has_chinese() -> None:
    assert [str(each) for each in missing(ours())] == []


def test_a_new_message_is_missed(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text('raise BadRequest(f"no {thing!r} in {place}", next_step="look there")\n')
    found = list(messages(tmp_path))
    assert {str(each) for each in found} == {"new.py:1: look there", "new.py:1: no {!r} in {}"}
    assert missing(found) == found


@pytest.mark.parametrize("code", ["zh", "en"])
def test_a_catalogue_has_nothing_that_nobody_says(code: str) -> None:
    known = {message.template for message in ours()}
    listed = catalogue(code, "ours", "terminal")
    assert listed
    assert [text for text in listed if normal(text) not in known] == []


@pytest.mark.parametrize("code", ["zh", "en"])
def test_a_catalogue_says_nothing_twice(code: str) -> None:
    times = Counter(map(normal, KEY.findall((FOLDER / f"{code}.yaml").read_text(encoding="utf-8"))))
    assert len(times) > 30
    assert [text for text in times if times[text] > 1] == []


@pytest.mark.parametrize("code", ["zh", "en"])
def test_a_translation_drops_nothing_and_makes_nothing_up(code: str) -> None:
    for text, other in catalogue(code, "ours", "terminal", "libraries").items():
        here, there = ({hole["name"] for hole in HOLE.finditer(each)} for each in (text, other))
        assert there <= here | {"task"}, text
        assert here <= there | {"kind", "last"}, text


@pytest.mark.parametrize("code", ["zh", "en"])
def test_a_terminal_is_told_commands_where_a_tool_is_told_calls(code: str) -> None:
    spoken = load(FOLDER / f"{code}.yaml")
    texts = {message.template.replace("{!r}", "'x'").replace("{}", "7") for message in ours()} - {"submit_task 'x'"}
    named = [text for text in texts if any(word in text for word in TOOL_WORDS)]
    assert len(named) > 15
    left = {text: spoken.say(text, {}) for text in named}
    assert {text: other for text, other in left.items() if any(word in other for word in TOOL_WORDS)} == {}


def test_what_is_not_chinese_in_the_catalogue_is_a_command_or_a_name() -> None:
    chinese = re.compile(r"[\u4e00-\u9fff]")
    plain = {other for other in catalogue("zh", "ours").values() if not chinese.search(HOLE.sub("", other))}
    assert {other for other in plain if re.search(r"[A-Za-z]{2}", HOLE.sub("", NAMES.sub("", other)))} == set()


def test_where_english_is_spoken_no_catalogue_is_read_until_something_is_said() -> None:
    looked = "import omni_mcp.cli, omni_mcp.stdio, omni_mcp.lang as lang; print(lang._catalogue.cache_info().currsize)"
    done = subprocess.run([sys.executable, "-c", looked], env={}, capture_output=True, check=True)
    assert done.stdout == b"0\n"
