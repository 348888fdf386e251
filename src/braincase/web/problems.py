"""Every way a request can fail, as one record with a status that fits and a plain sentence."""

from __future__ import annotations

import re
from pathlib import Path

from braincase.errors import (
    BraincaseError,
    FingerprintError,
    GalleryError,
    ParameterError,
    ScanError,
    UnknownCaseError,
    UsageError,
)

#: What a reader calls the parameters of a search.
PARAMETERS = {"where": "The filter", "regions": "The region", "as_of": "The version"}


class Problem(Exception):
    """A request that cannot be carried out.

    Parameters
    ----------
    status
        The HTTP status.
    error
        A name for programs, such as ``not_found``.
    message
        One line for a radiologist.
    retry_s
        When to try again, or None.
    """

    def __init__(self, status: int, error: str, message: str, retry_s: int | None = None) -> None:
        super().__init__(status, error, message, retry_s)
        self.status, self.error, self.message, self.retry_s = status, error, message, retry_s


def not_found(what: str) -> Problem:
    """Return the problem of something that is not here."""
    return Problem(404, "not_found", f"There is no {what}.")


def problem_of(error: BraincaseError) -> Problem:
    """Turn an error of the library into a problem; no path of this machine gets out."""
    if isinstance(error, ScanError):
        return Problem(422, "scan_refused", scan_message(error))
    if isinstance(error, FingerprintError):
        return Problem(409, "other_model", told(error, "The scan and the gallery"))
    if isinstance(error, GalleryError):
        return Problem(503, "gallery", told(error, "The gallery"), 5)
    if isinstance(error, UnknownCaseError):
        return Problem(404, "not_found", f"There is {error.found} in this gallery.")
    if isinstance(error, ParameterError):
        return Problem(400, "usage", told(error, PARAMETERS.get(error.where, error.where)))
    if isinstance(error, UsageError):
        return Problem(400, "usage", told(error, "The request"))
    return Problem(503, "unavailable", told(error, "The service"), 5)


def scan_message(error: BraincaseError) -> str:
    """Return what to tell a radiologist about a scan that was refused."""
    found = clean(error.found)
    if found.startswith("looks like "):
        return f"This {found}. A T1-weighted MRI of a human head is needed."
    return told(error, "This scan")


def told(error: BraincaseError, subject: str) -> str:
    """Return an error as one sentence about a subject, without paths."""
    line = f"{subject}: {clean(error.found)}"
    if error.expected:
        line += f"; expected {clean(error.expected)}"
    return " ".join(f"{line}. {clean(error.advice)}".split()).rstrip(". ") + "."


def clean(text: str) -> str:
    """Return a text without file system paths: they name machines, and sometimes people."""
    short = re.sub(r"(?<![\w:])(?:[A-Za-z]:)?(?:/[^\s/:;,'\")]+){2,}/?", "a file", text)
    return short.replace(str(Path.home()), "").strip()
