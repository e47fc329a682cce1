"""The one advisory lock that each platform has: POSIX `flock`, Windows byte locks."""

import os
import sys

if sys.platform == "win32":
    import msvcrt

    _BYTE = 0x7FFF_0000

    def lock(fd: int, *, block: bool, shared: bool = False) -> bool:
        """Take the lock; False when somebody else has it and `block` is not set. Windows knows no shared locks."""
        del shared
        while True:
            os.lseek(fd, _BYTE, os.SEEK_SET)
            try:
                msvcrt.locking(fd, msvcrt.LK_LOCK if block else msvcrt.LK_NBLCK, 1)
            except OSError:
                if not block:
                    return False
            else:
                return True

    def unlock(fd: int) -> None:
        """Let go of the lock."""
        os.lseek(fd, _BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock(fd: int, *, block: bool, shared: bool = False) -> bool:
        """Take the lock, in the order of asking; False when somebody else has it and `block` is not set."""
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(fd, kind if block else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(fd: int) -> None:
        """Let go of the lock."""
        fcntl.flock(fd, fcntl.LOCK_UN)
