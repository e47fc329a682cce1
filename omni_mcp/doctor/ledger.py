"""The ledger: where it is, whose it is, whether it is whole, and what is around it. Read-only, whatever it finds."""

import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

import anyio

from omni_mcp.doctor.finding import Finding, Severity, note, ok
from omni_mcp.doctor.scene import Scene
from omni_mcp.doctor.settings_file import OTHERS
from omni_mcp.doctor.shell import ours, pip_install
from omni_mcp.errors import LedgerUnusable, OmniError
from omni_mcp.home import Home
from omni_mcp.ledger.gate import refuse_network
from omni_mcp.ledger.migrations import newest_version
from omni_mcp.ledger.opened import address, open_ledger

CHECK_LIMIT = 3.0
"""Seconds for the quick check of the file; a large one is checked as far as that goes."""
WAL_BYTES = 64 << 20
"""A log larger than this has not been taken into the file for long: SQLite does it at 4 MB."""
DISK_LOW = 1 << 30
"""Bytes of free disk below which a day of work may not fit."""
DISK_FULL = 50 << 20
"""Bytes of free disk below which a write may fail."""
WAL_RESET_BUG = ((3, 7, 0), (3, 51, 2))
"""SQLite releases, the first and the last, whose checkpoints may lose a commit of another process
(https://sqlite.org/wal.html#walresetbug)."""
_OPCODES = 100_000
"""Steps of SQLite between two looks at the clock."""


def folder(scene: Scene) -> Iterator[Finding]:
    """Say whether the home can hold a ledger, or can be made."""
    root, nearest = scene.home.root, scene.nearest
    if not nearest.is_dir():
        text = f"{nearest} is a file, so there can be no home at {root}"
        fix = f"mv {quote(str(nearest))} {quote(f'{nearest}.not-a-home')}"
        needs = "a decision: whether that file may move, or the home is meant elsewhere"
        yield Finding(code="home-is-a-file", severity=Severity.ERROR, text=text, fix=fix, needs=needs)
    elif not _may_write(nearest):
        yield _read_only(root, nearest)
    elif nearest == root and os.name == "posix" and root.stat().st_mode & OTHERS:
        yield _open_to_others(root)


def _open_to_others(root: Path) -> Finding:
    text = f"other users can look into {root}: logs and working folders"
    if not _is_ours(root):
        return note("home-open", f"{text}. It looks like no home of yours alone; OMNI_HOME names another")
    return note("home-open", text, fix=f"chmod 700 {quote(str(root))}", needs="a decision: nobody else gets in then")


def _is_ours(root: Path) -> bool:
    """Whether a folder is a home, and of the user who asks: `/tmp` is none, whatever lies in it."""
    there, home = root.stat(), Home(root)
    is_home = any(map(os.path.exists, (home.ledger, home.servers)))
    return is_home and there.st_uid == os.geteuid() and not there.st_mode & stat.S_ISVTX


def _read_only(root: Path, nearest: Path) -> Finding:
    text = f"{nearest} cannot be written, so no task can be accepted in the home {root}"
    if nearest == root:
        fix = f"chmod u+rwx {quote(str(root))}"
        return Finding(code="home-read-only", severity=Severity.ERROR, text=text, fix=fix, safe=True)
    fix = f'sudo mkdir -p {quote(str(root))} && sudo chown "$(id -u):$(id -g)" {quote(str(root))}'
    needs = "a decision: a folder of yours may be a better home"
    return Finding(code="home-read-only", severity=Severity.ERROR, text=text, fix=fix, needs=needs)


