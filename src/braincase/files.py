"""Atomic, durable, private file writing (write aside, sync, rename), JSON, and safe reading."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any, overload

from braincase.errors import BraincaseError, UsageError
from braincase.json_values import parse_json

#: Seconds after which an unfinished file of a process that does not run here is left over.
LEFT_OVER_S = 3600.0
#: The folders in which this process has looked for them.
_looked_into: set[Path] = set()


def did_you_mean(path: str | Path, otherwise: str = "Check the path.") -> str:
    """Return the advice for a path that is not there: the one most like it, or something else."""
    there, parts = Path(Path(path).anchor), Path(path).parts
    for part in parts[1:] if there.anchor else parts:
        name = part
        if not os.path.lexists(there / part):
            try:
                near = get_close_matches(part, os.listdir(there), 1, cutoff=0.6)
            except OSError:
                near = []
            if not near:
                return otherwise
            name = near[0]
        there /= name
    return f"Did you mean {there}?"


class PathField:
    """Field of a record that takes text or a path, and gives a path (a descriptor).

    Type checkers then allow both where the record is made, and see a `pathlib.Path` in it.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, record: None, owner: type) -> PathField: ...

    @overload
    def __get__(self, record: object, owner: type) -> Path: ...

    def __get__(self, record: object, owner: type) -> Path | PathField:
        if record is None:  # a dataclass asks for a default: there is none
            raise AttributeError(self._name)
        path: Path = vars(record)[self._name]
        return path

    def __set__(self, record: object, path: str | Path) -> None:
        vars(record)[self._name] = Path(path)


@contextmanager
def atomic_write(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it to `path` when the block ends well.

    The temporary name keeps all suffixes (``.nii.gz``), since writers choose the format by them. On
    any failure, Ctrl-C included, the temporary file is removed and `path` is as it was before.

    Parameters
    ----------
    path
        The file. A new one is its owner's alone (see `private_mode`), one that is there keeps its
        mode.
    durable
        Whether the file outlasts a power cut once the block has ended: its bytes are on the disk
        (fsync) before it gets its name, and the name after. False for what can be made again.
    """
    make_folder(path.parent, durable)
    _remove_left_over(path.parent)
    # Threads that write one path at once, each a whole file of its own: the last one stays.
    aside = path.with_name(f".writing-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        mode = create_file(aside, path)
        yield aside
        if stat.S_IMODE(aside.stat().st_mode) & ~mode:  # a writer that made a file of its own
            aside.chmod(mode)
        if durable:
            sync_to_disk(aside)
        os.replace(aside, path)
        if durable:
            sync_to_disk(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _remove_left_over(folder: Path) -> None:
    """Remove unfinished files of killed processes, once a folder and process.

    A process of that number may run on another machine that shares the disk: only old ones go.
    """
    if folder in _looked_into:
        return
    _looked_into.add(folder)
    for left in folder.glob(".writing-*"):
        process = left.name.split("-")[1]
        with suppress(OSError):  # another process removes it at the same time
            is_old = time.time() - left.stat().st_mtime > LEFT_OVER_S
            if process.isdecimal() and is_old and not _runs(int(process)):
                left.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it runs, as somebody else
        return True
    return True


def create_file(path: Path, like: Path | None = None) -> int:
    """Make an empty file with the mode of another that is there, or else a private one.

    Returns the mode.
    """
    try:
        mode = stat.S_IMODE((like or path).stat().st_mode) | 0o600
    except FileNotFoundError:
        mode = private_mode(path.parent) & 0o666
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(file, mode)
    finally:
        os.close(file)
    return mode


def private_mode(folder: Path) -> int:
    """Return the mode of a new folder inside another: patients' data are their owner's alone.

    A folder that is shared with its group on purpose, that is which has the set-group-ID bit
    (``chmod g+s``) or which its group and not everybody may write to, passes the group's rights on.
    """
    mode = folder.stat().st_mode
    writable = bool(mode & stat.S_IWGRP) and not mode & stat.S_IWOTH
    shared = bool(mode & stat.S_ISGID) or writable
    return 0o700 | (mode & 0o070 if shared else 0)


def make_folder(folder: Path, durable: bool = True) -> None:
    """Make a folder and those above it that are missing, each private (see `private_mode`)."""
    if folder.is_dir():
        return
    make_folder(folder.parent, durable)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if folder.is_dir():
            return  # another process was quicker
        reason = os.strerror(errno.ENOTDIR)
        raise NotADirectoryError(errno.ENOTDIR, reason, str(folder)) from None
    mode = private_mode(folder.parent)
    if mode != 0o700:  # chmod would take the set-group-ID bit away
        folder.chmod(mode | (folder.stat().st_mode & stat.S_ISGID))
    if durable:
        sync_to_disk(folder.parent)


def sync_to_disk(path: Path) -> None:
    """Have the system write a file's bytes, or a folder's names, to the disk (fsync)."""
    flags = os.O_RDONLY | os.O_CLOEXEC
    file = os.open(path, flags)
    try:
        os.fsync(file)
    except OSError as error:
        # A file system that cannot sync a folder says so by one of these; it has no names to lose.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF) or not path.is_dir():
            raise
    finally:
        os.close(file)


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """Write a whole UTF-8 text file; see `atomic_write`.

    The bytes of a file name that are no UTF-8 are written as ``\\udcXX``: in JSON they come back as
    they were.
    """
    with atomic_write(path, durable) as aside:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: object, durable: bool = True) -> None:
    """Write a whole JSON file, keys in the order given, two blanks of indentation."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n", durable)


