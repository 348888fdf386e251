"""Temporary folders (mode 0700, held by a file lock), and the removal of those left by a kill.

What is written while a scan is read may name a patient. Whoever is killed cannot clean up, so each
folder holds a lock file that its process keeps locked as long as it lives; whoever makes the next
folder removes those that nobody holds any more. The lock works across containers and survives
process numbers that are used again.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "braincase-"
#: A folder on its way to its name; nothing of a scan is in it yet.
UNNAMED = ".braincase-new-"
LOCK = ".lock"
#: Folders of versions before the lock: named after a process, or conversions, which took minutes.
OLD_SERVICE = re.compile(r"braincase-web-(\d+)-")
OLD_CONVERSION = re.compile(r"braincase-[a-z0-9_]{8}")
OLD_S = 3600.0
#: The locks of this process's folders, open as long as they are in use.
_locks: dict[Path, int] = {}


def make_scratch(what: str) -> Path:
    """Return a new private folder in the temporary folder; remove those of dead processes.

    Parameters
    ----------
    what
        A word for its name.
    """
    remove_orphans()
    place = Path(tempfile.gettempdir())
    aside = Path(tempfile.mkdtemp(prefix=UNNAMED, dir=place))
    lock = os.open(aside / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with suppress(OSError):  # a file system without locks: then nobody else gets one either
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    folder = place / f"{PREFIX}{what}-{secrets.token_hex(8)}"
    aside.rename(folder)  # whoever sees the name sees the lock held
    _locks[folder] = lock
    return folder


def remove_scratch(folder: Path) -> None:
    """Remove a folder of `make_scratch` with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    if (lock := _locks.pop(folder, None)) is not None:
        os.close(lock)


@contextmanager
def scratch_folder(what: str) -> Iterator[Path]:
    """Yield a private folder that is gone afterwards."""
    folder = make_scratch(what)
    try:
        yield folder
    finally:
        remove_scratch(folder)


def use_temporary(folder: Path) -> None:
    """Put temporary files of this process, and of those that it starts, into a folder."""
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)


def remove_orphans() -> None:
    """Remove this user's folders whose process is gone; never those of one that lives."""
    place = Path(tempfile.gettempdir())
    for folder in [*place.glob(f"{PREFIX}*"), *place.glob(f"{UNNAMED}*")]:
        with suppress(OSError):  # another process removes it at the same time
            is_mine = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if is_mine and folder.is_dir():
                _remove_orphan(folder)


def _remove_orphan(folder: Path) -> None:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        if _is_old_orphan(folder):
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held by the living
        if folder.name.startswith(PREFIX) or _age_s(folder) > OLD_S:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _is_old_orphan(folder: Path) -> bool:
    """Judge a folder without a lock by its name, its age and what is in it."""
    if service := OLD_SERVICE.match(folder.name):
        return not _runs(int(service[1]))
    if folder.name.startswith(UNNAMED):
        return _age_s(folder) > OLD_S
    inside = {entry.name for entry in folder.iterdir()}
    is_conversion = bool(OLD_CONVERSION.fullmatch(folder.name)) and inside == {"in", "out"}
    return is_conversion and _age_s(folder) > OLD_S


def _age_s(folder: Path) -> float:
    return time.time() - folder.lstat().st_mtime


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, as somebody else
        return True
    return True
