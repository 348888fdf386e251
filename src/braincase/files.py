"""Whole files only: write aside, then rename."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from braincase.errors import UsageError


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
    """Write a whole UTF-8 text file."""
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a whole JSON file, keys in the order given, two blanks of indentation."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


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