def owner(scene: Scene) -> Iterator[Finding]:
    """Say whether home and ledger belong to somebody else, as after a run as root."""
    paths = [path for path in (scene.home.root, *_files(scene)) if path.exists()]
    if os.name != "posix" or all(path.stat().st_uid == os.geteuid() for path in paths):
        return
    sudo = "" if os.geteuid() == 0 else "sudo "
    yield Finding(
        code="ledger-owner",
        severity=Severity.ERROR,
        text=f"the ledger in {scene.home.root} belongs to another user: one of you two cannot write it",
        fix=f'{sudo}chown -R "$(id -u):$(id -g)" {quote(str(scene.home.root))}',
        needs="a decision: whose home this is",
    )


def permissions(scene: Scene) -> Iterator[Finding]:
    """Say whether others may read the ledger, or we may not write it."""
    there = [path for path in _files(scene) if path.exists()]
    words = " ".join(quote(str(path)) for path in there)
    if any(not _may_write(path) for path in there):
        text = f"the ledger {scene.home.ledger} cannot be written: no task can be accepted"
        yield Finding(code="ledger-read-only", severity=Severity.ERROR, text=text, fix=f"chmod u+rw {words}", safe=True)
    if os.name == "posix" and any(path.stat().st_mode & OTHERS for path in there):
        text = f"other users can read the ledger {scene.home.ledger}: all tasks and results"
        yield Finding(code="ledger-open", severity=Severity.WARNING, text=text, fix=f"chmod go= {words}", safe=True)


def place(scene: Scene) -> Iterator[Finding]:
    """Say whether the file system can hold a ledger, and has room."""
    there = scene.nearest
    try:
        refuse_network(there)
    except LedgerUnusable as error:
        fix = f'cp -a {quote(str(scene.home.root))} "${{TO:?is a folder on a local disk}}" && export OMNI_HOME="$TO"'
        needs = "TO to name the new home"
        yield Finding(code="ledger-network", severity=Severity.ERROR, text=error.message, fix=fix, needs=needs)
    yield disk(shutil.disk_usage(there).free, scene.home.root)


def disk(free: int, root: Path) -> Finding:
    """Judge the free bytes of a disk."""
    told = f"{free / (1 << 30):.1f} GiB are free at {root}"
    if free >= DISK_LOW:
        return ok("disk", told)
    severity = Severity.ERROR if free < DISK_FULL else Severity.WARNING
    fix = f"du -ah {quote(str(root))} | sort -h | tail -n 20"
    needs = "a decision: what of these largest files can go, or go elsewhere"
    return Finding(code="disk-low", severity=severity, text=told, fix=fix, needs=needs)


def contents(scene: Scene) -> Iterator[Finding]:
    """Say whether the file is whole, and one that this release knows; or whether the server answers and can hold it."""
    file = scene.home.ledger
    try:
        if address(scene.home) is not None:
            yield ok("ledger", anyio.run(_on_server, scene.home))
            return
    except OmniError as error:
        text = f"{error.message}. {error.next_step}"
        yield Finding(code="ledger-server", severity=Severity.ERROR, text=text, needs="the server, or its address")
        return
    if not file.is_file():
        yield ok("ledger", f"there is none yet: the first task makes {file}")
        return
    try:
        yield from _opened(file, scene)
    except sqlite3.Error as error:
        yield _damaged(file, str(error), scene)


async def _on_server(home: Home) -> str:
    """Look at what is there. Raises LedgerError."""
    async with open_ledger(home) as ledger:
        count = sum((await ledger.counts()).values())
    return f"OMNI_LEDGER answers; {count} open tasks"


def _opened(file: Path, scene: Scene) -> Iterator[Finding]:
    with reading(file) as db:
        version = db.execute("pragma user_version").fetchone()[0]
        said = _integrity(db, deep=scene.deep)
    if version > newest_version():
        yield _too_new(version)
    if said is None:
        yield note("ledger-large", f"{file} could not be checked whole in {CHECK_LIMIT:g} s", fix=_deep(scene))
    elif said != "ok":
        yield _damaged(file, said, scene)
    else:
        yield ok("ledger", f"{file} is whole ({file.stat().st_size / (1 << 20):.1f} MiB, version {version})")


