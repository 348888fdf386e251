"""HTTP errors: every failure as a status code, a name for programs and a plain sentence."""

from __future__ import annotations

import re
from pathlib import Path

from braincase.errors import (
    AuditError,
    BraincaseError,
    FingerprintError,
    GalleryError,
    MissingLabelsError,
    NoControlsAlikeError,
    OtherImageError,
    ParameterError,
    ScanError,
    TooFewPeopleError,
    UnknownCaseError,
    UsageError,
)

#: What a reader calls the parameters of a search.
PARAMETERS = {
    "where": "The filter",
    "controls": "The filter of controls",
    "regions": "The region",
    "as_of": "The version",
}


class Problem(Exception):
    """An HTTP error: a request that cannot be carried out.

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


class NoRoleProblem(Problem):
    """The 403 of a person whom an OpenID provider has proven, and who may nothing here.

    `user` names them in the audit log.
    """

    def __init__(self, user: str, message: str) -> None:
        super().__init__(403, "sign_in_no_role", message)
        self.user = user


def not_found(what: str) -> Problem:
    """Return the 404 of something that is not here."""
    return Problem(404, "not_found", f"There is no {what}.")


def disk_problem(error: OSError) -> Problem:
    """Return the 507 of a file that could not be written, in one line without its path."""
    text = (
        f"The scan could not be stored ({error.strerror}); nothing of it was left behind."
        " Please tell whoever runs the service."
    )
    return Problem(507, "disk", text)


def problem_of(error: BraincaseError) -> Problem:
    """Map an error of the library to a status code; no path of this machine gets out."""
    if isinstance(error, ScanError):
        return Problem(422, "scan_refused", scan_message(error))
    if isinstance(error, FingerprintError):
        return Problem(409, "other_model", sentence(error, "The scan and the gallery"))
    if isinstance(error, TooFewPeopleError):
        text = f"This gallery is too small for such a search: {clean(error.found)}."
        return Problem(409, "too_few", text)
    if isinstance(error, GalleryError):
        return Problem(503, "gallery", sentence(error, "The gallery"), 5)
    if isinstance(error, AuditError):
        text = (
            "What was asked cannot be written into the audit log, so it was not done."
            " Please tell whoever runs the service."
        )
        return Problem(503, "audit", text, 60)
    if isinstance(error, UnknownCaseError):
        return Problem(404, "not_found", f"There is {error.found} in this gallery.")
    if isinstance(error, MissingLabelsError):
        text = "To rank by anatomy or abnormality, age and sex (F or M) of the query must be known."
        return Problem(400, "needs_age", text)
    if isinstance(error, NoControlsAlikeError):
        text = f"What is normal at that age and sex is not known here: expected {error.expected}."
        return Problem(404, "other_age", text)
    if isinstance(error, ParameterError):
        return Problem(400, "usage", sentence(error, PARAMETERS.get(error.where, error.where)))
    if isinstance(error, UsageError):
        return Problem(400, "usage", sentence(error, "The request"))
    return Problem(503, "unavailable", sentence(error, "The service"), 5)


def scan_message(error: ScanError) -> str:
    """Return what a radiologist is told about a scan that was refused."""
    if isinstance(error, OtherImageError):
        return f"This {clean(error.found)}. A T1-weighted MRI of a human head is needed."
    return sentence(error, "This scan")


def sentence(error: BraincaseError, subject: str) -> str:
    """Return an error as one sentence about a subject, without paths."""
    line = f"{subject}: {clean(error.found)}"
    if error.expected:
        line += f"; expected {clean(error.expected)}"
    # What only the command line can do is no advice to who sits at a browser.
    advice = " ".join(s for s in re.split(r"(?<=\.)\s+", error.advice) if " --" not in f" {s}")
    return " ".join(f"{line}. {clean(advice)}".split()).rstrip(". ") + "."


def clean(text: str) -> str:
    """Return a text without file system paths: they name machines, and sometimes people."""
    short = re.sub(r"(?<![\w:])(?:[A-Za-z]:)?(?:/[^\s/:;,'\")]+){2,}/?", "a file", text)
    return short.replace(str(Path.home()), "").strip()
