"""The command line in the user's language, as a person sees it: a process of its own, with a locale."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import omni_mcp
from tests.forkserver import command
from tests.integration.house import LIMIT, call, ended, house

CHINESE = {"LANG": "zh_CN.UTF-8"}
PLAIN = {"LANG": "C"}


@dataclass(frozen=True)
class Said:
    """What a command printed."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


Run = Callable[..., Said]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a way to run `omni-mcp …` in a home of the test."""
    home = tmp_path / "home"

    def running(variables: Mapping[str, str], *arguments: str) -> Said:
        home.mkdir(exist_ok=True)
        place = {"PATH": os.environ["PATH"], "HOME": str(home), "OMNI_HOME": str(home), "COLUMNS": "120"}
        done = subprocess.run(
            command(*arguments),
            env={**place, **variables},
            cwd=home,
            capture_output=True,
            check=False,
            timeout=LIMIT,
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    return running


@pytest.mark.parametrize("variables", [CHINESE, {"OMNI_LANG": "zh"}])
def test_the_help_is_chinese_from_title_to_options(run: Run, variables: dict[str, str]) -> None:
    whole, one = run(variables, "--help"), run(variables, "submit", "--help")
    assert "用法：" in whole.out
    assert "交出一个任务。" in whole.out
    assert "─ 命令 ─" in whole.out
    assert "示例：omni-mcp submit" in one.out
    assert "显示帮助并退出。" in one.out
    assert not {"Usage", "Options", "Show this"} & set(one.out.split())


@pytest.mark.parametrize("variables", [PLAIN, {**CHINESE, "LC_ALL": "C"}, {**CHINESE, "OMNI_LANG": "en"}, {}])
def test_elsewhere_it_is_english(run: Run, variables: dict[str, str]) -> None:
    said = run(variables, "status", "zzzzzz")
    assert said.err == "omni-mcp: no task has the id 'zzzzzz'\nnext: omni-mcp list shows the ids\n"


def test_an_error_and_its_next_step_are_chinese_and_name_a_command(run: Run) -> None:
    said = run(CHINESE, "status", "zzzzzz")
    assert said.code == 1
    assert said.err == "omni-mcp：没有编号为 'zzzzzz' 的任务\n下一步：用 omni-mcp list 查看编号\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status"], "缺少参数 'task_id'。"),
        (["frobnicate"], "没有 'frobnicate' 这个命令。"),
        (["status", "--frob"], "没有这个选项：--frob"),
        (["submit", "--priority", "1000", "x"], "'--priority' 的值无效：应小于或等于 100"),
    ],
)
def test_a_wrong_call_is_told_in_chinese(run: Run, arguments: list[str], words: str) -> None:
    said = run(CHINESE, *arguments)
    assert said.code == 2
    assert words in said.err
    assert "用法：" in said.err
    assert "错误" in said.err


def test_a_problem_of_the_settings_is_chinese_with_its_line_and_its_fix(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "home" / "servers.yaml"
    file.parent.mkdir()
    file.write_text("executors:\n  assistant: {preset: assistant, paralel: 2}\n  a: {url: 'ftp://x', tool: t}\n")
    said = run(CHINESE, "executors", "--no-check")
    assert "servers.yaml 第 2 行，executors.assistant.paralel：这里没有 'paralel' 这个键" in said.err
    assert "。改法：是不是想写 'parallel'？" in said.err
    assert (
        "servers.yaml 第 3 行，executors.a.url：不是以 http://、https://、ws:// 或 wss:// 开头。改法：照此修改这一行"
        in said.err
    )


def test_what_programs_read_stays_english(run: Run) -> None:
    said = run(CHINESE, "route", "写一个 Python 函数", "--json")
    assert '"reason": "\'函数\' in the text means coding' in said.out


def test_a_type_that_nobody_handles_is_taken_with_a_word_about_the_nearest(run: Run) -> None:
    assert "; the nearest type known is 'coding'" in run(PLAIN, "route", "x", "--type", "codng").out
    assert "；最接近的已知类型是 'coding'" in run(CHINESE, "route", "x", "--type", "codng").out
    assert "nearest" not in run(PLAIN, "route", "x", "--type", "painting").out


def test_an_encoding_without_chinese_gets_english_and_no_error(run: Run) -> None:
    said = run({**CHINESE, "PYTHONIOENCODING": "ascii"}, "list")
    assert said.code == 0
    assert said.out == 'no tasks; omni-mcp submit "?" makes one\n'
    assert "the encoding ascii has no other" in said.err


def test_a_language_that_is_not_spoken_is_said_so(run: Run) -> None:
    said = run({"OMNI_LANG": "fr"}, "list")
    assert said.err == "omni-mcp: OMNI_LANG='fr' is not spoken here, but: en, zh\n"
    assert said.out.startswith("no tasks")


@pytest.mark.parametrize("broken", ["ours: [", "ours: {a: [b]}", None])
def test_a_broken_catalogue_costs_the_language_not_the_command(run: Run, tmp_path: Path, broken: str | None) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(Path(omni_mcp.__file__).parent, copy / "omni_mcp", ignore=shutil.ignore_patterns("*.pyc.*"))
    catalogue = copy / "omni_mcp" / "lang" / "zh.yaml"
    catalogue.unlink()
    if broken is not None:
        catalogue.write_text(broken)
    said = run({**CHINESE, "PYTHONPATH": str(copy)}, "status", "zzzzzz")
    assert said.code == 1
    assert "no task has the id 'zzzzzz'\nnext: omni-mcp list shows the ids" in said.err
    assert said.err.count("the messages are in English, zh.yaml cannot be used") == 1


@pytest.mark.timeout(180)  # four commands and an engine
async def test_what_the_engine_wrote_into_the_ledger_is_chinese_at_the_terminal_alone(run: Run, tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"odd": here.workshop("no_such_tool", handles=["odd"])})
        async with here.client() as client:
            task = await call(client, "submit_task", description="有 [方括号] 的任务", type="odd")
            waiting = await ended(client, task["task_id"])
            assert "odd has no tool 'no_such_tool'; there are: " in waiting["text"]
            status, rows = run(CHINESE, "status", task["task_id"], "--events"), run(CHINESE, "list")
            assert "odd 没有工具 'no_such_tool'；现有：" in status.out
            assert f"omni-mcp resume {task['task_id'][:8]} 则立即继续" in status.out
            assert "执行中 → 待领取" in status.out
            assert "等待执行器" in rows.out
            assert "有 [方括号] 的任务" in rows.out
            assert "等待" not in run(CHINESE, "status", task["task_id"], "--json").out
            await call(client, "cancel_task", task_id=task["task_id"])
