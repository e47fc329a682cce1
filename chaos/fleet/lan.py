"""A network of namespaces: a bridge in one, a machine in each other. Nothing of it reaches the outside. Linux, root."""

import os
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

NETWORK = "10.77.0"
"""Private addresses (RFC 1918), and only inside the namespaces."""
HUB = f"{NETWORK}.1"
"""Where the servers of all machines listen."""


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace and its address."""

    namespace: str
    address: str
    port: str = ""
    """The end of its cable in the hub."""

    def argv(self, argv: Sequence[str]) -> Sequence[str]:
        """Return the command line that runs a program there."""
        return ["ip", "netns", "exec", self.namespace, *argv]


@dataclass(slots=True)
class Lan:
    """The hub and the machines that are plugged in."""

    hub: Place
    machines: dict[str, Place] = field(default_factory=dict[str, Place])

    def plug_in(self, name: str) -> Place:
        """Add a machine."""
        number = len(self.machines) + 2
        place = Place(f"{self.hub.namespace}-{name}", f"{NETWORK}.{number}", f"port{number}")
        _ip("netns", "add", place.namespace)
        self.machines[name] = place
        cable = ("link", "add", place.port, "netns", self.hub.namespace, "type", "veth")
        _ip(*cable, "peer", "name", "eth0", "netns", place.namespace)
        _ip("-n", self.hub.namespace, "link", "set", place.port, "master", "bridge", "up")
        _ip("-n", place.namespace, "addr", "add", f"{place.address}/24", "dev", "eth0")
        _ip("-n", place.namespace, "link", "set", "eth0", "up")
        _ip("-n", place.namespace, "link", "set", "lo", "up")
        return place

    def processes(self, name: str) -> Sequence[int]:
        """Return the pids of all that runs on a machine."""
        return [int(word) for word in _ip("netns", "pids", self.machines[name].namespace).split()]

    def cut(self, name: str) -> None:
        """Pull out the cable of a machine: what it sends is lost, and it is not told."""
        _ip("-n", self.hub.namespace, "link", "set", self.machines[name].port, "down")

    def mend(self, name: str) -> None:
        """Plug it in again."""
        _ip("-n", self.hub.namespace, "link", "set", self.machines[name].port, "up")


@contextmanager
def lan() -> Generator[Lan]:
    """Make a hub; at the end all namespaces are removed. Raises OSError or CalledProcessError where that may not be."""
    made = Lan(Place(f"omni-{os.getpid()}", HUB))
    hub = made.hub.namespace
    _ip("netns", "add", hub)
    try:
        _ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        _ip("-n", hub, "addr", "add", f"{HUB}/24", "dev", "bridge")
        _ip("-n", hub, "link", "set", "bridge", "up")
        _ip("-n", hub, "link", "set", "lo", "up")
        yield made
    finally:
        for place in (*made.machines.values(), made.hub):
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", place.namespace)


def _ip(*words: str) -> str:
    return subprocess.run(["/usr/bin/env", "ip", *words], check=True, capture_output=True, text=True, timeout=30).stdout