def _deep(scene: Scene) -> str:
    return ours(scene.home, "doctor", "--deep")


def _integrity(db: sqlite3.Connection, *, deep: bool) -> str | None:
    """Return what SQLite says of the file, `ok` if it is whole; None when the quick check takes too long."""
    if deep:
        return db.execute("pragma integrity_check(1)").fetchone()[0]
    ends_at = time.monotonic() + CHECK_LIMIT
    db.set_progress_handler(lambda: time.monotonic() > ends_at, _OPCODES)
    try:
        return db.execute("pragma quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "interrupt" not in str(error):
            raise
        return None


def _damaged(file: Path, why: str, scene: Scene) -> Finding:
    aside = f"{file}.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    moves = [
        f"mv {quote(f'{file}{end}')} {quote(f'{aside}{end}')}"
        for end in ("-wal", "-shm")
        if Path(f"{file}{end}").exists()
    ]
    return Finding(
        code="ledger-damaged",
        severity=Severity.ERROR,
        text=f"{file} is damaged ({why}). The command moves it aside, so that the next task begins a new one",
        fix=" && ".join([ours(scene.home, "engine", "stop"), f"mv {quote(str(file))} {quote(aside)}", *moves]),
        needs="a decision: its tasks are then in the file that was moved; a back-up may be better",
    )


def _too_new(version: int) -> Finding:
    text = f"the ledger has version {version}, this release knows {newest_version()}: it will not write there"
    fix = pip_install("--upgrade", "omni-mcp")
    return Finding(code="ledger-too-new", severity=Severity.ERROR, text=text, fix=fix)


def log(scene: Scene) -> Iterator[Finding]:
    """Say whether the write-ahead log has grown large: then nobody could take it into the file for long."""
    size = _size(Path(f"{scene.home.ledger}-wal"))
    if size > WAL_BYTES:
        text = f"the ledger's log holds {size >> 20} MiB that are not in its file: reads get slow, a restore takes both"
        fix = f"{ours(scene.home, 'engine', 'restart')} && {ours(scene.home, 'engine', 'stop')}"
        yield Finding(code="wal-large", severity=Severity.WARNING, text=text, fix=fix, safe=True)


def sqlite_release(scene: Scene) -> Iterator[Finding]:
    """Name the release of SQLite, and why its WAL-reset bug does not reach us."""
    first, last = WAL_RESET_BUG
    if first <= sqlite3.sqlite_version_info <= last:
        bug = "has the WAL-reset bug (3.7.0 to 3.51.2), which takes a commit and a checkpoint of two processes at once"
        text = (
            f"SQLite {sqlite3.sqlite_version} {bug}; our write gate lets one process write at a time, so it cannot be"
        )
        yield ok("sqlite", text)
    else:
        yield ok("sqlite", f"SQLite {sqlite3.sqlite_version}")


@contextmanager
def reading(file: Path) -> Generator[sqlite3.Connection]:
    """Open a ledger so that nothing of it changes, not even the files beside it."""
    quiet = "" if Path(f"{file}-wal").exists() else "&immutable=1"
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro{quiet}", uri=True)) as db:
        db.row_factory = sqlite3.Row
        yield db


def rows_of(scene: Scene, statement: str) -> list[sqlite3.Row]:
    """Return them; none where the ledger is of an older release or cannot be read, which another check tells."""
    if not scene.home.ledger.is_file():
        return []
    try:
        with reading(scene.home.ledger) as db:
            return db.execute(statement).fetchall()
    except sqlite3.Error:
        return []


def _files(scene: Scene) -> list[Path]:
    return [Path(f"{scene.home.ledger}{end}") for end in ("", "-wal", "-shm")]


def _may_write(path: Path) -> bool:
    """Whether its owner may write it: root may all, but what it does then is not what the owner wants."""
    return bool(path.stat().st_mode & stat.S_IWUSR) and os.access(path, os.W_OK)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
