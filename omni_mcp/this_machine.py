"""What is on this machine: it is asked past any proxy of the environment, and only there may we listen unasked."""

import ipaddress
import os
import socket
from urllib.parse import urlsplit


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


def label() -> str:
    """Return what this machine is called among others: `OMNI_MACHINE`, else its host name."""
    return os.environ.get("OMNI_MACHINE") or socket.gethostname()
