"""Files that remain of people after their cases were erased: images, sidecars, pictures, tables."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from pathlib import Path

from braincase.gallery import StoredCase
from braincase.sources.listing import is_cohort


def files_left(cases: Iterable[StoredCase], gone: Container[str]) -> list[Path]:
    """Return the files of erased cases in the cohorts that the cases came from.

    A gallery's folders are claims: only files whose name or folder is the scan's or the person's,
    inside a folder that is a cohort, are told. The cohort's tables and packed volumes have rows of
    them too, and are made anew when the cohort is next opened after the files are gone.

    Parameters
    ----------
    cases
        The cases that were erased.
    gone
        The people of whom no case is left: all files of theirs count, not those of a scan alone.
    """
    named: dict[Path, set[str]] = {}
    for case in cases:
        name = f"sub-{case.subject}" if case.subject in gone else case.scan_id
        if case.cohort is not None and re.fullmatch(r"sub-[A-Za-z0-9]+(_ses-[A-Za-z0-9]+)?", name):
            named.setdefault(case.cohort, set()).add(name)
    found: set[Path] = set()
    for folder, names in named.items():
        for path in folder.rglob("*") if is_cohort(folder) else ():
            parts = path.relative_to(folder).parts
            if path.is_file() and not path.is_symlink() and any(_is_of(p, names) for p in parts):
                found.add(path)
    return sorted(found)


def _is_of(part: str, names: Iterable[str]) -> bool:
    """Say whether a folder or file is called by one of these names: sub-01, but not sub-011."""
    return any(part == name or part.startswith((f"{name}_", f"{name}.")) for name in names)
