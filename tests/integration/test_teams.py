"""A team behind one real `omni-mcp serve`: who may do what, whose tasks are whose, and what a forged request gets."""

import json
import re
import signal
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.auth.providers.jwt import RSAKeyPair
from mcp import MCPError
from prometheus_client.parser import text_string_to_metric_families

from omni_mcp.errors import SettingsError
from omni_mcp.home import Home
from omni_mcp.http import serve_http
from tests.integration.house import House, Served, call, ended, free_port, house, refused, until
from tests.integration.standing import STARTS, standing

pytestmark = pytest.mark.timeout(400)

KEYS = RSAKeyPair.generate()
ISSUER, AUDIENCE = "https://id.example.com", "omni"
WRITERS = ("alice", "bob", "carol", "dave", "erin", "eager", "leaver")
BURST = 100
UNKNOWN = "zzzzzzzzzzzzzzzzzzzzzzzz"


def token_of(name: str) -> str:
    return f"the-token-of-{name}-which-nobody-else-has"


@dataclass(frozen=True)
class Team:
    """A served home with a token for each of its people."""

    here: House
    served: Served

    @asynccontextmanager
    async def client(self, name: str, *, mode: Any = "auto") -> AsyncGenerator[Client[Any]]:
        async with self.bearing(token_of(name), mode=mode) as client:
            yield client

    @asynccontextmanager
    async def bearing(self, token: str, *, mode: Any = "auto") -> AsyncGenerator[Client[Any]]:
        async with Client(StreamableHttpTransport(self.served.url, auth=token), mode=mode, timeout=STARTS) as client:
            yield client

    @asynccontextmanager
    async def http(self, token: str | None = None) -> AsyncGenerator[httpx.AsyncClient]:
        said = {} if token is None else {"authorization": f"Bearer {token}"}
        accepts = {"accept": "application/json, text/event-stream"}
        async with httpx.AsyncClient(base_url=self.served.base, headers={**accepts, **said}, timeout=STARTS) as client:
            yield client


def settings_of(here: House, *, without: str = "") -> dict[str, Any]:
    """Return servers.yaml of the team; the tokens are in `.env`."""
    rows: dict[str, Any] = {name: {"token": f"${{TOKEN_{name.upper()}}}"} for name in WRITERS if name != without}
    rows["reader"] = {"token": "${TOKEN_READER}", "scopes": ["tasks:read"]}
    rows["poster"] = {"token": "${TOKEN_POSTER}", "scopes": ["tasks:write"]}
    rows["meter"] = {"token": "${TOKEN_METER}", "scopes": ["metrics:read"]}
    rows["boss"] = {"token": "${TOKEN_BOSS}", "scopes": ["admin"]}
    jwt = {"issuer": ISSUER, "audience": AUDIENCE, "public_key": "${PUBLIC_KEY}"}
    return {
        "executors": {"bench": here.workshop(), "slow": here.workshop("until", argument="path")},
        "http": {"tokens": rows, "jwt": jwt, "hosts": ["omni.example.com"], "rate": {"per_second": 1, "burst": BURST}},
    }


def write_tokens(here: House) -> None:
    names = (*WRITERS, "reader", "poster", "meter", "boss")
    lines = [f"TOKEN_{name.upper()}={token_of(name)}" for name in names]
    here.home.dotenv.write_text("\n".join([*lines, f'PUBLIC_KEY="{KEYS.public_key.strip()}"']) + "\n")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    here = House(Home(tmp_path_factory.mktemp("team") / "home"))
    here.home.root.mkdir()
    write_tokens(here)
    here.configure(**settings_of(here))
    with standing(here, lambda served: warmed_up(Team(here, served))) as served:
        yield Team(here, served)


async def warmed_up(team: Team) -> None:
    """Have both executors running."""
    async with team.client("boss") as boss:
        for kind in ("echo", "until"):
            task = await call(boss, "submit_task", description=str(team.here.home.root), type=kind)
            await ended(boss, task["task_id"])


async def finished(client: Client[Any], said: str, **more: Any) -> dict[str, Any]:
    task = await call(client, "submit_task", description=said, type="echo", **more)
    return await ended(client, task["task_id"])


