"""`http`: who may call `omni-mcp serve`, and how much."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.values import HardToken, Name, http_url
from omni_mcp.this_machine import leads_here


def _keys(url: str) -> str:
    if not (url.startswith("https://") or leads_here(url)):
        raise ValueError("is not https://: whoever is in between could put keys of their own there")
    return http_url(url)


def _host(name: str) -> str:
    if not re.fullmatch(r"(\*\.)?[A-Za-z0-9.-]{1,253}|\[?[0-9A-Fa-f:]{2,39}\]?", name):
        raise ValueError("is no name of a host, such as omni.example.com: without http:// and without a port")
    return name


def _origin(url: str) -> str:
    if urlsplit(http_url(url)).path:
        raise ValueError("is no origin, such as https://tools.example.com: it ends with the host or the port")
    return url.rstrip("/")


KeysUrl = Annotated[str, AfterValidator(_keys)]
HostName = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(_origin)]
Scope = Literal["tasks:read", "tasks:write", "metrics:read", "admin"]
"""What a token lets its bearer do."""
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""https://www.rfc-editor.org/rfc/rfc7518#section-3.1, those of them with a key pair."""


class TokenRow(Row):
    """Who may call `omni-mcp serve` with which token; the name of the row is whose tasks they are."""

    token: HardToken
    """`${NAME}` of a variable, never the token itself; at least 16 characters."""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)] = ("tasks:read", "tasks:write")
    """What it lets its bearer do; `admin` includes the others, for the tasks of everybody."""


class JwtRow(Row):
    """Tokens that an identity provider signs (RFC 7519): `sub` says whose the tasks are, `scope` or `scp` what is let.

    One without `sub` or `exp` is refused.
    """

    issuer: Annotated[str, Field(min_length=1)]
    """The `iss` that a token has to have."""
    audience: Annotated[str, Field(min_length=1)]
    """The `aud` that a token has to have: one for another service is none for us."""
    jwks_uri: KeysUrl | None = None
    """Where the issuer publishes its keys: `https://`, or on this machine."""
    public_key: SecretStr | None = None
    """Its one key in PEM, instead of `jwks_uri`."""
    algorithm: Algorithm = "RS256"
    """How it signs; a secret that both sides know (HS256) is not offered: who can check such tokens can make them."""

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if (self.jwks_uri is None) == (self.public_key is None):
            raise ValueError("needs one of jwks_uri and public_key")
        return self


class Rate(Row):
    """How often each principal may ask; with tokens only."""

    per_second: Annotated[float, Field(gt=0, le=100_000)] = 20
    """Requests a second that it may make for long."""
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Requests that it may make at once after a pause."""


class Http(Row):
    """Who may call `omni-mcp serve`, and how much."""

    tokens: Mapping[Name, TokenRow] = Field(default_factory=dict[str, TokenRow])
    """Bearer tokens, by whose they are; without any, and without `jwt`, only loopback is served, and all are one."""
    jwt: JwtRow | None = None
    """Tokens of an identity provider, beside those or instead."""
    hosts: tuple[HostName, ...] = ()
    """Names by which clients reach it (the `Host` header), besides its addresses; `*.example.com` fits all below."""
    origins: tuple[Origin, ...] = ()
    """Web pages that may call it from a browser (the `Origin` header), besides its own."""
    url: Origin | None = None
    """Where clients of `jwt` reach it (RFC 9728), unless by `https://` and the first of `hosts`."""
    rate: Rate = Rate()
    """How often each principal may ask."""
    connections: Annotated[int, Field(ge=10, le=100_000)] = 2000
    """Requests under way at a time, streams among them; those above get 503, and when to come again."""

    @model_validator(mode="after")
    def _tells_apart(self) -> Self:
        known: dict[str, str] = {}
        for name, row in self.tokens.items():
            if (other := known.setdefault(row.token.get_secret_value(), name)) != name:
                raise ValueError(f"gives {other} and {name} the same token: nobody could say whose a task is")
        return self

    @property
    def guarded(self) -> bool:
        """Whether callers have to say who they are."""
        return bool(self.tokens) or self.jwt is not None

    @property
    def public_url(self) -> str | None:
        """Where clients reach it, as far as this says; TLS is the business of a proxy before us."""
        named = [f"https://{name}" for name in self.hosts if not name.startswith("*.")]
        return self.url or next(iter(named), None)
