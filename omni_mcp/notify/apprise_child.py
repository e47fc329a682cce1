"""The process in which apprise runs: one notice comes in as JSON on stdin, the exit code is the answer."""

import json
import logging
import sys
from enum import IntEnum
from typing import Any

from omni_mcp.notify.base import PROGRAM


class Answer(IntEnum):
    """What became of it."""

    DONE = 0
    NOT_INSTALLED = 10
    UNKNOWN = 11
    """No such service, or it lacks what that needs."""
    REFUSED = 12


def answer(said: dict[str, str]) -> Answer:
    """Send a notice; without a body only find out whether its URL can be used."""
    logging.disable()  # what apprise says of a URL may cite it
    try:
        import apprise
    except ImportError:
        return Answer.NOT_INSTALLED
    tools: Any = apprise
    service = tools.Apprise.instantiate(said["url"], asset=tools.AppriseAsset(app_id=PROGRAM, app_desc=PROGRAM))
    if service is None:
        return Answer.UNKNOWN
    if "body" not in said:
        return Answer.DONE
    taken = service.notify(title=said["title"], body=said["body"], notify_type=said["kind"])
    return Answer.DONE if taken else Answer.REFUSED


if __name__ == "__main__":
    sys.exit(answer(json.load(sys.stdin)))
