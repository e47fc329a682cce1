"""Who may come in to the web page, what it says to whoever may not, and what its forms mean."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.to_thread import run_sync
from markupsafe import Markup
from starlette.requests import Request

from omni_mcp.contract import OWNER_MARK, TASK_MARK
from omni_mcp.errors import LedgerBusy
from omni_mcp.faces.text.mode import lasted
from omni_mcp.faces.web import live
from omni_mcp.faces.web.charts import COLOURS, FULL, NARROWEST, attempt_bars, cost_columns, mode_bars, nice
from omni_mcp.faces.web.door import HEADERS
from omni_mcp.faces.web.forms import answer_of
from omni_mcp.faces.web.keys import LINK, LIVES, SESSION, Keys, form_key
from omni_mcp.faces.web.live import news
from omni_mcp.faces.web.peer import run_behind
from omni_mcp.faces.web.render import Part, preferred
from omni_mcp.faces.web.site import Site
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.processes import MARKS, Origin
from omni_mcp.question import Action, Answer, Asked, QuestionKind
from omni_mcp.task import LOCAL, Mode, TaskState
from omni_mcp.testing import START
from omni_mcp.views.attempts import AttemptsView, AttemptView
from omni_mcp.views.costs import CellView, CostsView, CostView
from omni_mcp.views.mode import ModeChangeView, OutagesView
from omni_mcp.views.question import QuestionView
from tests.unit.test_service import Place, place

AT = "http://127.0.0.1:8766"
OURS = {"origin": AT, "sec-fetch-site": "same-origin"}
HOSTILE = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Browser:
    """A browser that was let in."""

    client: httpx.AsyncClient
    place: Place
    session: str

    async def sends(self, path: str, headers: Mapping[str, str] | None = None, **form: Any) -> httpx.Response:
        """Send a form of the page."""
        data = {"form_key": form_key(self.session), **form}
        return await self.client.post(f"/web{path}", data=data, headers=dict(OURS if headers is None else headers))

    async def tasks(self) -> int:
        """Return how many tasks there are."""
        return len((await self.place.ledger.page(principal=LOCAL)).tasks)


@asynccontextmanager
async def browsing(tmp_path: Path, **more: Any) -> AsyncGenerator[Browser]:
    """Open the page over a service, and let a browser in."""
    async with place(tmp_path) as here:
        service = replace(here.service, **more)
        keys = Keys(tmp_path / "page-keys")
        transport = httpx.ASGITransport(app=Site(lambda: service, keys))
        async with httpx.AsyncClient(transport=transport, base_url=AT) as client:
            link = await run_sync(keys.link)
            entered = await client.post("/web/enter", data={"key": link}, headers=OURS)
            assert (entered.status_code, entered.headers["location"]) == (303, "/web/")
            cookie = entered.headers["set-cookie"]
            assert all(each in cookie for each in ("HttpOnly", "SameSite=strict", "Path=/web"))
            yield Browser(client, here, client.cookies["omni_page_8766"])


# who may come in


async def test_a_link_lets_one_browser_in_once(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        again = await run_sync(Keys(tmp_path / "page-keys").link)
        first = await browser.client.post("/web/enter", data={"key": again}, headers=OURS)
        second = await browser.client.post("/web/enter", data={"key": again}, headers=OURS)
        assert (first.status_code, second.status_code) == (303, 403)
        assert "this link was used already" in second.text


def test_links_and_sessions_end_and_no_key_is_on_disk(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    assert keys.let_in("never made") is None
    old, young = keys.link(), keys.link()
    aged(keys, LINK, old, LIVES[LINK] + 1)
    assert keys.let_in(old) is None
    session = keys.let_in(young)
    assert session is not None
    assert keys.knows(session)
    assert [each for each in keys.folder.iterdir() if session in each.name or each.read_bytes()] == []
    assert {each.stat().st_mode & 0o077 for each in (keys.folder, *keys.folder.iterdir())} == {0}
    aged(keys, SESSION, session, LIVES[SESSION] - 5)
    assert keys.knows(session)  # which counts as a use
    aged(keys, SESSION, session, LIVES[SESSION] + 1)
    assert not keys.knows(session)
    keys.link()
    assert len(list(keys.folder.iterdir())) == 1  # what is over is swept up


def aged(keys: Keys, kind: str, key: str, seconds: float) -> None:
    (file,) = [each for each in keys.folder.iterdir() if each == keys.file(kind, key)]
    at = file.stat().st_mtime - seconds
    os.utime(file, (at, at))


@pytest.mark.parametrize("path", ["/web/", "/web/tasks", "/web/live/", "/web/costs", "/web/nothing"])
async def test_nothing_is_shown_to_who_was_not_let_in(path: str, tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        browser.client.cookies.set("omni_page_8766", "forged")
        answer = await browser.client.get(path)
        assert answer.status_code == 401
        assert "omni-mcp dashboard" in answer.text
        assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost:1:2", "", "10.0.0.7:8766"])
async def test_a_name_that_is_not_this_machines_is_refused_even_with_a_session(host: str, tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        answer = await browser.client.get("/web/", headers={"host": host})
        assert answer.status_code == 403
        assert "answers on this machine only" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-site"},
        {"origin": "https://127.0.0.1:8766", "sec-fetch-site": "same-site"},
        {"origin": "null"},
        {"origin": AT, "sec-fetch-site": "cross-site"},
        {},
    ],
)
async def test_what_the_page_did_not_send_changes_nothing(headers: Mapping[str, str], tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        refused = await browser.sends("/tasks", headers=headers, description="steal")
        assert (refused.status_code, await browser.tasks()) == (403, 0)
        assert "nothing was done" in refused.text
        taken = await browser.sends("/tasks", description="say hello")
        assert (taken.status_code, await browser.tasks()) == (303, 1)


async def test_a_form_without_the_key_of_its_session_changes_nothing(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        for key in ("", "forged", form_key("of another session"), "é"):
            refused = await browser.sends("/tasks", form_key=key, description="steal")
            assert (refused.status_code, await browser.tasks()) == (403, 0)


async def test_another_site_loads_nothing_but_may_link(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        embeds = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
        links = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        codes = [(await browser.client.get("/web/", headers=each)).status_code for each in (embeds, links)]
        assert codes == [403, 200]


async def test_whoever_leaves_is_out(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        session = browser.session
        assert (await browser.sends("/leave")).headers["location"] == "/web/enter"
        browser.client.cookies.set("omni_page_8766", session)
        assert (await browser.client.get("/web/")).status_code == 401


# what it shows


async def test_what_others_wrote_is_shown_as_it_is_written(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        task_id = await browser.place.submitted(description=HOSTILE)
        for path in (
            "/web/",
            "/web/tasks",
            f"/web/tasks/{task_id}",
            f"/web/find?task={task_id[:8]}",
            "/web/%3Cscript%3E",
        ):
            shown = await browser.client.get(path, follow_redirects=True)
            assert "<script>" not in shown.text
            assert "script&gt;" in shown.text


@pytest.mark.parametrize("path", ["/web/tasks/none", "/web/tasks/aaaaaaaaaaaaaaaaaaaaaaaa", "/web/find?task="])
async def test_a_task_that_is_none_is_said_so(path: str, tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        answer = await browser.client.get(path)
        assert answer.status_code == 404
        assert "no task has the id" in answer.text
        assert "What to do" in answer.text


async def test_a_ledger_that_does_not_answer_is_said_so_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_args: Any, **_more: Any) -> Any:
        raise LedgerBusy("another process holds the write gate", next_step="call again in a moment")

    async with browsing(tmp_path) as browser:
        monkeypatch.setattr(SqliteLedger, "page", busy)
        answer = await browser.client.get("/web/tasks")
        assert answer.status_code == 503
        assert "another process holds the write gate" in answer.text
        assert "call again in a moment" in answer.text


async def test_what_cannot_be_a_task_is_shown_again_with_the_reason(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        for field, text in (("budget_usd", "much"), ("budget_usd", "nan"), ("priority", "1000"), ("deadline", "soon")):
            given: dict[str, Any] = {"description": "my long words", field: text}
            again = await browser.sends("/tasks", **given)
            assert again.status_code == 422
            assert "my long words" in again.text
            assert f"{field} " in again.text
        assert await browser.tasks() == 0


async def test_a_form_that_is_sent_twice_makes_one_task(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        sent = [await browser.sends("/tasks", description="once", idempotency_key="page-1") for _ in range(2)]
        assert sent[0].headers["location"] == sent[1].headers["location"]
        assert await browser.tasks() == 1


async def test_a_page_speaks_the_browsers_language_until_another_is_chosen(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        chinese = {"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"}
        assert '<html lang="zh-CN">' in (await browser.client.get("/web/", headers=chinese)).text
        chosen = await browser.sends("/look", language="en", theme="dark", back="/web/costs")
        assert chosen.headers["location"] == "/web/costs"
        assert '<html lang="en" data-theme="dark">' in (await browser.client.get("/web/", headers=chinese)).text
        elsewhere = await browser.sends("/look", theme="light", back="//evil.example")
        assert elsewhere.headers["location"] == "/web/"


LANGUAGES = {
    "": "en",
    "de": "en",
    "zh-TW": "zh",
    "en;q=0.5, zh;q=0.9": "zh",
    "zh;q=0": "en",
    "zh;q=x": "en",
}


@pytest.mark.parametrize(("header", "language"), LANGUAGES.items())
def test_the_language_is_the_first_that_there_is(header: str, language: str) -> None:
    assert preferred(header) == language


async def test_a_list_shows_the_states_that_were_asked_for_and_leads_on(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        over = await browser.place.ended(await browser.place.submitted(description="it went wrong"))
        for number in range(51):
            await browser.place.submitted(description=f"number {number}.")
        first = (await browser.client.get("/web/tasks?state=idle&state=waiting&state=nonsense")).text
        assert (first.count('<li class="task">'), "it went wrong" in first, "number 0." in first) == (50, False, False)
        (older,) = re.findall(r'rel="next" href="([^"]+)"', first)
        last = (await browser.client.get(older.replace("&amp;", "&"))).text
        assert (last.count('<li class="task">'), "number 0." in last) == (1, True)
        failed = (await browser.client.get("/web/tasks?state=failed")).text
        assert (failed.count('<li class="task">'), over in failed) == (1, True)


# what a person does


async def test_a_consent_is_given_for_one_attempt_and_a_cancelled_task_is_tried_again(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        task_id = await browser.place.executing(await browser.place.submitted())
        at = f"/tasks/{task_id}"
        await browser.place.ledger.park(task_id, attempt=1, owner="me", waiting_for="consent", text="unknown")  # type: ignore[arg-type]
        shown = await browser.client.get(f"/web{at}")
        assert "Consent: run it again" in shown.text
        assert (await browser.sends(f"{at}/resume")).headers["location"] == f"/web{at}"
        task = await browser.place.ledger.find(task_id, principal=LOCAL)
        assert (task.state, task.consented) == (TaskState.IDLE, True)
        assert "resumed" in (await browser.client.get(f"/web{at}")).text
        await browser.sends(f"{at}/cancel", reason="enough")
        again = await browser.sends(f"{at}/retry")
        assert again.headers["location"] != f"/web{at}"
        assert await browser.tasks() == 2


async def test_a_permission_is_a_persons_to_give_and_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with browsing(tmp_path) as browser:
        task_id = await browser.place.executing(await browser.place.submitted())
        asked = Asked(kind=QuestionKind.PERMISSION, text=f"Bash: rm -r build \u202e{HOSTILE}")
        await browser.place.ledger.ask(
            task_id, attempt=1, owner="me", asked=asked, for_people=True, text="asks", notice="asks"
        )
        shown = (await browser.client.get(f"/web/tasks/{task_id}")).text
        assert "\u202e" not in shown
        assert "Allow" in shown
        answer: dict[str, Any] = {"question_id": "q1", "action": "accept"}
        monkeypatch.setattr("omni_mcp.faces.web.deeds.run_behind", from_a_run)
        refused = await browser.sends(f"/tasks/{task_id}/answer", **answer)
        assert refused.status_code == 422
        assert "which only a person gives" in refused.text
        monkeypatch.undo()
        assert (await browser.sends(f"/tasks/{task_id}/answer", **answer)).status_code == 303
        assert (await browser.place.ledger.questions(task_id))[0].answer == Answer(action=Action.ACCEPT)
        gone = await browser.sends(f"/tasks/{task_id}/answer", **answer)
        assert "it was answered or taken back" in gone.text


def from_a_run(_request: object) -> Origin:
    return Origin(task="t", owner="o")


def test_an_answer_has_the_types_of_its_form() -> None:
    properties = {
        "n": {"type": "integer"},
        "yes": {"type": "boolean"},
        "no": {"type": "boolean"},
        "some": {"type": "array", "items": {"enum": ["a", "b", "c"]}},
        "free": {"type": "array", "items": {"type": "string"}},
        "text": {"type": "string"},
        "left": {"type": "string"},
    }
    question = QuestionView(question_id="q1", kind="input", text="?", form={"properties": properties}, asked_at=START)
    given = {"n": ["3"], "yes": ["yes"], "some": ["a", "c"], "free": ["x, y"], "text": ["one\r\ntwo"], "left": [""]}
    form = {"action": ["accept"], **{f"field.{name}": value for name, value in given.items()}}
    assert answer_of(form, question).content == {
        "n": 3,
        "yes": True,
        "no": False,
        "some": ["a", "c"],
        "free": ["x", "y"],
        "text": "one\ntwo",
    }
    declined = answer_of({"action": ["decline"], "message": ["not now"]}, question)
    assert declined == Answer(action=Action.DECLINE, content={"message": "not now"})


async def test_an_open_page_is_told_what_changed_and_of_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PACE", 0)
    monkeypatch.setattr(live, "TROUBLE", 0)
    monkeypatch.setattr(live, "QUIET", timedelta(hours=1))  # only what is written leads to the next look
    async with place(tmp_path) as here:
        marks = iter(["1", "1", None, "2"])
        stays = iter([True, True, True, True, False])

        async def parts() -> Mapping[str, Part]:
            await here.submitted()  # after the watermark: something was written since
            if (mark := next(marks)) is None:
                raise LedgerBusy("busy")
            return {"head": Part(Markup("x"), mark)}

        async def may_stay() -> bool:
            return next(stays)

        told = [each async for each in news(here.ledger, parts, may_stay, lambda error: error.message)]
        names = [each.partition("\n")[0].removeprefix("event: ") for each in told]
        assert names == ["parts", "parts", "trouble", "parts", "left"]
        assert ["head" in each for each in told] == [True, False, False, True, False]


# charts


COUNTS = ("calls", "free_calls", "paid_calls", "unknown_calls", "input_tokens", "output_tokens")


def a_cell(day: str, executor: str, usd: float) -> CellView:
    return CellView(name=day, executor=executor, model="m", usd=usd, **dict.fromkeys(COUNTS, 1))  # type: ignore[arg-type]


def costs_of(*cells: CellView) -> CostsView:
    total = CostView(usd=0, **dict.fromkeys(COUNTS, 0))  # type: ignore[arg-type]
    return CostsView(since=START, total=total, by={}, cells=list(cells), resets_at=START)


def test_columns_hold_each_day_and_no_colour_runs_out() -> None:
    first = START.astimezone().date()
    cells = [a_cell(first.isoformat(), f"e{n}", 1.0 + n) for n in range(COLOURS + 3)]
    columns = cost_columns(costs_of(*cells), first + timedelta(days=2), by="executor")
    assert [each.usd for each in columns.days] == [pytest.approx(66.0), 0, 0]
    assert sum(part.size for part in columns.days[0].bars) == pytest.approx(FULL * 66 / columns.top)
    assert (len(columns.legend), columns.legend[-1][0]) == (COLOURS, "others")
    assert sum(usd for _, _, usd in columns.legend) == pytest.approx(66.0)
    assert cost_columns(costs_of(), date(2026, 1, 1), by="model").top == 1.0


@pytest.mark.parametrize(("most", "top"), [(0, 1), (0.003, 0.005), (1, 1), (1.01, 2), (2.2, 2.5), (99, 100)])
def test_a_scale_ends_at_a_round_number_above(most: float, top: float) -> None:
    assert nice(most) == pytest.approx(top)


def test_an_attempt_lies_within_the_life_of_its_task() -> None:
    def at(minutes: int) -> datetime:
        return START + timedelta(minutes=minutes)

    first = AttemptView(attempt=1, began_at=at(0), bound_at=at(0), ended_at=at(10), end="waiting (retry)")
    second = AttemptView(attempt=2, began_at=at(15), bound_at=at(15))
    view = AttemptsView(task_id="t", created_at=START, attempts=[first, second])
    bars = attempt_bars(view, at(20))
    assert [(each.at, each.size, each.colour) for each in bars] == [(0, 500, "waiting"), (750, 250, "executing")]


def test_an_outage_is_drawn_over_what_went_well_however_short_it_was() -> None:
    def at(hours: float) -> datetime:
        return START + timedelta(hours=hours)

    changes = [
        ModeChangeView(at=at(90.01), was=Mode.DEGRADED, mode=Mode.NORMAL, cause="back"),
        ModeChangeView(at=at(90), was=Mode.NORMAL, mode=Mode.DEGRADED, cause="broken"),
        ModeChangeView(at=at(-50), was=Mode.BRAINSTEM, mode=Mode.NORMAL, cause="back"),
    ]
    view = OutagesView(now=at(100), mode=Mode.NORMAL, since=at(90.01), changes=changes)
    bars = mode_bars(view, START)
    assert [part.colour for part in bars] == ["normal", "normal", "degraded"]
    assert (bars[-1].at, bars[-1].size) == (pytest.approx(900), NARROWEST)
    assert [span.total_seconds() for span in lasted(view)] == [
        pytest.approx(9.99 * 3600),
        pytest.approx(36),
        140 * 3600,
    ]


def test_a_request_out_of_a_run_is_known_by_the_process_at_the_other_end() -> None:
    connect = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); print(); s.recv(1)"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        run = {OWNER_MARK: "an-owner", TASK_MARK: "t1"}
        for marks, origin in ((run, Origin(task="t1", owner="an-owner")), (dict[str, str](), None)):
            argv = [sys.executable, "-c", connect, str(port)]
            with subprocess.Popen(argv, env={**clean(), **marks}, stdout=subprocess.PIPE) as child:
                accepted, client = server.accept()
                with accepted:
                    scope: dict[str, Any] = {
                        "type": "http",
                        "client": client,
                        "server": ("127.0.0.1", port),
                        "headers": [],
                    }
                    assert run_behind(Request(scope)) == origin
                assert child.stdout is not None
                child.stdout.read()


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in MARKS}
