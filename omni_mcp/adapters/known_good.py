"""LiteLLM's own file: what is wrong with it, the copy of it that has served, and the way back to that and from it.

A copy is taken only of a file with which a LiteLLM serves that was started after its last change. What is put in place
of a file replaces it whole or not at all; the file that it replaces stays beside it. All of it survives a kill at any
moment: what was begun is in the journal before it is done.
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

MOST_BYTES = 1 << 20
"""A file of LiteLLM has a few thousand bytes; a larger one is not read."""


_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """The file as it is now."""

    path: Path
    """Behind all links."""
    data: bytes | None = None
    flaw: str | None = None
    """Why LiteLLM cannot start with it."""
    fixed: str | None = None
    """Why nothing may be put in its place."""

    @property
    def tree(self) -> Mapping[str, Any]:
        """What stands in it, as far as it can be read."""
        with suppress(yaml.YAMLError, ValueError, RecursionError):
            tree: Any = yaml.safe_load(self.data or b"")
            return cast("Mapping[str, Any]", tree) if isinstance(tree, dict) else {}
        return {}


class Copy(BaseModel):
    """The known-good copy: whose it is, and where it lies."""

    model_config = ConfigDict(frozen=True)

    path: str
    digest: str
    at: datetime


class Journal(BaseModel):
    """What a repair has begun, for the one that goes on after a kill."""

    model_config = ConfigDict(frozen=True)

    starts: tuple[datetime, ...] = ()
    broken: str | None = None
    """Where the file is that the known-good copy stands in for; empty: there was none."""


def read(path: Path) -> File:
    """Read LiteLLM's file, whatever it is. Never raises OSError."""
    real = path.resolve()
    try:
        kind = real.stat()
        if not stat.S_ISREG(kind.st_mode):
            return File(path=real, flaw=f"{real} is no file", fixed="nothing is put in the place of what is no file")
        if kind.st_size > MOST_BYTES:
            said = f"{real} has {kind.st_size} bytes, and is not read"
            return File(path=real, flaw=said, fixed=f"only files up to {MOST_BYTES} bytes are kept")
        data = real.read_bytes()
    except FileNotFoundError:
        return File(path=real, flaw=f"{real} is not there", fixed=_fixed(real.parent))
    except OSError as error:
        return File(path=real, flaw=f"{real} cannot be read ({error.strerror})", fixed="it is not ours to write")
    read_only = None if kind.st_mode & stat.S_IWUSR else f"{real} is read-only"
    return File(path=real, data=data, flaw=flaw_of(data, str(real)), fixed=read_only or _fixed(real.parent))


def _fixed(folder: Path) -> str | None:
    """Say why nothing can be written into a folder."""
    if not folder.is_dir():
        return f"{folder} is no folder"
    return None if os.access(folder, os.W_OK) else f"{folder} is read-only"


def flaw_of(data: bytes, name: str) -> str | None:
    """Say why LiteLLM cannot start with this text, where that is certain before it has tried."""
    try:
        tree: Any = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark is not None else ""
        return f"{name}{where} cannot be read as YAML ({getattr(error, 'problem', None) or type(error).__name__})"
    if not tree:
        return f"{name} is empty"
    if not isinstance(tree, dict):
        return f"{name} is no mapping"
    return _lacking(cast("Mapping[str, Any]", tree).get("model_list"), name)


def _lacking(rows: Any, name: str) -> str | None:
    """Say which row of the models names no model: LiteLLM does not start over one."""
    if not isinstance(rows, list):
        return None
    for number, row in enumerate(cast("list[Any]", rows), 1):
        params: Any = cast("Mapping[str, Any]", row).get("litellm_params") if isinstance(row, dict) else None
        if not isinstance(params, dict) or "model" not in params:
            return f"{name}: row {number} of model_list has no litellm_params.model"
    return None