# whose tasks are whose


async def test_a_task_of_somebody_else_is_answered_exactly_as_one_that_never_was(team: Team) -> None:
    async with team.client("alice") as alice, team.client("bob", mode="legacy") as bob:
        done = await finished(alice, "the plans of alice", idempotency_key="same")
        waits = await call(alice, "submit_task", description=str(team.here.home.root / "never"), type="until")
        for task in (done["task_id"], done["task_id"][:8], waits["task_id"]):
            for tool, arguments in TOUCHING.items():
                theirs = await refused(bob, tool, **named(arguments, task))
                nobodys = await refused(bob, tool, **named(arguments, UNKNOWN[: len(task)]))
                assert theirs["code"] == "task_not_found"
                assert json.dumps(theirs).replace(task, "*") == json.dumps(nobodys).replace(UNKNOWN[: len(task)], "*")
        assert (await call(bob, "list_tasks"))["tasks"] == []
        assert (await call(bob, "resume_pending"))["tasks"] == []
        costs = json.loads((await bob.read_resource("omni://costs"))[0].text)  # type: ignore[union-attr]
        assert (costs["total"]["calls"], costs["by"]["task"]) == (0, [])
        mine = await finished(bob, "the plans of bob", idempotency_key="same")
        assert mine["task_id"] != done["task_id"]
        assert [task["task_id"] for task in (await call(bob, "list_tasks"))["tasks"]] == [mine["task_id"]]
        assert (await call(alice, "task_result", task_id=done["task_id"]))["text"] == "echo: the plans of alice"
        assert (await call(alice, "cancel_task", task_id=waits["task_id"]))["state"] == "cancelled"


TOUCHING: Mapping[str, Mapping[str, Any]] = {
    "task_status": {"task_id": "*"},
    "task_result": {"task_id": "*"},
    "cancel_task": {"task_id": "*"},
    "answer_task": {"task_id": "*", "question_id": "q1", "action": "accept", "content": {}},
    "resume_pending": {"task_ids": ["*"]},
    "submit_task": {"description": "mine", "type": "echo", "after": ["*"]},
}
"""Every argument that names a task."""


def named(arguments: Mapping[str, Any], task_id: str) -> dict[str, Any]:
    filled: dict[str, Any] = json.loads(json.dumps(arguments).replace("*", task_id))
    return filled


async def test_what_others_have_open_spend_and_configure_is_not_shown(team: Team) -> None:
    async with team.client("carol") as carol, team.client("dave") as dave:
        task = await call(carol, "submit_task", description=str(team.here.home.root / "never"), type="until")
        seen = await call(dave, "system_mode")
        assert seen["open_tasks"] == {}
        assert {"problems", "told_by", "held", "held_ids"} & seen.keys() == set()
        assert str(team.here.home.root) not in json.dumps(seen)
        assert await call(carol, "cancel_task", task_id=task["task_id"])


async def test_an_admin_sees_the_tasks_of_all_and_ends_them_and_what_it_submits_is_its_own(team: Team) -> None:
    async with team.client("erin") as erin, team.client("boss") as boss:
        task = await call(erin, "submit_task", description=str(team.here.home.root / "never"), type="until")
        own = await finished(boss, "of the boss")
        seen = {each["task_id"]: each for each in (await call(boss, "list_tasks", limit=100))["tasks"]}
        assert seen[task["task_id"]]["source"] == "token:erin"
        assert (await call(boss, "cancel_task", task_id=task["task_id"]))["state"] == "cancelled"
        assert (await call(boss, "system_mode"))["settings"] == str(team.here.home.servers)
        assert (await refused(erin, "task_status", task_id=own["task_id"]))["code"] == "task_not_found"


# what a token lets its bearer do


