"""Atomic file writing (write aside, then rename), JSON files, and the guard against overwriting."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from braincase.errors import BraincaseError, UsageError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it to `path` when the block ends well.

    The temporary name keeps all suffixes (``.nii.gz``), since writers choose the format by them. On
    any failure, Ctrl-C included, the temporary file is removed and `path` is as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 text file.

    The bytes of a file name that are no UTF-8 are written as ``\\udcXX``: in JSON they come back as
    they were.
    """
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: object) -> None:
    """Write a whole JSON file, keys in the order given, two blanks of indentation."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


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
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(path, "the file is missing", "", advice) from None
    except (OSError, ValueError, RecursionError) as reason:
        raise error(path, f"cannot be read ({reason})", "JSON", advice) from None
    if not isinstance(content, dict):
        raise error(path, f"JSON of type {type(content).__name__}", "an object", advice)
    return content


def refuse_overwrite(path: Path, force: bool) -> None:
    """Stop before existing work is overwritten.

    Raises
    ------
    UsageError
        If `path` exists, is not an empty folder, and `force` is false.
    """
    taken = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    if taken and not force:
        raise UsageError(path, "exists already", "a new place", "Use --force to write over it.")
