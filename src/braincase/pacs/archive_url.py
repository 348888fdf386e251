"""Archives by URL (``dicomweb+https://``, ``dicom://AE@host:port``), and opening any archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from braincase.errors import UsageError
from braincase.pacs.archive_query import Asked, DimseArchive, Wanted
from braincase.pacs.dicomweb import WebArchive
from braincase.pacs.moving import MoveReceiver
from braincase.pacs.settings import Archive, NodeSettings, PacsSettings

SCHEMES = ("dicomweb+https", "dicomweb+http", "dicom")
#: What a URL may ask by; what names a patient would stand in every process list.
ASKED_BY = {
    "StudyDate": "date",
    "ModalitiesInStudy": "modality",
    "StudyDescription": "description",
    "BodyPartExamined": "body_part",
}
EXAMPLE = "dicomweb+https://host/dicom-web?StudyDate=20200101- or dicom://AE@host:104?StudyDate=..."


@dataclass(frozen=True)
class ArchiveSource:
    """An archive and what is wanted of it, as a URL says.

    Parameters
    ----------
    archive
        Where it is.
    wanted, body_part
        Which studies, and which series of them.
    """

    archive: Archive
    wanted: Wanted
    body_part: str = ""


def archive_of_url(text: str) -> ArchiveSource:
    """Read the URL of an archive.

    Raises
    ------
    UsageError
        If it is none, or asks by something else than `ASKED_BY`.
    """
    if text.partition("://")[0] not in SCHEMES:
        raise UsageError("source", "an address of another kind", EXAMPLE)
    try:
        url = urlsplit(text)
        host, port, asked = url.hostname or "", url.port, parse_qsl(url.query, strict_parsing=True)
    except ValueError as error:
        found = "no question" if not urlsplit(text).query else str(error)
        raise UsageError("source", found, EXAMPLE) from None
    names = [name for name, _ in asked]
    if unknown := [name for name in names if name not in ASKED_BY]:
        advice = "Ask for a patient, study or accession with `braincase pacs pull`."
        raise UsageError("source", f"{unknown[0]!r}", f"some of {', '.join(ASKED_BY)}", advice)
    values = {ASKED_BY[name]: value for name, value in asked}
    body_part = values.pop("body_part", "")
    if not host or not values:
        raise UsageError("source", "no host" if not host else "no question", EXAMPLE)
    if url.scheme == "dicom":
        if url.username is None or url.password is not None:
            raise UsageError("source", "no AE title, or a password", EXAMPLE)
        archive = Archive(unquote(url.username), host, port or 104)
    elif url.username is not None:
        advice = "Put it into archive.login or BRAINCASE_DICOMWEB_LOGIN (docs/pacs.md)."
        raise UsageError("source", "a login, which every process list shows", EXAMPLE, advice)
    else:
        root = url._replace(scheme=url.scheme.partition("+")[2], query="", fragment="").geturl()
        archive = Archive("DICOMWEB", host, dicomweb=root)
    return ArchiveSource(archive, Wanted(**values), body_part)


def settings_for_url(
    source: ArchiveSource, folder: Path, given: PacsSettings | None
) -> PacsSettings:
    """Return how an archive of a URL is asked: as a configuration says, else by the defaults.

    Parameters
    ----------
    source
        The archive.
    folder
        Gets the link file where there is no configuration.
    given
        A configuration: login, certificates, C-MOVE, pace, and the spool with the link file.
    """
    if given is None:
        return PacsSettings(NodeSettings(folder), source.archive)
    own, place = given.archive or source.archive, source.archive
    there = replace(
        own, ae_title=place.ae_title, host=place.host, port=place.port, dicomweb=place.dicomweb
    )
    return replace(given, archive=there)


@contextmanager
def asking(settings: PacsSettings) -> Iterator[Asked]:
    """Open the configured archive for a pull.

    Raises
    ------
    UsageError
        If there is none, or its login or the port of C-MOVE cannot be used.
    """
    archive = settings.archive
    if archive is None:
        raise UsageError("configuration", "no section [archive]", "one to pull from")
    title = settings.node.ae_title
    if archive.dicomweb:
        yield WebArchive(archive)
    elif archive.move:
        with closing(MoveReceiver(archive, settings.pull, settings.tls)) as receiver:
            yield DimseArchive(archive, title, receiver)
    else:
        yield DimseArchive(archive, title)