class Keeper:
    """Keeps the known-good copy and the journal in a folder of ours, and writes LiteLLM's file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._said = folder / "known-good.json"
        self._journal = folder / "journal.json"

    @property
    def log(self) -> Path:
        """What the newest start wrote."""
        return self._folder / "litellm.log"

    def journal(self) -> Journal:
        """Read the journal; one that cannot be read says nothing."""
        return _loaded(self._journal, Journal) or Journal()

    def write(self, journal: Journal) -> None:
        """Write the journal. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        put(self._journal, journal.model_dump_json().encode(), mode=0o600)

    def copy(self, file: File) -> tuple[Copy | None, str]:
        """Return the known-good copy that may take the place of a file, or why there is none."""
        if (known := self._known(file)) is None:
            return None, "there is no known-good copy of it"
        if file.fixed is not None:
            return None, f"the known-good copy cannot take its place: {file.fixed}"
        if file.data is not None and digest_of(file.data) == known.digest:
            return None, "it is the same with which LiteLLM has served"
        return known, ""

    def bytes_of(self, known: Copy) -> bytes | None:
        """Return the text of the copy, if it is what was kept."""
        with suppress(OSError):
            data = self._text(known.digest).read_bytes()
            return data if digest_of(data) == known.digest else None
        return None

    def is_kept(self, file: File) -> bool:
        """Whether the copy is the file as it is now."""
        known = self._known(file)
        return known is not None and file.data is not None and known.digest == digest_of(file.data)

    def _known(self, file: File) -> Copy | None:
        """Return our copy of a file, if it is what was kept."""
        known = _loaded(self._said, Copy)
        fits = known is not None and known.path == str(file.path) and self.bytes_of(known) is not None
        return known if fits else None

    def keep(self, file: File) -> None:
        """Take the copy; the caller has the proof that LiteLLM serves with this file. Raises OSError."""
        if file.data is None or file.flaw is not None:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = _loaded(self._said, Copy)
        known = Copy(path=str(file.path), digest=digest_of(file.data), at=datetime.now(UTC))
        put(self._text(known.digest), file.data, mode=0o600)
        put(self._said, known.model_dump_json().encode(), mode=0o600)
        if before is not None and before.digest != known.digest:
            self._text(before.digest).unlink(missing_ok=True)

    def restore(self, file: File, known: Copy) -> Path | None:
        """Put the copy in place of the file; returns where the broken one is kept, None if there was none.

        Raises OSError; then the file is as it was.
        """
        data = self.bytes_of(known)
        if data is None:
            raise FileNotFoundError(known.path)
        aside = None if file.data is None else _set_aside(file)
        self.write(self.journal().model_copy(update={"broken": str(aside or "")}))
        put(file.path, data, mode=_mode_of(file.path))
        return aside

    def roll_back(self, file: File) -> None:
        """Put the file back for which the copy stood in, unless somebody has written it since. Raises OSError."""
        broken = self.journal().broken
        if self.is_kept(file):
            if broken:
                put(file.path, Path(broken).read_bytes(), mode=_mode_of(file.path))
            else:
                file.path.unlink(missing_ok=True)
        self.settle()

    def settle(self) -> None:
        """Note that the file in place is the one that is meant. Raises OSError."""
        journal = self.journal()
        if journal.broken is not None:
            self.write(journal.model_copy(update={"broken": None}))

    def _text(self, digest: str) -> Path:
        return self._folder / f"known-good-{digest[:16]}.yaml"


def lately(starts: Sequence[datetime], now: datetime, seconds: float) -> tuple[datetime, ...]:
    """Return those of the last seconds; what lies ahead is of a clock that was set back, and counts."""
    return tuple(at for at in starts if (now - at).total_seconds() < seconds)


def digest_of(data: bytes) -> str:
    """Return what tells one text from another."""
    return hashlib.sha256(data).hexdigest()


def _set_aside(file: File) -> Path:
    """Keep a file beside itself, under the time of its last change: doing so twice makes one copy."""
    at = datetime.fromtimestamp(file.path.stat().st_mtime, UTC)
    aside = file.path.with_name(f"{file.path.name}.broken-{at:%Y%m%dT%H%M%S}")
    put(aside, file.data or b"", mode=_mode_of(file.path))
    return aside


def _mode_of(path: Path) -> int:
    with suppress(OSError):
        return stat.S_IMODE(path.stat().st_mode)
    return 0o600


def put(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file whole or not at all, with its owner. Raises OSError."""
    half = path.with_name(f".{path.name}.half")
    half.unlink(missing_ok=True)
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
        with suppress(OSError):
            os.chmod(half, mode)  # noqa: PTH101 - of what was just made
            before = path.stat()
            os.chown(half, before.st_uid, before.st_gid)
    half.replace(path)


def _loaded(path: Path, kind: type[_M]) -> _M | None:
    try:
        return kind.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None
