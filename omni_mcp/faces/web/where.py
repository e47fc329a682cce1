"""Where a home's page answers, and the link that lets a browser in. Proof that one is there is a lock, not a file."""

import html
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from omni_mcp.faces.web.door import ENTER
from omni_mcp.faces.web.keys import Keys
from omni_mcp.home import Home
from omni_mcp.ledger.owners import holder, try_hold

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked for, not listened on


def address(host: str, port: int) -> str:
    """Return where something that listens there is found on this machine."""
    here = _ANYWHERE.get(host, host)
    return f"http://{f'[{here}]' if ':' in here else here}:{port}"


@contextmanager
def announced(home: Home, at: str) -> Generator[None]:
    """Be where `omni-mcp dashboard` leads to until the end of the `with`; who is it already stays it. Blocks."""
    held = try_hold(home.page_lock)
    if held is None:
        yield
        return
    with held:
        home.page_at.write_text(at, encoding="utf-8")
        yield


def found(home: Home) -> str | None:
    """Return the address of the page that is up; None: none is. Blocks."""
    if holder(home.page_lock) is None:
        return None
    try:
        return home.page_at.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def new_link(home: Home, at: str) -> str:
    """Return a link that lets one browser in, once and soon; what is behind the # is sent to nobody. Blocks."""
    return f"{at}{ENTER}#{Keys(home.page_keys).link()}"


def link_file(home: Home, link: str) -> Path:
    """Write a file that leads to a link, and return it: a browser is started with its name, which anybody may see."""
    text = f'<!doctype html><meta http-equiv="refresh" content="0;url={html.escape(link)}">\n'
    file = home.page_link
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    return file