def check_regular(path: Path) -> Path:
    """Return a path, unless a pipe, socket or device is there: reading one waits, maybe for ever.

    Raises
    ------
    OSError
        If it is one.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "a pipe, socket or device, no file", str(path))
    return path


def read_json(path: Path, error: type[BraincaseError], advice: str = "") -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Parameters
    ----------
    path
        The file.
    error
        What is raised if it is missing, unreadable or not an object.
    advice
        What to do then.
    """
    try:
        content = parse_json(check_regular(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(path, "the file is missing", "", advice) from None
    except (OSError, ValueError, RecursionError) as reason:
        raise error(path, f"cannot be read ({reason})", "JSON", advice) from None
    if not isinstance(content, dict):
        raise error(path, f"JSON of type {type(content).__name__}", "an object", advice)
    return content


def read_toml(path: Path, expected: str) -> dict[str, Any]:
    """Read a configuration file (TOML).

    Raises
    ------
    UsageError
        If it is missing, no regular file, or no TOML; `expected` says what was.
    """
    import tomllib  # most commands read none

    try:
        return tomllib.loads(check_regular(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # a year 0, nested too deep
        raise UsageError(path, f"cannot be read ({error})", expected) from None


def refuse_overwrite(path: Path, force: bool) -> None:
    """Stop before existing work is overwritten.

    Raises
    ------
    UsageError
        If `path` exists, is not an empty folder, and `force` is false.
    """
    taken = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    if taken and not force:
        raise UsageError(path, "exists already", "a new place", "Use `force` to write over it.")


def is_plain_relative(name: str) -> bool:
    """Return whether a name leads from a folder to something inside it: relative, no ``..``."""
    path = PurePosixPath(name)
    plain = name.isprintable() and bool(path.parts) and not path.is_absolute()
    return plain and ".." not in path.parts


def read_regular(path: Path | str, most: int, folder: int | None = None) -> bytes:
    """Read a regular file whole; a pipe or device is never opened for long, nor waited for.

    Parameters
    ----------
    path
        The file.
    most
        The most bytes it may have.
    folder
        Descriptor of an open folder that `path` is a name in; then it may be no symbolic link.

    Raises
    ------
    OSError
        If it cannot be opened.
    ValueError
        If it is no regular file, or has more bytes.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    flags |= 0 if folder is None else os.O_NOFOLLOW
    with open(os.open(path, flags, dir_fd=folder), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"more than {most} bytes")
    return content