async def test_without_its_scope_a_tool_is_neither_shown_nor_run(team: Team) -> None:
    async with team.client("reader") as reader, team.client("poster") as poster:
        reads = {tool.name for tool in await reader.list_tools()}
        assert reads == {"task_status", "task_result", "list_tasks", "system_mode"}
        for tool, arguments in {**TOUCHING, "submit_task": {"description": "x"}}.items():
            if tool not in reads:
                error = await refused(reader, tool, **named(arguments, UNKNOWN))
                assert (error["code"], error["retryable"]) == ("forbidden", False)
                assert f"{tool} needs the scope tasks:write; your token has tasks:read" in error["message"]
        assert (await refused(reader, "system_mode", set="brainstem"))["code"] == "forbidden"
        assert (await call(reader, "list_tasks"))["tasks"] == []
        task = await call(poster, "submit_task", description="posted", type="echo")
        assert (await refused(poster, "task_status", task_id=task["task_id"]))["code"] == "forbidden"
        with pytest.raises(MCPError, match="resources/read needs the scope tasks:read"):
            await poster.read_resource("omni://costs")


async def test_only_an_admin_sets_the_mode(team: Team) -> None:
    async with team.client("erin") as erin, team.client("boss") as boss:
        assert "needs the scope admin" in (await refused(erin, "system_mode", set="degraded"))["message"]
        assert (await call(boss, "system_mode", set="degraded", for_minutes=1))["mode"] == "degraded"
        assert (await call(boss, "system_mode", set="auto"))["mode"] == "normal"


async def test_who_asks_too_often_is_told_when_to_come_again_and_nobody_else_is(team: Team) -> None:
    async with team.client("eager", mode="legacy") as eager, team.client("erin") as erin:
        error = await asked_until_refused(eager)
        assert (error["code"], error["retryable"]) == ("rate_limited", True)
        assert 0 < error["retry_after"] <= 1.1
        with pytest.raises(MCPError, match="more than 1 requests a second") as told:
            await listed_for_ever(eager)
        assert told.value.error.data["code"] == "rate_limited"
        assert await call(erin, "list_tasks")


async def listed_for_ever(client: Client[Any]) -> None:
    while True:
        await client.list_resources()


async def asked_until_refused(client: Client[Any]) -> dict[str, Any]:
    while True:
        answer = await client.call_tool_mcp("list_tasks", {})
        if answer.is_error:
            assert answer.structured_content is not None
            return answer.structured_content


# who calls


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


async def test_a_request_with_a_forged_token_host_or_origin_does_nothing_and_learns_nothing(team: Team) -> None:
    alices = token_of("alice")
    for token in (None, "x", alices[:-1], alices + "x", alices.upper(), "local", "ü" * 9):
        async with team.http() as client:
            said = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
            for method in ("POST", "GET", "DELETE"):
                answer = await client.request(method, "/mcp", headers=said, json=INITIALIZE)
                assert (answer.status_code, "www-authenticate" in answer.headers) == (401, True), (token, answer.text)
                assert "token-of" not in answer.text + str(answer.headers)
    async with team.http(token_of("alice")) as client:
        assert (await client.post("/mcp", json=INITIALIZE)).status_code == 200
        assert (await client.post("/mcp", json=INITIALIZE, headers={"host": "omni.example.com"})).status_code == 200
        assert (await client.post("/mcp", json=INITIALIZE, headers={"host": "evil.example"})).status_code == 421
        origin = {"origin": "https://evil.example"}
        assert (await client.post("/mcp", json=INITIALIZE, headers=origin)).status_code == 403
        assert (await client.post("/mcp", content=b"x" * (5 << 20))).status_code == 413
        assert "server" not in (await client.get("/healthz")).headers


async def test_who_has_no_token_is_told_which_provider_gives_one_and_what_to_ask_it_for(team: Team) -> None:
    async with team.http() as client:
        refusal = await client.post("/mcp", json=INITIALIZE)
        at = "/.well-known/oauth-protected-resource/mcp"
        assert f'resource_metadata="https://omni.example.com{at}"' in refusal.headers["www-authenticate"]
        told = (await client.get(at)).json()
    assert told["resource"] == "https://omni.example.com/mcp"
    assert [url.rstrip("/") for url in told["authorization_servers"]] == [ISSUER]
    assert told["scopes_supported"] == ["tasks:read", "tasks:write"]


