"""Directory walk of a source: every file once, hidden ones and our own cohorts apart."""

from __future__ import annotations

import gzip
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from braincase.errors import ScanError
from braincase.images.header import read_header, suffix_of
from braincase.json_values import parse_json

#: Folders that computers make and people do not see.
SYSTEM_FOLDERS = {"__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
SYSTEM_FILES = {"Thumbs.db", "desktop.ini", "Icon\r"}
#: What stands in a file whose content was never fetched.
ANNEX, LFS = b"/annex/objects/", b"version https://git-lfs"
APPLE_DOUBLE = b"\x00\x05\x16\x07"
NOT_FETCHED = "its content is not fetched (git-annex): get it first (datalad get)"
NO_FILE = "a pipe, socket or device, no file"
COHORT = "a cohort that Braincase prepared, no source"


@dataclass(frozen=True)
class Listing:
    """All files below a folder.

    Parameters
    ----------
    folder
        Where.
    files
        The files that count, sorted; links that lead nowhere among them.
    hidden
        How many files are hidden or a system's own; what is in hidden folders counts by folder.
    cohorts
        Folders of prepared scans in it, which are not looked into.
    closed
        Folders that may not be read, and what is no file, with the reason.
    """

    folder: Path
    files: tuple[str, ...]
    hidden: int = 0
    cohorts: tuple[str, ...] = ()
    closed: tuple[tuple[str, str], ...] = ()

    def paths(self) -> Iterator[Path]:
        """Yield the files' paths."""
        return map(Path, self.files)


def list_source(folder: Path) -> Listing:
    """List a source's files; each folder is looked into once, however many links lead to it."""
    files: list[str] = []
    cohorts: list[str] = []
    closed: list[tuple[str, str]] = []
    hidden, seen = 0, {os.path.realpath(folder)}

    def refused(error: OSError) -> None:
        closed.append((str(error.filename), f"a folder that cannot be read ({error.strerror})"))

    for place, folders, names in os.walk(folder, followlinks=True, onerror=refused):
        if place != str(folder) and is_cohort(Path(place)):
            cohorts.append(place)
            folders[:] = []
            continue
        kept = []
        for name in sorted(folders):
            if is_hidden(name):
                hidden += 1
                continue
            path = os.path.join(place, name)
            if os.path.islink(path):
                real = os.path.realpath(path)
                if real in seen or os.path.realpath(folder).startswith(real + os.sep):
                    continue
                seen.add(real)
            kept.append(name)
        folders[:] = kept
        hidden += sum(is_hidden(name) for name in names)
        odd = {name for name in no_files(place) if not is_hidden(name)}
        closed += [(os.path.join(place, name), NO_FILE) for name in sorted(odd)]
        files += [os.path.join(place, n) for n in names if not is_hidden(n) and n not in odd]
    return Listing(folder, tuple(sorted(files)), hidden, tuple(sorted(cohorts)), tuple(closed))


def no_files(folder: str) -> Iterator[str]:
    """Yield the names of pipes, sockets and devices, which a reader would wait for, for ever."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:  # the system tells their kinds with their names
                if not entry.is_file() and not entry.is_dir() and os.path.exists(entry.path):
                    yield entry.name
    except OSError:  # told by the walk
        return


def is_hidden(name: str) -> bool:
    """Say whether a file or folder is hidden, or a system's own (._x, __MACOSX, @eaDir)."""
    return (
        name.startswith((".", "~$", "@", "#recycle", "#snapshot"))
        or name in SYSTEM_FOLDERS
        or name in SYSTEM_FILES
    )


def is_cohort(folder: Path) -> bool:
    """Say whether a folder is a cohort that Braincase prepared, not a source of raw scans."""
    path = folder / "dataset_description.json"
    if not path.is_file():
        return False
    try:
        description = parse_json(path.read_text(encoding="utf-8"))
        makers = [maker.get("Name") for maker in description.get("GeneratedBy", [])]
    except (OSError, ValueError, AttributeError, TypeError):
        return False
    return "braincase" in makers


def file_problem(path: Path) -> str:
    """Return why a file cannot be an image (not fetched, empty, a page of HTML), or nothing."""
    if path.is_dir():
        return ""
    if not path.exists():
        target = os.readlink(path) if path.is_symlink() else ""
        if "annex" in target:
            return NOT_FETCHED
        return "a link that leads nowhere: get its content first" if target else "it is gone"
    if not path.is_file():
        return NO_FILE
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    if not start:
        return "an empty file"
    if start.lstrip().startswith(ANNEX):
        return NOT_FETCHED
    if start.startswith(LFS):
        return "its content is not fetched (Git LFS): get it first (git lfs pull)"
    if start.startswith(APPLE_DOUBLE):
        return "a Mac's resource fork, no image"
    if start.lstrip()[:15].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a page of HTML or XML under an image's name: download it again"
    return ""


def damage(path: Path) -> str:
    """Return why an image file cannot be read, or nothing; a packed one is unpacked to its end."""
    if problem := file_problem(path):
        return problem
    if path.is_dir() or not suffix_of(path):
        return ""
    try:
        read_header(path)
        if path.name.lower().endswith(".gz"):
            with gzip.open(path) as file:
                while file.read(1 << 22):
                    pass
    except ScanError as error:
        return str(error).removeprefix(f"{error.where}: ")
    except (OSError, EOFError, zlib.error) as error:
        return f"a damaged file ({error})"
    return ""


def kinds(names: Counter[str]) -> str:
    """Return counts of file kinds in words: ``.json 12, .tsv 3``."""
    return ", ".join(f"{kind or 'without ending'} {n:,}" for kind, n in names.most_common())


def kind_of(name: str) -> str:
    """Return the ending of a file's name, ``.nii.gz`` whole."""
    base = os.path.basename(name).lower()
    return (
        ".gz".join(os.path.splitext(base[:-3])[1:]) + ".gz"
        if base.endswith(".gz")
        else (os.path.splitext(base)[1])
    )
