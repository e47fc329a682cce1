"""A line that the MCP library cannot read is dropped there, and who waits for it would do so for ever. Pure.

An answer of an executor: half a surrogate pair is replaced, anything else that names a call becomes an error of that
call. A request of our client: it is refused by its number, with what is wrong with it.
"""

import json
import re

from mcp.shared.message import SessionMessage
from mcp.types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError, JSONRPCMessage
from pydantic import TypeAdapter, ValidationError

END = 200
"""Characters at each end of a line in which its call is named."""
_MESSAGE: TypeAdapter[JSONRPCMessage] = TypeAdapter(JSONRPCMessage)
_ID = re.compile(r'"id"\s*:\s*(?:(\d+)|"([^"\\]{1,100})")')


def mended(error: Exception) -> SessionMessage | Exception:
    """Return what an executor's line can still be taken for; the error itself when it answers no call."""
    line = _line_of(error)
    if line is None:
        return error
    answers = '"result"' in line or '"error"' in line
    return (
        _without_surrogates(line)
        or (_error(line, PARSE_ERROR, f"an answer that cannot be read ({_why(error)})") if answers else None)
        or error
    )


def refused(error: Exception) -> SessionMessage | None:
    """Return the answer to a client's line; None when it is no request, so that nobody waits.

    The codes are those of https://www.jsonrpc.org/specification#error_object: no JSON, or JSON that is no request.
    """
    line = _line_of(error)
    if line is None or '"method"' not in line:
        return None
    code = PARSE_ERROR if _whole(error) is None else INVALID_REQUEST
    return _error(line, code, f"a request that cannot be read ({_why(error)})")


def _line_of(error: Exception) -> str | None:
    """Return the line: as it came, or written anew where it was JSON and only no message."""
    if not isinstance(error, ValidationError):
        return None
    if (whole := _whole(error)) is not None:
        return json.dumps(whole)
    said = error.errors(include_url=False)[0]["input"]
    return said if isinstance(said, str) else None


def _whole(error: Exception) -> dict[str, object] | None:
    """Return the object of which no kind of message could be made: it misses what the others of them need."""
    flaws = error.errors(include_url=False) if isinstance(error, ValidationError) else []
    return next((flaw["input"] for flaw in flaws if flaw["type"] == "missing"), None)


def _without_surrogates(line: str) -> SessionMessage | None:
    if "\\u" not in line:
        return None
    try:
        whole = json.dumps(json.loads(line), ensure_ascii=False).encode(errors="replace")
        return SessionMessage(_MESSAGE.validate_json(whole, by_name=False))
    except (ValueError, RecursionError):
        return None


def _error(line: str, code: int, message: str) -> SessionMessage | None:
    """Return an error for the call that the line names."""
    call = _call_of(line)
    if call is None:
        return None
    said = ErrorData(code=code, message=message)
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=call, error=said))


def _why(error: Exception) -> str:
    """Return what is wrong, and with what of a message that could be one but for it."""
    if not isinstance(error, ValidationError):
        return str(error)
    flaw = error.errors(include_url=False)[0]
    return ": ".join([*map(str, flaw["loc"][1:]), flaw["msg"]])


def _call_of(line: str) -> int | str | None:
    """Return the number of a call; where the line is no JSON, what looks like one at its ends."""
    try:
        call = json.loads(line)["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = _ID.search(line[:END]) or _ID.search(line[-END:])
        return None if found is None else int(found[1]) if found[1] else found[2]
    number = isinstance(call, int) and not isinstance(call, bool)
    return call if number or (isinstance(call, str) and call.isascii()) else None
