"""Who a bearer token is, what it lets its bearer ask for, and how often."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp.server.auth.providers.jwt import RSAKeyPair
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from starlette.applications import Starlette

from omni_mcp.decide.pace import filled, taken
from omni_mcp.faces.auth import Bearers, discoverable
from omni_mcp.faces.caller import TOOLS, Bearer, needed
from omni_mcp.faces.mcp import TOOLS as OF_THE_FACE
from omni_mcp.faces.pace import KNOWN_MOST, Pace
from omni_mcp.file_check.problem import Problem
from omni_mcp.home import Home
from omni_mcp.servers_file.http import Http, JwtRow, TokenRow
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.settings import Settings

ALICE = "the-token-of-alice-and-nobody-else"
READS = ("tasks:read",)


@dataclass
class Live:
    """Settings that a test changes."""

    http: Http
    problems: list[Problem] = field(default_factory=list[Problem])

    def __post_init__(self) -> None:
        self.change(self.http)

    def change(self, http: Http, *problems: Problem) -> None:
        self.settings = Settings(home=Home(Path("/nowhere")), servers=ServersFile(http=http), problems=problems)

    def now(self) -> Settings:
        return self.settings


def a_row(token: str = ALICE, **more: Any) -> TokenRow:
    return TokenRow(token=SecretStr(token), **more)


@pytest.fixture
def keys_of() -> httpx2.AsyncClient:
    return httpx2.AsyncClient()


async def test_a_token_is_its_rows_and_holds_until_the_row_is_gone(keys_of: httpx2.AsyncClient) -> None:
    live = Live(Http(tokens={"alice": a_row(scopes=READS)}))
    bearers = Bearers(live.now, keys_of)
    found = await bearers.verify_token(ALICE)
    assert found is not None
    assert (found.client_id, found.scopes) == ("token:alice", ["tasks:read"])
    assert [await bearers.verify_token(other) for other in ("", ALICE[:-1], ALICE + " ", "token:alice", "\udcff")] == [
        None
    ] * 5
    broken = Problem(where="servers.yaml", what="cannot be read", fix="mend it", disables_all=True)
    live.change(Http(), broken)
    assert await bearers.verify_token(ALICE) is not None
    live.change(Http())
    assert await bearers.verify_token(ALICE) is None


async def test_no_token_is_in_what_is_shown_of_the_settings() -> None:
    live = Live(Http(tokens={"alice": a_row()}))
    assert ALICE not in repr(live.settings) + str(live.settings.servers.http)


@contextmanager
def an_issuer(keys: RSAKeyPair, kid: str) -> Generator[str]:
    """Publish a key as an identity provider does; gives its URL."""
    jwk = {**RSAKey.import_key(keys.public_key).as_dict(), "kid": kid, "alg": "RS256", "use": "sig"}

    class Handler(BaseHTTPRequestHandler):
        """Answers every request with the key."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": [jwk]}).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/keys"
        finally:
            server.shutdown()
            thread.join()


async def test_a_signed_token_is_checked_by_the_keys_that_its_issuer_publishes(keys_of: httpx2.AsyncClient) -> None:
    keys = RSAKeyPair.generate()
    with an_issuer(keys, "first") as url:
        live = Live(Http(jwt=JwtRow(issuer="i", audience="omni", jwks_uri=url)))
        bearers = Bearers(live.now, keys_of)

        def signed(by: RSAKeyPair = keys, **more: Any) -> str:
            given: dict[str, Any] = {
                "subject": "frida",
                "issuer": "i",
                "audience": "omni",
                "scopes": [*READS, "mail"],
                "kid": "first",
            }
            return by.create_token(**{**given, **more})

        found = await bearers.verify_token(signed())
        assert found is not None
        assert (found.client_id, found.scopes) == ("jwt:frida", ["tasks:read"])
        for forged in (signed(RSAKeyPair.generate()), signed(kid="other"), signed(audience="mail"), signed(subject="")):
            assert await bearers.verify_token(forged) is None
        live.change(Http())
        assert await bearers.verify_token(signed()) is None


