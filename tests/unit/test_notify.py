"""Each channel against something real: a receiver on loopback, a program that stands in for the desktop's, apprise."""

import base64
import hashlib
import hmac
import json
import os
import pwd
import re
import sys
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from anyio.to_thread import run_sync
from pydantic import SecretStr

from omni_mcp.doctor import notify as doctor
from omni_mcp.doctor.scene import scene_of
from omni_mcp.errors import NotTold
from omni_mcp.file_check import check as file_check
from omni_mcp.home import Home
from omni_mcp.ledger.base import Delivery, Notice
from omni_mcp.notify import desktop as desktop_module
from omni_mcp.notify import webhook as webhook_module
from omni_mcp.notify.apprise import Apprise
from omni_mcp.notify.channels import channels_of, told_by
from omni_mcp.notify.child import run
from omni_mcp.notify.desktop import BUS, Desktop, desktop
from omni_mcp.notify.trial import tried
from omni_mcp.notify.webhook import Webhook
from omni_mcp.servers_file.notify import Notify, WebhookRow
from omni_mcp.settings import load
from omni_mcp.task import SystemClock
from omni_mcp.testing import START
from tests.receiver import HANGS, KEY, SECRET, Receiver, receiver

DELIVERY = Delivery(
    number=7,
    notice=Notice(
        number=3,
        at=START,
        kind="mode",
        text="mode brainstem: 断网 <&>. Tasks that need a cloud wait and go on by themselves; "
        "nothing fails, nothing is to be done",
        data={"mode": "brainstem", "was": "normal", "cause": "断网 <&>"},
    ),
    channel="any",
    id="msg_abc",
    tries=0,
    due_at=START,
)


def _is_none(_path: object) -> bool:
    return False


def _found_nowhere(_name: str) -> None:
    return None


def webhook(at: Receiver) -> Webhook:
    return Webhook(WebhookRow(url=SecretStr(at.url), secret=SecretStr(SECRET)))


async def test_a_webhook_is_signed_as_the_specification_says_and_the_same_at_each_try_but_for_its_time():
    async with receiver() as at:
        await webhook(at).tell(DELIVERY)
        await webhook(at).tell(DELIVERY)
    first, second = at.got
    headers = first.headers
    signed = f"msg_abc.{headers['webhook-timestamp']}.".encode() + first.body
    signature = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    assert first.path == "/hook/"
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert (first.id, second.id, second.body) == ("msg_abc", "msg_abc", first.body)
    said = first.said
    assert (said["type"], said["timestamp"], said["data"]["mode"]) == ("mode.changed", START.isoformat(), "brainstem")
    assert said["data"]["text"] == DELIVERY.notice.text


@pytest.mark.parametrize(("status", "final"), [(302, False), (400, False), (410, True), (503, False)])
async def test_what_is_not_answered_with_2xx_is_not_told_and_no_redirect_is_followed(status: int, final: bool):
    async with receiver(answers=[status]) as at:
        with pytest.raises(NotTold, match=f"HTTP {status}") as raised:
            await webhook(at).tell(DELIVERY)
    assert (raised.value.final, len(at.got)) == (final, 1)


async def test_a_receiver_that_hangs_or_is_not_there_is_left_within_the_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webhook_module, "LIMIT", 0.2)
    async with receiver(answers=[HANGS]) as at:
        with pytest.raises(NotTold, match=r"no answer in 0\.2 s"):
            await webhook(at).tell(DELIVERY)
        channel = webhook(at)
    monkeypatch.setattr(webhook_module, "LIMIT", 20)
    with pytest.raises(NotTold, match=r"no connection \(ConnectError\)"):
        await channel.tell(DELIVERY)