async def test_a_session_of_somebody_else_is_none(team: Team) -> None:
    async with team.http(token_of("alice")) as alice, team.http(token_of("bob")) as bob:
        session = (await alice.post("/mcp", json=INITIALIZE)).headers["mcp-session-id"]
        said = {"mcp-session-id": session, "mcp-protocol-version": "2025-11-25"}
        calls = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        assert (await alice.post("/mcp", json=calls, headers=said)).status_code == 200
        assert (await bob.post("/mcp", json=calls, headers=said)).status_code == 404
        assert (await bob.delete("/mcp", headers=said)).status_code == 404


def signed(**changes: Any) -> str:
    """Return what the identity provider signs for frida, or for others."""
    given: dict[str, Any] = {
        "subject": "frida",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "scopes": ["tasks:read", "tasks:write"],
    }
    return KEYS.create_token(**{**given, **changes})


async def test_a_signed_token_is_whose_subject_it_names_and_no_forged_one_is_anybodys(team: Team) -> None:
    async with team.bearing(signed()) as frida:
        task = await finished(frida, "of frida")
    async with team.bearing(signed()) as again:
        assert [each["task_id"] for each in (await call(again, "list_tasks"))["tasks"]] == [task["task_id"]]
    for name in ("local", "token:alice", "jwt:frida", "alice"):
        async with team.bearing(signed(subject=name, scopes=["tasks:read"])) as other:
            assert (await call(other, "list_tasks"))["tasks"] == []
            assert (await refused(other, "submit_task", description="x"))["code"] == "forbidden"
    head, body, signature = signed().split(".")
    none = "eyJhbGciOiJub25lIn0"
    forged = {
        "another key": RSAKeyPair.generate().create_token(subject="frida", issuer=ISSUER, audience=AUDIENCE),
        "another issuer": signed(issuer="https://evil.example"),
        "another audience": signed(audience="another service"),
        "over": signed(expires_in_seconds=-5),
        "no subject": signed(subject=""),
        "a subject that cannot be seen": signed(subject="fri\u202eda"),
        "no end": signed(additional_claims={"exp": None}),
        "not yet": signed(additional_claims={"nbf": int(time.time()) + 3600}),
        "no algorithm": f"{none}.{body}.",
        "no signature": f"{head}.{body}.",
        "another body": f"{head}.{body[:-2]}xx.{signature}",
    }
    async with team.http() as client:
        for why, token in forged.items():
            answer = await client.post("/mcp", json=INITIALIZE, headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == 401, why


async def test_no_token_is_in_what_it_writes(team: Team) -> None:
    async with team.client("alice") as alice:
        await finished(alice, "anything")
    for file in team.here.home.root.rglob("*"):
        if file.is_file() and file != team.here.home.dotenv:
            assert b"token-of" not in file.read_bytes(), file


async def test_a_token_that_is_taken_out_of_the_file_is_refused_at_once(team: Team) -> None:
    # the last one here: the executors of the settings before end with them
    async with team.http(token_of("leaver")) as leaver, team.http(token_of("bob")) as bob:
        assert (await leaver.post("/mcp", json=INITIALIZE)).status_code == 200
        team.here.configure(**settings_of(team.here, without="leaver"))
        assert (await leaver.post("/mcp", json=INITIALIZE)).status_code == 401
        team.here.home.servers.write_text("http: {tokens: {leaver: [")  # half saved
        assert (await leaver.post("/mcp", json=INITIALIZE)).status_code == 401
        assert (await bob.post("/mcp", json=INITIALIZE)).status_code == 200
        team.here.configure(**settings_of(team.here))
        assert (await leaver.post("/mcp", json=INITIALIZE)).status_code == 200


# where it does not start


WANTED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"tokens": {"alice": {"token": "${OMNI_TOKEN_ALICE}"}}}, "the variable OMNI_TOKEN_ALICE is not set"),
    ({"tokens": {"alice": {"token": "written-out-in-the-file"}}}, "is not a variable"),
    ({"tokens": {"alice": {"token": "${X:-written-out-as-default}"}}}, "is not a variable"),
    ({"tokens": {"alice": {"token": "${HOME}${HOME}${HOME}", "scopes": ["tasks:read"]}}}, "is not a variable"),
    ({"jwt": {"issuer": "i", "audience": "a"}}, "needs one of jwks_uri and public_key"),
    ({"jwt": {"issuer": "i", "audience": "a", "jwks_uri": "http://evil.example/keys"}}, "is not https://"),
    ({"tokes": {}}, "'tokes' is no key here"),
)
"""Files in which somebody has meant to ask for tokens."""


