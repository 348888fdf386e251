"""Links into the archive's viewer (OHIF, Weasis): a URL template with a study's UID filled in."""

from __future__ import annotations

import string
from pathlib import Path
from urllib.parse import quote, urlsplit

from braincase.errors import ParameterError, UsageError
from braincase.sources.archive_links import Link

#: Only these: any other scheme could run a script or open a file of the reader's machine.
SCHEMES = ("https", "http", "weasis")
PLACEHOLDERS = ("study", "accession")
EXAMPLE = "https://pacs.example/ohif/viewer?StudyInstanceUIDs={study}"


def check_template(template: str) -> None:
    """Refuse a URL template that could lead anywhere but to one study of one viewer.

    Raises
    ------
    ParameterError
        If its scheme, its place or its placeholders cannot be used.
    """
    try:
        parts = list(string.Formatter().parse(template))
        url = urlsplit(template)
        host, user = url.hostname or "", url.username
    except ValueError as error:
        raise ParameterError("viewer", f"no URL ({error})", EXAMPLE) from None
    names = [name for _, name, _, _ in parts if name is not None]
    unknown = [name for name in names if name not in PLACEHOLDERS]
    odd = [name for _, name, spec, conversion in parts if name is not None and (spec or conversion)]
    expected = " and ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    if url.scheme not in SCHEMES:
        raise ParameterError("viewer", f"scheme {url.scheme!r}", " or ".join(SCHEMES))
    if any(ord(letter) <= ord(" ") or ord(letter) == 0x7F for letter in template):
        raise ParameterError("viewer", "a space or control letter", "letters as in a URL: %20")
    if unknown or odd or not names:
        found = f"placeholder {{{(unknown + odd)[0]}}}" if unknown + odd else "no placeholder"
        raise ParameterError("viewer", found, expected)
    if url.scheme == "weasis":
        if "accession" in names:  # it would be a part of a command there
            raise ParameterError("viewer", "{accession} in a weasis link", "{study}")
    elif not host or user is not None or any(letter in url.netloc for letter in "{}"):
        raise ParameterError("viewer", f"host {url.netloc!r}", "the viewer's own name")


def viewer_url(template: str, link: Link) -> str:
    """Return the address of a study in the viewer; values are URL-encoded.

    Raises
    ------
    UsageError
        If the study's UID is none, or it has no accession number where the template wants one.
    """
    if not link.study or not set(link.study) <= set("0123456789."):
        raise UsageError("link file", "a study without a valid UID", "digits and dots")
    if "{accession}" in template and not link.accession:
        raise UsageError("link file", "a study without accession number", "one for the viewer")
    study, accession = quote(link.study, safe=""), quote(link.accession, safe="")
    return template.format(study=study, accession=accession)


def check_links(path: Path) -> None:
    """Refuse a link file that is not there, or that others on this machine may read.

    Raises
    ------
    UsageError
        If it cannot be used.
    """
    if not path.is_file():
        expected = "links.sqlite in the spool of `braincase pacs`, which made or pulled the studies"
        raise UsageError(path, "no link file", expected)
    if path.stat().st_mode & 0o077:
        found = "a link file that others on this machine may read"
        raise UsageError(path, found, "its owner only", f"chmod 600 {path}")