def program(folder: Path, name: str, *, code: int = 0) -> Path:
    """Write a program that keeps its arguments and its environment, and complains."""
    file = folder / name
    script = f'printf "%s\\0" "$@" > {folder}/{name}.args; env > {folder}/{name}.env; echo "no daemon" >&2; exit {code}'
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return folder / f"{name}.args"


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A session of a person, with only the programs of a test."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv(BUS, "unix:path=/nowhere/bus")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("OMNI_LANG", "zh")
    monkeypatch.delenv("HOME", raising=False)
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="the desktop of Linux")
async def test_on_linux_notify_send_shows_it_in_the_users_language_and_sees_no_key(session: Path):
    args = program(session, "notify-send")
    shown = await run_sync(desktop)
    assert isinstance(shown, Desktop)
    await shown.tell(DELIVERY)
    *options, title, body, _ = args.read_text().split("\0")
    assert options == ["--app-name=Omni-Orchestrator", "--urgency=critical", "--"]
    assert title == "Omni-Orchestrator: 脑干模式"
    assert body.startswith("模式 脑干模式：断网 &lt;&amp;&gt;。")
    assert "2026" in body.splitlines()[1]
    seen = (session / "notify-send.env").read_text()
    assert f"{BUS}=unix:path=/nowhere/bus" in seen
    assert "sk-secret" not in seen


@pytest.mark.skipif(sys.platform != "linux", reason="the desktop of Linux")
async def test_a_desktop_that_takes_no_notices_is_asked_once(session: Path):
    program(session, "notify-send", code=1)
    shown = await run_sync(desktop)
    assert isinstance(shown, Desktop)
    with pytest.raises(NotTold, match="the desktop takes no notices: no daemon") as raised:
        await shown.tell(DELIVERY)
    assert raised.value.final


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for osascript")
async def test_on_macos_what_is_shown_is_an_argument_of_the_script(session: Path, monkeypatch: pytest.MonkeyPatch):
    args = program(session, "osascript")
    monkeypatch.setattr(desktop_module.sys, "platform", "darwin")
    shown = await run_sync(desktop)
    monkeypatch.undo()
    assert isinstance(shown, Desktop)
    await shown.tell(replace(DELIVERY, notice=replace(DELIVERY.notice, text='" & (do shell script "id") & "')))
    *script, _title, body, _ = args.read_text().split("\0")
    assert "id" not in "".join(script).replace("display", "")
    assert body.startswith('" & (do shell script')


def test_without_a_desktop_session_there_is_no_channel_and_it_is_said_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(desktop_module.Path, "is_socket", _is_none)
    monkeypatch.setattr(desktop_module.sys, "platform", "linux")
    monkeypatch.setattr(desktop_module.shutil, "which", _found_nowhere)
    monkeypatch.setenv(BUS, "unix:path=/nowhere/bus")
    monkeypatch.setenv("HOME", pwd.getpwuid(os.getuid()).pw_dir)
    assert "libnotify-bin" in str(desktop())
    monkeypatch.setenv("HOME", "/somewhere/else")
    assert desktop() == "absent: HOME is not that of the user"
    monkeypatch.delenv("HOME")
    monkeypatch.delenv(BUS)
    assert not channels_of(Notify())
    assert told_by(Notify(), (), "engine.log")["desktop"] == "absent: no desktop session here"
    monkeypatch.setattr(desktop_module.sys, "platform", "win32")
    assert "windows://" in str(desktop())


async def test_apprise_sends_it_and_says_what_it_cannot(session: Path):
    del session
    async with receiver(answers=[200, 500]) as at:
        channel = Apprise(SecretStr(f"json://user:token@127.0.0.1:{at.port}/secret-path"))
        await channel.check()
        assert not at.got
        await channel.tell(DELIVERY)
        with pytest.raises(NotTold, match="the service did not take it") as refused:
            await channel.tell(DELIVERY)
    said = json.loads(at.got[0].body)
    assert (said["title"], said["type"]) == ("Omni-Orchestrator: 脑干模式", "warning")
    assert said["message"].startswith("模式 脑干模式：断网")
    assert not refused.value.final
    assert channel.name.startswith("apprise json (")
    assert not any(secret in channel.name for secret in ("user", "token", "path"))
    with pytest.raises(NotTold, match="does not know such a URL") as unknown:
        await Apprise(SecretStr("no-such-service://secret")).check()
    assert unknown.value.final


async def test_a_test_notice_goes_through_every_channel_and_each_says_what_became_of_it():
    async with receiver(answers=[]) as good, receiver(answers=[500]) as bad:
        rows = [WebhookRow(url=SecretStr(at.url), secret=SecretStr(SECRET)) for at in (good, bad)]
        first, second = await tried(channels_of(Notify(desktop=False, webhooks=tuple(rows))), SystemClock())
    assert (first.told, first.text, second.told, second.text) == (True, "took a test notice", False, "HTTP 500")
    assert json.loads(good.got[0].body)["type"] == "test"


