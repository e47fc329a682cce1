"""Behaves like a LiteLLM proxy as far as a repair goes: reads its file at the start, dies of a bad one, or serves.

Tests copy it under the name `litellm`. What its file says decides: `stub: {dies: words}` ends it with these words,
`stub: {slow: seconds}` has it take its time.
"""

import argparse
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml


class Handler(BaseHTTPRequestHandler):
    """The two doors that are asked."""

    key = "sk-master"

    def do_GET(self) -> None:
        """Answer a probe."""
        good = self.headers.get("authorization") == f"Bearer {self.key}"
        pages: dict[str, tuple[int, Any]] = {
            "/health/liveliness": (200, "I'm alive!"),
            "/v1/models": (200, {"data": [], "object": "list"}) if good else (400, {"error": "no_db_connection"}),
        }
        status, page = pages.get(self.path, (404, {}))
        body = json.dumps(page).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library calls it
        """Say nothing."""


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    try:
        tree = yaml.safe_load(given.config.read_text())
    except FileNotFoundError:
        sys.exit("Exception: Config file not found")
    if not tree:
        sys.exit("Exception: Config cannot be None or Empty")
    stub: dict[str, Any] = tree.get("stub", {})
    if words := stub.get("dies"):
        sys.exit(words)
    time.sleep(stub.get("slow", 0))
    ThreadingHTTPServer(("127.0.0.1", given.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
