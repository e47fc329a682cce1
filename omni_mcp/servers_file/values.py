"""The kinds of values that several sections take: folders, addresses, amounts, secrets."""

import re
from base64 import b64decode
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr


def _absolute(path: Path) -> Path:
    try:
        full = path.expanduser()
    except RuntimeError as error:
        raise ValueError("names a user that does not exist") from error
    if not full.is_absolute():
        raise ValueError("is not absolute: begin it with / or ~")
    return full


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z]\w{0,63}", name.replace("-", "_"), re.ASCII):
        raise ValueError("the name of a row is one word of letters, digits, _ and -, beginning with a letter")
    return name


def _web(url: str) -> str:
    if not url.startswith(("http://", "https://", "ws://", "wss://")):
        raise ValueError("begins with neither http:// or https:// nor ws:// or wss://")
    return reachable(url)


def http_url(url: str) -> str:
    """Return an HTTP URL without a slash at its end."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("begins with neither http:// nor https://")
    return reachable(url).rstrip("/")


def reachable(url: str) -> str:
    """Return a URL that names a host, and a port that there can be. What is refused is not cited: it may hold a key."""
    if not _has(url, "hostname"):
        raise ValueError("names no host")
    if not _has(url, "port"):
        raise ValueError("names a port that is no number from 1 to 65535")
    return url


def _has(url: str, part: Literal["hostname", "port"]) -> bool:
    """Whether a part of a URL can be read; a port may be left away."""
    try:
        found = getattr(urlsplit(url), part)
    except ValueError:
        return False
    return bool(found) or (part == "port" and found is None)


def signing(secret: SecretStr) -> SecretStr:
    """Return a secret as Standard Webhooks writes them.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
    """
    prefix, _, key = secret.get_secret_value().partition("whsec_")
    try:
        size = len(b64decode(key, validate=True))
    except ValueError:
        size = 0
    if prefix or not 24 <= size <= 64:
        raise ValueError(
            'is not whsec_ and 24 to 64 bytes in base64; one is made by: echo "whsec_$(openssl rand -base64 32)"'
        )
    return secret


def _hard(token: SecretStr) -> SecretStr:
    if len(token.get_secret_value()) < 16:
        raise ValueError("has fewer than 16 characters; one is made by: openssl rand -hex 24")
    return token


def _command(line: str) -> str:
    if not line.strip() or "\0" in line:
        raise ValueError("is no command: write one as you would type it into a shell")
    return line.strip()


Folder = Annotated[Path, AfterValidator(_absolute)]
File = Annotated[Path, AfterValidator(_absolute)]
Name = Annotated[str, AfterValidator(_plain)]
Url = Annotated[str, AfterValidator(_web)]
Web = Annotated[str, AfterValidator(http_url)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
MOST_USD = 1_000_000.0
"""USD; a budget above is a slip of the pen."""
Usd = Annotated[float, Field(gt=0, le=MOST_USD)]
SigningSecret = Annotated[SecretStr, AfterValidator(signing)]
HardToken = Annotated[SecretStr, AfterValidator(_hard)]
Command = Annotated[str, AfterValidator(_command)]
