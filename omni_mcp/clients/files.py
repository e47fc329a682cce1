"""Read and write the configuration of somebody else: whole, in one step, with its permissions, through links."""

import os
import stat
import tempfile
from pathlib import Path

from omni_mcp.errors import SettingsError


def read(path: Path) -> bytes | None:
    """Return what is in a file, None if it is not there. Raises SettingsError for what is no readable file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if path.is_symlink():
            raise SettingsError(
                f"{path} is a link to {path.readlink()}, which is not there",
                next_step=f"mend or remove the link: {path}",
            ) from None
        return None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}", next_step=f"mend or move {path}") from error


def decoded(path: Path, content: bytes) -> str:
    """Return the text of a file, line ends and byte order mark included."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 at byte {error.start}", next_step=f"save {path} as UTF-8") from error


def refuse_read_only(path: Path) -> None:
    """Refuse what its owner has locked: a replacement would not ask, and root may do all."""
    if path.exists() and not path.stat().st_mode & stat.S_IWUSR:
        raise SettingsError(f"{path} is read-only; it is as it was", next_step=f"chmod u+w '{path}', then again")


def write(path: Path, content: bytes, *, like: Path | None = None) -> None:
    """Replace a file in one step, made if need be; a link stays a link, and the permissions are those of `like`.

    Raises SettingsError, with the file as it was, if that may not or cannot be.
    """
    refuse_read_only(path)
    target = path.resolve()
    mode = _mode(like or target)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(target, content, mode)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror}; it is as it was", next_step=f"make it writable: {path.parent}"
        ) from error


def delete(path: Path) -> None:
    """Remove a file if it is there."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be removed: {error.strerror}", next_step=f"make it writable: {path.parent}"
        ) from error


def _mode(path: Path) -> int:
    """Return the permissions of a file; of one that is not there those that only let its owner in: it may hold keys."""
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600


def _replace(target: Path, content: bytes, mode: int) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fsync(file.fileno())
        new.chmod(mode)
        new.replace(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