async def test_without_tokens_it_serves_nobody_beyond_this_machine_nor_where_they_are_wanted(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        code, said = await here.cli("serve", "--host", "0.0.0.0", "--port", str(free_port()))  # noqa: S104
        assert code == 1
        assert "refusing to listen on 0.0.0.0" in said
        assert "http.tokens or http.jwt" in " ".join(said.split())
        here.configure(http=WANTED[0][0])
        code, said = await here.cli("serve", "--port", str(free_port()))
        assert (code, WANTED[0][1] in " ".join(said.split())) == (1, True), said


@pytest.mark.parametrize(("http", "why"), WANTED)
def test_where_somebody_has_meant_to_ask_for_tokens_it_does_not_start_without(
    http: dict[str, Any], why: str, tmp_path: Path
) -> None:
    here = House(Home(tmp_path))
    here.configure(http=http)
    with pytest.raises(SettingsError, match=re.escape(why)) as refusal:
        serve_http(here.home, host="127.0.0.1", port=free_port())
    assert "written-out" not in refusal.value.message


# nothing is lost


async def test_whoever_submits_again_with_its_key_after_a_kill_has_one_task(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop(recovery="retry", parallel=8)})
        answered: dict[str, str] = {}
        async with here.served(limit=STARTS, forked=False) as served, anyio.create_task_group() as tasks:
            for client in range(CLIENTS):
                tasks.start_soon(submits, served.url, client, answered)
            await until(lambda: len(answered) > CLIENTS * KEYS_EACH // 3)
            served.process.send_signal(signal.SIGKILL)
        assert len(answered) < CLIENTS * KEYS_EACH
        async with here.served(limit=STARTS) as served, Client(served.url, timeout=STARTS) as client:
            keys = {f"{number}-{n}" for number in range(CLIENTS) for n in range(KEYS_EACH)}
            for key in keys:
                task = await call(client, "submit_task", description=key, type="echo", idempotency_key=key)
                assert answered.setdefault(key, task["task_id"]) == task["task_id"], key
            for task_id in answered.values():
                assert (await ended(client, task_id))["state"] == "completed"
            listed = (await call(client, "list_tasks", limit=200))["tasks"]
            assert sorted(task["description"] for task in listed) == sorted(keys)


CLIENTS, KEYS_EACH = 5, 20


async def submits(url: str, number: int, answered: dict[str, str]) -> None:
    """Submit with keys until the server dies."""
    with suppress(MCPError, RuntimeError, httpx2.HTTPError):
        async with Client(url, mode="legacy", timeout=STARTS) as client:
            for key in (f"{number}-{n}" for n in range(KEYS_EACH)):
                task = await call(client, "submit_task", description=key, type="echo", idempotency_key=key)
                answered[key] = task["task_id"]


# numbers for Prometheus


async def test_metrics_are_for_who_has_their_scope_and_the_official_parser_takes_them(team: Team) -> None:
    for name, status in (("reader", 403), ("poster", 403), ("meter", 200), ("boss", 200)):
        async with team.http(token_of(name)) as client:
            answer = await client.get("/metrics")
            assert answer.status_code == status, answer.text
    async with team.http() as client:
        assert (await client.get("/metrics")).status_code == 401
    async with team.http("forged-" + token_of("boss")) as client:
        assert (await client.get("/metrics")).status_code == 401
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    told = {sample.labels["state"]: sample.value for sample in families["omni_tasks_over"].samples}
    assert told["completed"] >= 1
    assert families["omni_engine_up"].samples[0].value == 1
    assert {"executor": "bench", "end": "completed"} in [each.labels for each in families["omni_attempts"].samples]
    assert "boss" not in answer.text
    assert str(team.here.home.root) not in answer.text  # the description of the task that warmed it up
    async with team.client("meter") as meter:
        assert await meter.list_tools() == []
        assert (await refused(meter, "list_tasks"))["code"] == "forbidden"