def test_each_tool_of_the_face_needs_a_scope_and_one_that_nobody_has_thought_of_needs_admin() -> None:
    assert TOOLS.keys() == {function.__name__ for function, *_ in OF_THE_FACE}
    for function, annotations, _ in OF_THE_FACE:
        if annotations.read_only_hint:
            assert needed(function.__name__, {}) == "tasks:read"
    assert needed("system_mode", {"set": "auto"}) == "admin"
    assert needed("system_mode", {"set": None}) == "tasks:read"
    assert needed("a_tool_of_tomorrow", None) == "admin"
    assert Bearer(principal="p", scopes=frozenset({"admin"})).may("tasks:write")
    assert not Bearer(principal="p", scopes=frozenset({"tasks:write"})).may("tasks:read")


def test_a_bucket_empties_by_one_and_fills_with_time() -> None:
    bucket = filled(None, 0.0, per_second=2, burst=3)
    for _ in range(3):
        bucket, wait = taken(bucket, per_second=2)
        assert wait == 0
    bucket, wait = taken(bucket, per_second=2)
    assert (bucket.left, wait) == (0, 0.5)
    bucket, wait = taken(filled(bucket, 0.5, per_second=2, burst=3), per_second=2)
    assert wait == 0
    assert filled(bucket, 100.0, per_second=2, burst=3).left == 3
    assert filled(bucket, -100.0, per_second=2, burst=3).left == bucket.left


def test_who_is_quiet_is_forgotten_and_who_is_not_is_held_to_the_rate() -> None:
    told = [0.0]
    pace = Pace(lambda: told[0])
    for number in range(KNOWN_MOST):
        assert pace.wait(f"p{number}", per_second=1, burst=1) == 0
    assert pace.wait("p0", per_second=1, burst=1) == 1
    told[0] = 10.0
    assert pace.wait("late", per_second=1, burst=1) == 0
    assert pace.known == {"late"}


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"tokens": {"a": {"token": "x" * 16}, "b": {"token": "x" * 16}}}, "the same token"),
        ({"tokens": {"a": {"token": "short"}}}, "fewer than 16"),
        ({"tokens": {"a": {"token": "x" * 16, "scopes": ["root"]}}}, "tasks:read"),
        ({"tokens": {"a": {"token": "x" * 16, "scopes": []}}}, "at least 1"),
        ({"jwt": {"issuer": "i", "audience": "a", "public_key": "k", "jwks_uri": "https://i/keys"}}, "one of jwks_uri"),
        ({"jwt": {"issuer": "i", "audience": "a", "jwks_uri": "http://i.example/keys"}}, "https"),
        ({"jwt": {"issuer": "i", "audience": "a", "public_key": "k", "algorithm": "HS256"}}, "RS256"),
        ({"hosts": ["https://omni.example.com"]}, "no name of a host"),
        ({"origins": ["https://omni.example.com/page"]}, "no origin"),
        ({"rate": {"per_second": 0}}, "greater than 0"),
    ],
)
def test_what_cannot_be_in_the_section_is_refused(section: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Http.model_validate(section)


# where a token is to be had


AT = "http://127.0.0.1:8765"


@pytest.mark.parametrize(
    ("http", "resource"),
    [
        ({"hosts": ["*.example.com", "omni.example.com"]}, "https://omni.example.com/mcp"),
        ({"hosts": ["omni.example.com"], "url": "https://example.com:8443"}, "https://example.com:8443/mcp"),
        ({"hosts": ["*.example.com"]}, f"{AT}/mcp"),
        ({"jwt": {"issuer": "a name", "audience": "omni", "public_key": "k"}}, None),
        ({"jwt": None}, None),
    ],
)
async def test_clients_are_told_of_a_provider_that_they_can_ask(
    http: dict[str, Any], resource: str | None, keys_of: httpx2.AsyncClient
) -> None:
    jwt = {"issuer": "https://id.example.com", "audience": "omni", "public_key": "k"}
    row = Http.model_validate({"jwt": jwt} | http)
    routes = discoverable(Bearers(Live(row).now, keys_of), row, AT).get_routes("/mcp")
    transport = httpx2.ASGITransport(Starlette(routes=routes))
    async with httpx2.AsyncClient(transport=transport, base_url=AT) as client:
        told = await client.get("/.well-known/oauth-protected-resource/mcp")
    assert (told.json()["resource"] if told.status_code == 200 else None) == resource
