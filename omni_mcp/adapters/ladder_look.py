"""Looks at LiteLLM from outside: what its door says, whose processes hold its port, and which of them are its own.

A process is its own if it carries the mark of our start and is what was started, or holds the port and has a command
line that is LiteLLM with the configured file; and so are their children. Nothing else is proof: least of all an answer.
"""

import shlex
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import psutil

from omni_mcp.adapters.ladder_steps import Door
from omni_mcp.processes import marked, named
from omni_mcp.repair_setup import LadderSetup
from omni_mcp.this_machine import is_loopback, leads_here

START_MARK = "OMNI_LITELLM"
"""Environment variable of all that was started to bring LiteLLM back; its value is LiteLLM's URL."""

LIMIT = 3.0
"""Seconds that LiteLLM has to answer one question: slow is not broken."""
ALIVE = b"alive"
MOST_BYTES = 4 << 20
"""Of a list of models; who sends more is no LiteLLM."""
OK = 200


@dataclass(frozen=True, slots=True)
class Heard:
    """What the door said."""

    door: Door
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """Who is at LiteLLM's port, or on the way there."""

    own: Sequence[psutil.Process] = ()
    others: Sequence[str] = ()
    age: float = 0.0
    """Seconds since the newest of its own was started."""

    @property
    def said(self) -> str | None:
        """Its own, in words."""
        return ", ".join(map(named, self.own)) or None


async def listen(setup: LadderSetup) -> Heard:
    """Ask LiteLLM whether it lives and serves; whatever happens is an answer."""
    alive = await _asked(setup, "/health/liveliness", deep=False)
    if alive.door is not Door.WELL:
        return alive
    return await _asked(setup, "/v1/models", deep=True)


async def listen_well(setup: LadderSetup) -> Heard:
    """Ask a second time where it said nothing: a loaded one is late now and then."""
    heard = await listen(setup)
    return await listen(setup) if heard.door is Door.SILENT else heard


async def _asked(setup: LadderSetup, path: str, *, deep: bool) -> Heard:
    url = f"{setup.base_url}{path}"
    headers = {"authorization": f"Bearer {setup.key}"} if deep and setup.key else {}
    try:
        with anyio.fail_after(LIMIT):
            async with (
                httpx.AsyncClient(timeout=None, trust_env=not leads_here(url)) as client,  # noqa: S113 - the limit is around all
                client.stream("GET", url, headers=headers) as response,
            ):
                return _judged(response.status_code, await _beginning(response), deep=deep)
    except TimeoutError:
        return Heard(Door.SILENT, f"no answer in {LIMIT:g} s")
    except httpx.ConnectError as error:
        return Heard(Door.SHUT, f"no connection: {str(error)[:200] or type(error).__name__}")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Heard(Door.STRANGE, f"what answers there speaks no HTTP: {str(error)[:200] or type(error).__name__}")


async def _beginning(response: httpx.Response) -> bytes:
    """Return the body, or as much of it as may be one of LiteLLM's."""
    body = b""
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            break
    return body


def _judged(status: int, body: bytes, *, deep: bool) -> Heard:
    if not deep:
        if status == OK and ALIVE in body[:200].lower():
            return Heard(Door.WELL, "answers")
        return Heard(Door.STRANGE, f"what answers there is not LiteLLM (HTTP {status})")
    if status == OK and body.lstrip()[:1] == b"{" and b'"data"' in body:
        return Heard(Door.WELL, "answers")
    return Heard(Door.NO_MODELS, f"HTTP {status} for its list of models")


def look(setup: LadderSetup) -> Holders:
    """Return who is at the port. Blocks."""
    if setup.restart is not None or not leads_here(setup.base_url):
        return Holders()
    started = [process for process in marked(START_MARK, setup.base_url) if _is_start(process, setup)]
    at_port = [process for process in _listeners(setup.port) if is_own(process, setup)]
    own = _with_children([*started, *at_port])
    born = [at for process in own if (at := _born(process)) is not None]
    return Holders(own=own, others=_others(setup, own), age=max(0.0, time.time() - max(born, default=0.0)))


