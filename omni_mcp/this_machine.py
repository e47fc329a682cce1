"""What is on this machine: it is asked past any proxy of the environment, and only there may we listen unasked."""

import ipaddress
import socket
import time
from collections.abc import Mapping
from urllib.parse import urlsplit


def uptime() -> float:
    """Return seconds that nobody can set, and that go on while the machine sleeps, where its system counts those."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def is_loopback(host: str | None) -> bool:
    """Whether a host names this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def leads_here(url: str) -> bool:
    """Whether a URL names this machine."""
    try:
        return is_loopback(urlsplit(url).hostname)
    except ValueError:
        return False


def label(variables: Mapping[str, str]) -> str:
    """Return by which name tasks are placed on this machine: `OMNI_MACHINE`, else its host name."""
    return variables.get("OMNI_MACHINE") or socket.gethostname()
