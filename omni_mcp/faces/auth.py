"""Whose a bearer token is: one of servers.yaml, known by its hash, or one that an identity provider has signed."""

import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Any

import httpx2
from fastmcp.server.auth import AccessToken, AuthProvider, RemoteAuthProvider, TokenVerifier
from fastmcp.server.auth.providers.jwt import JWTVerifier
from pydantic import AnyHttpUrl, ValidationError

from omni_mcp.faces.caller import READ, WRITE, known
from omni_mcp.servers_file.http import Http, JwtRow, TokenRow
from omni_mcp.settings import Settings

BY_TOKEN, BY_JWT = "token:", "jwt:"
"""How the principals begin that a token of servers.yaml, or an identity provider, vouches for: none is `local`."""
LONGEST_SUBJECT = 200
SKEW = 60
"""Seconds that the clock of an identity provider may be ahead of ours."""


class Bearers(TokenVerifier):
    """Says whose a token is by the settings of now: one that is taken out of servers.yaml is refused at once.

    While the file cannot be read, those of before hold. `keys` fetches what identity providers publish; opening one
    reads the certificates of the system, so it is opened before there is an event loop.
    """

    def __init__(self, settings: Callable[[], Settings], keys: httpx2.AsyncClient) -> None:
        super().__init__()
        self._settings = settings
        self._keys = keys
        self._seen: Settings | None = None
        self._rows: Mapping[bytes, tuple[str, TokenRow]] = {}
        self._jwt_row: JwtRow | None = None
        self._jwt: JWTVerifier | None = None

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return the principal as `client_id`, with its scopes; None for a token that is nobody's."""
        self._read()
        digest = sha256(token.encode(errors="surrogatepass")).digest()
        found = [row for each, row in self._rows.items() if compare_digest(each, digest)]
        if found:
            name, row = found[0]
            return _access(token, BY_TOKEN + name, row.scopes)
        return None if self._jwt is None else _signed(token, await self._jwt.verify_token(token))

    def _read(self) -> None:
        """Take up the settings, if they have changed."""
        settings = self._settings()
        if settings is self._seen or settings.unreadable:
            return
        http = settings.servers.http
        self._seen = settings
        self._rows = {_digest(row): (name, row) for name, row in http.tokens.items()}
        if http.jwt != self._jwt_row:  # one that is the same keeps the keys that it has fetched
            self._jwt_row, self._jwt = http.jwt, None if http.jwt is None else _verifier(http.jwt, self._keys)


def discoverable(bearers: Bearers, http: Http, at: str) -> AuthProvider:
    """Have clients told where they get a token, where the provider of `http.jwt` is one that they can ask (RFC 9728).

    `at` is our own address, for a server that nobody reaches by another. Offered are the scopes of usual work, because
    clients ask for all of these: whoever wants `admin` asks the provider for it.
    """
    try:
        issuer = None if http.jwt is None else AnyHttpUrl(http.jwt.issuer)
    except ValidationError:  # a name that only tokens have to have
        issuer = None
    if issuer is None:
        return bearers
    return RemoteAuthProvider(
        bearers,
        authorization_servers=[issuer],
        base_url=http.public_url or at,
        scopes_supported=[READ, WRITE],
        resource_name="Omni-Orchestrator",
    )


def _digest(row: TokenRow) -> bytes:
    return sha256(row.token.get_secret_value().encode(errors="surrogatepass")).digest()


def _verifier(row: JwtRow, keys: httpx2.AsyncClient) -> JWTVerifier:
    return JWTVerifier(
        public_key=None if row.public_key is None else row.public_key.get_secret_value(),
        jwks_uri=row.jwks_uri,
        issuer=row.issuer,
        audience=row.audience,
        algorithm=row.algorithm,
        http_client=keys,
    )


def _signed(token: str, found: AccessToken | None) -> AccessToken | None:
    """Return whose a token is whose signature, issuer and audience are right; it has to name somebody, and to end."""
    if found is None or found.expires_at is None or not _names(found.subject) or _later(found.claims.get("nbf")):
        return None
    return _access(token, f"{BY_JWT}{found.subject}", found.scopes, expires_at=found.expires_at)


def _names(subject: Any) -> bool:
    """Whether a subject can be told from others by what people see of it."""
    return isinstance(subject, str) and 0 < len(subject) <= LONGEST_SUBJECT and subject.isprintable()


def _later(not_before: Any) -> bool:
    return not_before is not None and not (isinstance(not_before, int | float) and not_before <= time.time() + SKEW)


def _access(token: str, principal: str, scopes: Any, **more: Any) -> AccessToken:
    granted = sorted(known([scope for scope in scopes if isinstance(scope, str)]))
    return AccessToken(token=token, client_id=principal, subject=principal, scopes=granted, **more)
