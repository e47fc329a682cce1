"""The scripted ladder on a program that behaves like LiteLLM, and on what is not LiteLLM."""

import os
import socket
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

import anyio
import psutil
import pytest

from omni_mcp.adapters import known_good, repair_ladder
from omni_mcp.adapters.known_good import MOST_BYTES, Journal, Keeper, read
from omni_mcp.adapters.ladder_hands import begin
from omni_mcp.adapters.ladder_keep import keep_if_well
from omni_mcp.adapters.ladder_look import START_MARK
from omni_mcp.adapters.ladder_steps import MOST_STARTS
from omni_mcp.processes import marked
from omni_mcp.task import FailureClass
from tests.integration.house import connected
from tests.integration.ladders import IMPATIENT, LiteLLM, litellm_like

pytestmark = pytest.mark.timeout(180)

LIAR = """
import http.server, sys
class Liar(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[2].encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Liar).serve_forever()
"""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes down here what is told, so nobody has to be waited for."""
    monkeypatch.setattr(repair_ladder, "PACE", 0.0)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"- a\n", "c is no mapping"),
        (b"", "c is empty"),
        (b"\xff\xfe\x00", "c cannot be read as YAML"),
        (b"a: [\n", "c:2 cannot be read as YAML"),
        (b"[" * 100_000, "cannot be read as YAML"),
        (b"model_list: [{model_name: x, litellm_params: {}}]", "c: row 1 of model_list has no litellm_params.model"),
        (b"model_list: [{model_name: x, litellm_params: {model: y}}]", None),
        (b"model_list: what LiteLLM makes of this is its affair", None),
    ],
)
def test_only_what_certainly_cannot_serve_is_called_a_flaw(data: bytes, says: str | None) -> None:
    flaw = known_good.flaw_of(data, "c")
    assert (flaw is None) is (says is None)
    assert (says or "") in (flaw or "")


async def test_a_dead_litellm_is_started_and_a_healthy_one_is_left_alone(tmp_path: Path) -> None:
    with litellm_like(tmp_path) as it:
        first = await it.repaired()
        pids = {process.pid for process in it.own()}
        second = await it.repaired()
        assert (first.status, second.status) == ("completed", "completed")
        assert [line.split()[1] for line in first.text.splitlines()] == ["start:", "it", "done:"]
        assert [line.split()[1] for line in second.text.splitlines()] == ["done:"]
        assert pids == {process.pid for process in it.own()} != set()


async def test_a_wedged_litellm_is_ended_hard_and_started_again(tmp_path: Path) -> None:
    with litellm_like(tmp_path) as it:
        await it.serves()
        before = it.own()
        it.stop()
        wedged = await it.repaired()
        assert wedged.status == "completed"
        assert "is paused: no answer in 3 s" in wedged.text
        assert "it is gone" in wedged.text
        assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in before)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model_list: [\n", ":2 cannot be read as YAML"),
        ("", "is empty"),
        (None, "is not there"),
        ("stub: {dies: \"ValueError: Invalid routing_strategy: nope\"}", "Invalid routing_strategy"),
        ("stub: {dies: \"it says nothing that we know\"}", "nothing that we know"),
    ],
)  # fmt: skip
async def test_a_file_that_does_not_serve_gives_way_to_the_one_that_did_and_is_kept_beside_it(
    text: str | bytes | None, says: str, tmp_path: Path
) -> None:
    with litellm_like(tmp_path) as it:
        good = it.served()
        broken = text.encode() if isinstance(text, str) else text
        it.config.unlink()
        if broken is not None:
            it.config.write_bytes(broken)
        result = await it.repaired()
        assert result.status == "completed", result
        assert says in result.text
        assert it.config.read_bytes() == good
        assert [copy.read_bytes() for copy in it.broken_copies()] == ([] if broken is None else [broken])


async def test_a_known_good_file_that_does_not_serve_either_goes_again(tmp_path: Path) -> None:
    with litellm_like(tmp_path) as it:
        it.served()
        (it.folder / "litellm").write_text("raise SystemExit('the program itself is broken')")
        it.write(mine=True)
        mine = it.config.read_bytes()
        result = await it.repaired()
        assert (result.failure, it.config.read_bytes()) == (FailureClass.HANDED_ON, mine)
        steps = [line.split()[1] for line in result.text.splitlines() if line.split()[1].endswith(":")]
        assert steps == ["start:", "restore:", "start:", "undo:", "hand-on:"]
        assert "the file is as it was" in result.text
        assert "the program itself is broken" in (result.message or "")


@pytest.mark.parametrize("says", ["It works!", "I'm alive!", '"data" I\'m alive!'])
async def test_what_is_at_the_port_and_is_not_litellm_is_named_and_never_ended_whatever_it_says(
    says: str, tmp_path: Path
) -> None:
    with litellm_like(tmp_path) as it:
        argv = [sys.executable, "-c", LIAR, str(it.port), says]
        async with await anyio.open_process(argv) as other:
            await connected(it.port)
            result = await it.repaired()
            assert other.returncode is None
            other.kill()
    assert (result.status, result.failure) == ("failed", FailureClass.TASK)
    assert f"(pid {other.pid})" in (result.message or "")
    assert "left alone" in (result.message or "")
    assert "start:" not in result.text


async def test_a_socket_that_only_listens_is_left_alone_and_so_is_a_litellm_with_another_file(tmp_path: Path) -> None:
    with litellm_like(tmp_path) as it, socket.create_server(("127.0.0.1", it.port)):
        result = await it.repaired()
        assert result.failure is FailureClass.TASK
        assert f"(pid {os.getpid()})" in (result.message or "")
    (tmp_path / "other").mkdir()
    with litellm_like(tmp_path / "other") as other:
        await other.serves()
        other.fields |= {"config": tmp_path / "elsewhere.yaml", "base_url": f"http://localhost:{other.port}"}
        other.fields["key"] = "not its key"
        result = await other.repaired()
        assert "not proven to be LiteLLM" in (result.message or "")


@pytest.mark.parametrize(
    ("kind", "says"),
    [("read-only", "is read-only"), ("huge", "is not read"), ("folder", "is no file"), ("fifo", "no file")],
)
async def test_a_file_that_is_not_ours_to_write_is_not_written(kind: str, says: str, tmp_path: Path) -> None:
    with litellm_like(tmp_path) as it:
        it.served()
        match kind:
            case "read-only":
                it.config.write_text("model_list: [\n")
                it.config.chmod(0o444)
            case "huge":
                it.config.write_text("#" * (MOST_BYTES + 1))
            case "folder":
                it.config.unlink()
                it.config.mkdir()
            case _:
                it.config.unlink()
                os.mkfifo(it.config)
        before = it.config.stat()
        result = await it.repaired()
        assert result.failure is FailureClass.TASK
        assert says in (result.message or "")
        assert (it.config.stat().st_ino, it.config.stat().st_size) == (before.st_ino, before.st_size)
        assert it.broken_copies() == []


async def test_a_link_stays_a_link_and_what_it_leads_to_is_mended(tmp_path: Path) -> None:
    with litellm_like(tmp_path) as it:
        real = tmp_path / "real.yaml"
        it.config.rename(real)
        real.chmod(0o640)
        it.config.symlink_to(real)
        assert (await it.repaired()).status == "completed"
        good = real.read_bytes()
        it.kill()
        real.write_text("")
        assert (await it.repaired()).status == "completed"
        assert it.config.is_symlink()
        assert (real.read_bytes(), real.stat().st_mode & 0o777) == (good, 0o640)


async def test_a_file_that_was_changed_after_the_start_is_not_taken_for_good(tmp_path: Path) -> None:
    with litellm_like(tmp_path) as it:
        await it.serves()
        it.write(changed="since")
        await keep_if_well(it.setup)
        it.kill()
        it.config.write_text("")
        assert (await it.repaired()).status == "completed"
        assert "since" not in it.config.read_text()


@pytest.mark.parametrize("command", ["sleep 1000", "true", "exit 3"])
async def test_a_command_that_hangs_or_does_nothing_ends_in_time_with_its_words_and_leaves_nothing(
    command: str, tmp_path: Path
) -> None:
    with litellm_like(tmp_path, start=None, restart=command, grace=IMPATIENT) as it:
        result = await it.repaired()
        assert result.failure is FailureClass.HANDED_ON
        assert "the command" in (result.message or "")
        assert not marked(START_MARK, it.url)


async def test_after_three_starts_in_ten_minutes_a_person_has_to_look(tmp_path: Path) -> None:
    with litellm_like(tmp_path, start="exit 3") as it:
        ends = [await it.repaired() for _ in range(MOST_STARTS + 1)]
    assert [end.failure for end in ends] == [FailureClass.HANDED_ON] * MOST_STARTS + [FailureClass.TASK]
    assert "started 3 times in ten minutes" in (ends[-1].message or "")


# killed in the middle


async def test_a_start_whose_repair_was_killed_is_waited_for_and_not_doubled(tmp_path: Path) -> None:
    with litellm_like(tmp_path) as it:
        it.write(stub={"slow": 2})
        before = begin(it.setup, Keeper(it.setup.folder).log)  # and then nobody waited for it
        result = await it.repaired()
        assert result.status == "completed"
        assert "wait: " in result.text
        assert "start: " not in result.text
        assert before.process.pid in {process.pid for process in it.own()}


async def test_a_file_that_was_put_in_place_by_a_killed_repair_is_tried_and_else_goes_again(tmp_path: Path) -> None:
    with litellm_like(tmp_path) as it:
        it.served()
        it.config.write_text("")
        keeper = Keeper(it.setup.folder)
        await anyio.to_thread.run_sync(_restored, keeper, it)
        assert keeper.journal().broken
        (it.folder / "litellm").write_text("raise SystemExit('broken')")
        result = await it.repaired()
        assert (result.failure, it.config.read_bytes()) == (FailureClass.HANDED_ON, b"")
        assert keeper.journal().broken is None


def _restored(keeper: Keeper, it: LiteLLM) -> None:
    file = read(it.config)
    known, _ = keeper.copy(file)
    assert known is not None
    keeper.restore(file, known)


class Killed(BaseException):
    """The end of a process at a moment that nobody chose."""


@pytest.mark.parametrize(
    ("at", "after"),
    [
        pytest.param(at, after, marks=[] if (at, after) in ((2, True), (4, False)) else pytest.mark.slow)
        for at in range(1, 6)
        for after in (False, True)
    ],
)
async def test_a_repair_that_is_killed_at_any_write_is_gone_on_with_and_loses_no_file(
    at: int, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with litellm_like(tmp_path) as it:
        good = it.served()
        it.config.write_bytes(broken := b"model_list: [\n")
        writes, write = count(1), known_good.put

        def dying(path: Path, data: bytes, *, mode: int) -> None:
            number = next(writes)
            if number == at and not after:
                raise Killed
            write(path, data, mode=mode)
            if number == at:
                raise Killed

        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(known_good, "put", dying)
            await it.repaired()
        assert next(writes) > at
        result = await it.repaired()
        assert result.status == "completed", result
        assert it.config.read_bytes() == good
        assert [copy.read_bytes() for copy in it.broken_copies()] == [broken]
        assert len({process.pid for process in it.own()}) == 1


async def test_a_journal_that_cannot_be_read_costs_no_repair(tmp_path: Path) -> None:
    with litellm_like(tmp_path) as it:
        (it.setup.folder).mkdir()
        (it.setup.folder / "journal.json").write_text("{")
        (it.setup.folder / "known-good.json").write_text("[]")
        assert (await it.repaired()).status == "completed"
        assert Keeper(it.setup.folder).journal() != Journal()
