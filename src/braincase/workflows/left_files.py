"""Files that remain of people after their cases were erased: images, sidecars, pictures, tables."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from pathlib import Path

from braincase.gallery import StoredCase
from braincase.sources.listing import is_cohort


def files_left(
    cases: Iterable[StoredCase], gone: Container[str], saved: Path | None = None
) -> list[Path]:
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
    saved
        The gallery's own folder of saved cases, a cohort although earlier releases did not say so.
    """
    named: dict[Path, set[str]] = {}
    for case in cases:
        name = f"sub-{case.subject}" if case.subject in gone else case.scan_id
        if case.cohort is not None and re.fullmatch(r"sub-[A-Za-z0-9]+(_ses-[A-Za-z0-9]+)?", name):
            # Folder and files of a person who stays belong to their other visits as well.
            stays = case.subject not in gone and case.session is None
            of_it = f"{name}(?!_ses-)[_.]" if stays else f"{name}([_.]|$)"
            named.setdefault(case.cohort, set()).add(of_it)
    found: set[Path] = set()
    for folder, names in named.items():
        is_of = re.compile("|".join(sorted(names))).match
        for path in folder.rglob("*") if is_cohort(folder) or _is_saved(folder, saved) else ():
            parts = path.relative_to(folder).parts
            if path.is_file() and not path.is_symlink() and any(map(is_of, parts)):
                found.add(path)
    return sorted(found)


def _is_saved(folder: Path, saved: Path | None) -> bool:
    """Say whether a folder is the gallery's own one, which is no link to somewhere else."""
    return saved is not None and not saved.is_symlink() and folder.resolve() == saved.resolve()
