"""What we stand on: Python, the packages, the environment, the encoding."""

import codecs
import locale
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from shlex import quote

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from omni_mcp import __version__
from omni_mcp.doctor.finding import Finding, Severity, ok
from omni_mcp.doctor.scene import Scene
from omni_mcp.doctor.shell import pip_install

PACKAGE = "omni-mcp"
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
LOOPBACK = "127.0.0.1"


def python(scene: Scene) -> Iterator[Finding]:
    """Say whether this Python is one that the package is made for."""
    del scene
    needed, here = metadata.metadata(PACKAGE)["Requires-Python"], platform.python_version()
    if needed and not SpecifierSet(needed).contains(here, prereleases=True):
        text = f"Python {here} is not {needed}, for which {PACKAGE} is made"
        fix = f'"${{PYTHON:?is a Python {needed}}}" -m pip install {PACKAGE}'
        yield Finding(
            code="python-old", severity=Severity.ERROR, text=text, fix=fix, needs="PYTHON to name another one"
        )
    else:
        yield ok("python", f"{PACKAGE} {__version__}, Python {here} ({sys.executable})")


def packages(scene: Scene) -> Iterator[Finding]:
    """Say whether each package that we need is there, in a release that we are made for."""
    del scene
    wanted = [Requirement(each) for each in metadata.requires(PACKAGE) or ()]
    needed = [each for each in wanted if each.marker is None or each.marker.evaluate()]
    wrong = list(misfits(needed, _installed))
    yield from wrong
    if not wrong:
        yield ok("packages", f"{len(needed)} packages are in the ranges that {PACKAGE} is made for")


def misfits(needed: Sequence[Requirement], installed: Callable[[str], str | None]) -> Iterator[Finding]:
    """Yield each package that is missing or out of its range."""
    for each in needed:
        version = installed(each.name)
        if version is None or not each.specifier.contains(version, prereleases=True):
            text = f"{each.name} is {version or 'not installed'}; {PACKAGE} is made for {each.specifier}"
            fix = pip_install(f"{each.name}{each.specifier}")
            yield Finding(code="package-range", severity=Severity.ERROR, text=text, about=each.name, fix=fix)


def _installed(name: str) -> str | None:
    """Return the version of a package, without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def environment(scene: Scene) -> Iterator[Finding]:
    """Yield variables that lead us astray."""
    if path := scene.variables.get("PYTHONPATH"):
        text = f"PYTHONPATH is set ({path}): its modules stand in for ours in faces and engine"
        yield Finding(code="pythonpath", severity=Severity.WARNING, text=text, fix="unset PYTHONPATH")
    home = scene.variables.get("OMNI_HOME")
    if home and not Path(home).expanduser().is_absolute():
        text = f"OMNI_HOME is relative ({home}): from every folder it is another home"
        fix = f"export OMNI_HOME={quote(str(scene.home.root))}"
        yield Finding(code="home-relative", severity=Severity.WARNING, text=text, fix=fix)


def proxies(scene: Scene) -> Iterator[Finding]:
    """Say whether a proxy would be asked for what is on this machine."""
    given = sorted(name for name in scene.variables if name.lower() in PROXIES and scene.variables[name])
    spared = scene.variables.get("no_proxy") or scene.variables.get("NO_PROXY") or ""
    if given and not {LOOPBACK, "*"} & {each.strip() for each in spared.split(",")}:
        text = (
            f"{', '.join(given)} would send calls to {LOOPBACK} to a proxy: gateways and servers here are not reached"
        )
        fix = f'export NO_PROXY="{LOOPBACK},localhost${{NO_PROXY:+,$NO_PROXY}}" && export no_proxy="$NO_PROXY"'
        yield Finding(code="proxy-loopback", severity=Severity.WARNING, text=text, fix=fix)


def encoding(scene: Scene) -> Iterator[Finding]:
    """Say whether texts in all languages can be printed and named."""
    del scene
    used = codecs.lookup(locale.getpreferredencoding(do_setlocale=False)).name
    if used == "utf-8" or os.name == "nt":
        yield ok("encoding", "texts are UTF-8")
    else:
        text = f"the locale's encoding is {used}: Chinese cannot be printed"
        yield Finding(code="locale", severity=Severity.WARNING, text=text, fix="export LC_ALL=C.UTF-8")
