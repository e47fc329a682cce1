"""A line that the MCP client cannot read is dropped there, and its call would wait until its time is up. Pure.

Half a surrogate pair is replaced; anything else that names a call becomes an error of that call.
"""

import json
import re

from mcp.shared.message import SessionMessage
from mcp.types import PARSE_ERROR, ErrorData, JSONRPCError, JSONRPCMessage
from pydantic import TypeAdapter, ValidationError

END = 200
"""Characters at each end of a line in which its call is named."""
_MESSAGE: TypeAdapter[JSONRPCMessage] = TypeAdapter(JSONRPCMessage)
_ID = re.compile(r'"id"\s*:\s*(\d+)')


def mended(error: Exception) -> SessionMessage | Exception:
    """Return what a line can still be taken for; the error itself when it answers no call."""
    line = _line_of(error)
    return error if line is None else _without_surrogates(line) or _refusal(line, error) or error


def _line_of(error: Exception) -> str | None:
    if not isinstance(error, ValidationError):
        return None
    said = error.errors(include_url=False)[0]["input"]
    return said if isinstance(said, str) else None


def _without_surrogates(line: str) -> SessionMessage | None:
    if "\\u" not in line:
        return None
    try:
        whole = json.dumps(json.loads(line), ensure_ascii=False).encode(errors="replace")
        return SessionMessage(_MESSAGE.validate_json(whole, by_name=False))
    except (ValueError, RecursionError):
        return None


def _refusal(line: str, error: Exception) -> SessionMessage | None:
    """Return an error for the call that the line answers."""
    found = _ID.search(line[:END]) or _ID.search(line[-END:])
    if found is None or not ('"result"' in line or '"error"' in line):
        return None
    why = str(error).splitlines()[1].strip().split(" [type=")[0]
    said = ErrorData(code=PARSE_ERROR, message=f"an answer that cannot be read ({why})")
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=int(found[1]), error=said))
