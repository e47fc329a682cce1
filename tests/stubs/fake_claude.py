"""Stands where `claude` stands and ends in ways in which the real one cannot be made to end: the prompt says how."""

import json
import sys
import time

INIT = {"type": "system", "subtype": "init", "session_id": "s", "model": "m"}
RESULT = {"type": "result", "subtype": "success", "is_error": False, "terminal_reason": "completed"}


def say(*events: object) -> None:
    """Print lines of the stream."""
    for event in events:
        sys.stdout.buffer.write(event if isinstance(event, bytes) else json.dumps(event).encode())
        sys.stdout.buffer.write(b"\n")
    sys.stdout.flush()


def main() -> int:
    """End as the prompt says; returns the exit code."""
    asked = sys.stdin.read()
    if "--resume" in sys.argv:
        say(INIT, {**RESULT, "result": "went on"})
        return 0
    match asked.split()[-1]:
        case "too_old":
            sys.stderr.write("error: unknown option '--setting-sources'\n")
            return 1
        case "in_use":
            sys.stderr.write("Error: Session ID 1 is already in use.\n")
            return 1
        case "not_utf8":
            say(INIT, b'{"type":"assistant","message":{"content":[{"type":"text","text":"\xff\xfe"}]}}', b"\xff\x00")
            say({**RESULT, "result": "all the same"})
            return 0
        case "without_result":
            say(INIT)
            return 0
        case "empty_result":
            say(INIT, {**RESULT, "result": ""})
            return 0
        case "storm":
            retry = {"type": "system", "subtype": "api_retry", "max_retries": 10, "retry_delay_ms": 500}
            say(INIT, *({**retry, "attempt": n, "error_status": 529, "error": "server_error"} for n in range(1, 11)))
            time.sleep(3600)
        case other:
            sys.stderr.write(f"no such end: {other}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
