"""The identity by which an OpenClaw gateway knows this home again: an Ed25519 key in a file of its owner's."""

import os
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from omni_mcp.errors import ExecutorUnusable


class Device:
    """Signs the challenge of a gateway."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @classmethod
    def kept_in(cls, path: Path) -> Self:
        """Return the identity of a file, which is made if it is not there. Blocks. Raises ExecutorUnusable."""
        try:
            if not path.exists():
                _make(path)
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise ExecutorUnusable(f"the device key {path} cannot be used: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ExecutorUnusable(f"{path} holds no Ed25519 key", next_step=f"remove {path}: a new one is made")
        return cls(key)

    @property
    def id(self) -> str:
        """What the gateway calls it."""
        return sha256(self._public).hexdigest()

    def sign(
        self, *, nonce: str, at: int, client: Mapping[str, str], role: str, scopes: Sequence[str], token: str
    ) -> Mapping[str, Any]:
        """Return the `device` of a connect request; `at` is the challenge's time, in milliseconds.

        The second form of the signed text: protocols 3 and 4 take it, the third form only newer gateways.
        """
        parts = ["v2", self.id, client["id"], client["mode"], role, ",".join(scopes), str(at), token, nonce]
        signature = self._key.sign("|".join(parts).encode())
        return {
            "id": self.id,
            "publicKey": _base64url(self._public),
            "signature": _base64url(signature),
            "signedAt": at,
            "nonce": nonce,
        }


def _make(path: Path) -> None:
    """Write a new key, whole or not at all; when two begin at once, the first one's stays."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