def is_own(process: psutil.Process, setup: LadderSetup) -> bool:
    """Whether a process that holds the port, or its parent, is proven to be the configured LiteLLM. Blocks."""
    with suppress(psutil.Error, OSError):
        return any(_is_start(each, setup) or _is_litellm(each, setup) for each in (process, *process.parents()[:2]))
    return False


def serves_since(setup: LadderSetup) -> float | None:
    """Return when the LiteLLM that holds the port was started, in seconds of the epoch, if it is proven. Blocks."""
    born = [_born(process) for process in _listeners(setup.port) if is_own(process, setup)]
    return min((at for at in born if at is not None), default=None)


def _is_start(process: psutil.Process, setup: LadderSetup) -> bool:
    """Whether it is what our command started: the shell with the command line, or LiteLLM itself."""
    with suppress(psutil.Error, OSError):
        if process.environ().get(START_MARK) != setup.base_url or process.status() == psutil.STATUS_ZOMBIE:
            return False
        words = process.cmdline()
        return words[-1:] == [setup.start] or says_litellm(words) or _same_program(words, setup.start or "")
    return False


def _is_litellm(process: psutil.Process, setup: LadderSetup) -> bool:
    """Whether its command line is LiteLLM with the configured file."""
    words = process.cmdline()
    if setup.config is None or not says_litellm(words):
        return False
    file = config_of(words)
    return file is not None and (Path(process.cwd()) / file).resolve() == setup.config.resolve()


def says_litellm(words: Sequence[str]) -> bool:
    """Whether a command line starts LiteLLM."""
    return any(Path(word).name == "litellm" for word in words[:3])


def _same_program(words: Sequence[str], line: str) -> bool:
    """Whether a process runs the words of the command line, whatever interpreter was put before them."""
    with suppress(ValueError):
        wanted = shlex.split(line)
        return bool(wanted) and list(words[-len(wanted) :]) == wanted
    return False


def config_of(words: Sequence[str]) -> str | None:
    """Return what stands behind `--config`."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("--config", "-c"):
            return following
        if word.startswith("--config="):
            return word.partition("=")[2]
    return None


def _with_children(processes: Iterable[psutil.Process]) -> Sequence[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for process in processes:
        found[process.pid] = process
        with suppress(psutil.Error):
            found |= {child.pid: child for child in process.children(recursive=True)}
    return list(found.values())


def _others(setup: LadderSetup, own: Sequence[psutil.Process]) -> Sequence[str]:
    pids = {process.pid for process in own}
    return [named(process) for process in _listeners(setup.port) if process.pid not in pids]


def _listeners(port: int) -> Sequence[psutil.Process]:
    """Return the processes that we can see listening on a port of this machine."""
    found: list[psutil.Process] = []
    for pid in sorted(_pids_at(port)):
        with suppress(psutil.Error):
            found.append(psutil.Process(pid))
    return found


def _pids_at(port: int) -> Iterable[int]:
    try:
        return {link.pid for link in psutil.net_connections("tcp") if link.pid and _listens(link, port)}
    except psutil.AccessDenied:  # macOS shows them only to root, and the own ones one by one
        return {process.pid for process in psutil.process_iter() if has_port(process, port)}


def has_port(process: psutil.Process, port: int) -> bool:
    """Whether a process listens on a port. Blocks."""
    with suppress(psutil.Error):
        return any(_listens(link, port) for link in process.net_connections("tcp"))
    return False


def _listens(link: Any, port: int) -> bool:
    if link.status != psutil.CONN_LISTEN or link.laddr.port != port:
        return False
    return is_loopback(link.laddr.ip) or link.laddr.ip in ("0.0.0.0", "::")  # noqa: S104 - looked for, not bound


def _born(process: psutil.Process) -> float | None:
    with suppress(psutil.Error):
        return process.create_time()
    return None