def test_who_is_told_and_how_that_went_last_is_said():
    row = WebhookRow(url=SecretStr("https://hooks.example.org/T0/secret"), secret=SecretStr(SECRET))
    notify = Notify(desktop=False, webhooks=(row,))
    (name,) = channels_of(notify)
    assert "hooks.example.org" in name
    assert "T0" not in name + repr(notify)
    owed = replace(DELIVERY, channel=name)
    late = replace(owed, tries=2, trouble="HTTP 500", due_at=START + timedelta(seconds=10))
    assert {text: told_by(notify, [delivery], "")[name] for text, delivery in {
        "none": replace(owed, channel="other"),
        "new": owed,
        "told": replace(owed, told_at=START),
        "late": late,
        "over": replace(late, given_up_at=START),
    }.items()} == {
        "none": "nothing told yet",
        "new": "on its way",
        "told": "told 2026-01-01 12:00:00 UTC",
        "late": "2 tries failed: HTTP 500; next try 2026-01-01 12:00:10 UTC",
        "over": "given up 2026-01-01 12:00:00 UTC after 2 tries: HTTP 500",
    }  # fmt: skip


BAD = f"""
notify:
  desktop: ${{NO_DESKTOP:-false}}
  webhooks:
    - {{url: "ftp://x", secret: "{SECRET}"}}
    - {{url: "https://x.example", secret: "whsec_c2hvcnQ="}}
    - {{url: "https://y.example", secret: "${{NOT_SET_ANYWHERE}}"}}
    - {{url: "https://z.example/secret", secret: "{SECRET}"}}
  apprise: ["no url", "nonsense://secret"]
"""


def test_a_channel_that_cannot_work_is_told_with_its_line_and_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = Home(tmp_path)
    home.servers.write_text(BAD)
    settings = load(home)
    told = [str(problem) for problem in settings.problems]
    assert [text.split(" line ")[1].split(":")[0] for text in told] == [
        "5, notify.webhooks.0.url",
        "6, notify.webhooks.1.secret",
        "7, notify.webhooks.2.secret",
        "9, notify.apprise.0",
    ]
    assert "begins with neither http:// nor https://" in told[0]
    assert "openssl rand -base64 32" in told[1]
    assert not any("c2hvcnQ" in text or SECRET in text for text in told)
    assert [name.split(" (")[0] for name in channels_of(settings.servers.notify)] == [
        "webhook z.example",
        "apprise nonsense",
    ]
    (wrong, right) = doctor.channels(scene_of(home))
    assert (wrong.code, right.code) == ("notify-url", "notify")
    assert "secret" not in wrong.text + right.text
    assert wrong.fix is not None
    assert "+9 " in wrong.fix
    monkeypatch.setattr(file_check, "find_spec", _found_nowhere)
    (lacking,) = [
        problem for problem in load(home).problems if "apprise" in problem.where and "installed" in problem.what
    ]
    assert lacking.fix == 'pip install "omni-mcp[apprise]"'
    assert not load(home).servers.notify.apprise


async def test_what_lies_in_the_folder_of_the_caller_is_not_run_and_sees_no_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hostile = f"import sys; open({str(tmp_path / 'seen')!r}, 'w').write(sys.stdin.read()); sys.exit(11)"
    await run_sync((tmp_path / "json.py").write_text, hostile)
    monkeypatch.chdir(tmp_path)
    with suppress(NotTold):  # apprise may be absent
        await Apprise(SecretStr("json://localhost")).check()
    assert [path.name for path in await run_sync(list, tmp_path.iterdir())] == ["json.py"]


def test_no_python_that_we_start_looks_for_modules_in_the_folder_it_is_in():
    sources = Path(file_check.__file__).parents[1].rglob("*.py")
    assert [path.name for path in sources if re.search(r'(?<!"-P", )"-m", "omni_mcp', path.read_text())] == []


async def test_a_program_that_never_stops_complaining_fills_no_memory():
    script = "import sys; [sys.stderr.write('x' * 65536) for _ in range(256)]; sys.exit('the end')"
    tracemalloc.start()
    try:
        ended = await run([sys.executable, "-c", script])
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (ended.code, ended.said[-8:], most < 4 << 20) == (1, "xthe end", True)
