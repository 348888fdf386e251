"""Names of cases as people type them: with or without ``sub-``, a person for a scan, misspelt."""

from __future__ import annotations

from difflib import get_close_matches

from braincase.errors import ParameterError, UnknownCaseError
from braincase.gallery import Gallery

#: Names that are suggested, or listed where a person has several scans.
MOST_NAMES = 5


def case_named(gallery: Gallery, name: str, as_of: int | None = None) -> str:
    """Return the scan_id of the case that a name stands for.

    Parameters
    ----------
    gallery
        Where the case is.
    name
        A scan_id, with or without ``sub-``; or a person who has one scan.
    as_of
        The version; a case that was there later counts too.

    Raises
    ------
    UnknownCaseError
        If there is none; tells the nearest names.
    ParameterError
        If it is a person with several scans.
    """
    for wanted in (name, f"sub-{name}"):
        for version in dict.fromkeys((as_of, None)):
            if gallery.find([wanted], version):
                return wanted
    scans = [case.scan_id for case in gallery.person(person_named(gallery, name), as_of)]
    if len(scans) == 1:
        return scans[0]
    if scans:
        shown = ", ".join(scans[:MOST_NAMES])
        more = ", ..." if len(scans) > MOST_NAMES else ""
        found = f"'{name}' has {len(scans)} scans: {shown}{more}"
        raise ParameterError("scan_id", found, "one of them")
    url = gallery.info().url
    raise UnknownCaseError("scan_id", f"no scan '{name}'", f"a scan of {url}", _near(gallery, name))


def person_named(gallery: Gallery, name: str) -> str:
    """Return a person as the gallery calls them, mostly without ``sub-``."""
    bare = name.removeprefix("sub-")
    return name if bare == name or gallery.person(name, ever=True) else bare


def _near(gallery: Gallery, name: str) -> str:
    """Return the names that were perhaps meant, and what a path would have to be."""
    path = "/" in name or "." in name
    known = [] if path else [case.scan_id for case in gallery.cases()]
    near = get_close_matches(name, known, MOST_NAMES, cutoff=0.7)
    near = near or get_close_matches(f"sub-{name}", known, MOST_NAMES, cutoff=0.7)
    if near:
        return f"Did you mean {' or '.join(near[:3])}?"
    if path:
        return "No file of that name is there either: check the path."
    return "List them with: braincase gallery list GALLERY"
