"""What a client gives back with an answer, sealed by a key that outlives the process which asked."""

import logging
import os
import secrets
from pathlib import Path

from mcp.server.request_state import RequestStateSecurity

from omni_mcp.home import Home, make_private

logger = logging.getLogger(__name__)

KEY_BYTES = 32
ANSWER_LIMIT = 24 * 3600.0
"""Seconds that a user may take: a client asks again after that, and the question is still open."""


def kept_state(home: Home) -> RequestStateSecurity | None:
    """Return what seals by the home's key, which is made if it is not there; None: none can be kept. Blocks."""
    try:
        if not home.state_key.exists():
            _make(home.state_key)
        key = home.state_key.read_bytes()
    except OSError as error:
        logger.warning("no key for request states can be kept: %s", error, extra={"action": "state_key"})
        return None
    if len(key) < KEY_BYTES:
        logger.warning("%s is cut short: remove it to have another", home.state_key, extra={"action": "state_key"})
        return None
    return RequestStateSecurity(keys=[key], ttl=ANSWER_LIMIT)


def _make(path: Path) -> None:
    """Put a whole key there, unless another face was quicker. Raises OSError."""
    make_private(path.parent)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    try:
        draft.write_bytes(secrets.token_bytes(KEY_BYTES))
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
