"""An archive by DICOMweb: QIDO-RS and WADO-RS to pull, STOW-RS to send; basic or bearer login."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from braincase.errors import UsageError
from braincase.pacs.archive_query import SERIES_TAGS, STUDY_TAGS, Wanted
from braincase.pacs.sending import ANSWER_S, ArchiveError
from braincase.pacs.settings import Archive, is_this_machine

#: Environment variable with a login, instead of `archive.login`.
LOGIN = "BRAINCASE_DICOMWEB_LOGIN"
#: Studies asked for at once by QIDO-RS.
PAGE = 100


def authorization_of(archive: Archive) -> str:
    """Return the Authorization header of an archive's login; empty without one.

    Raises
    ------
    UsageError
        If the file cannot be read, others may read it, or it holds no login.
    """
    where, text = LOGIN, os.environ.get(LOGIN, "")
    if not text and archive.login is not None:
        where = str(archive.login)
        try:
            if archive.login.stat().st_mode & 0o077:
                found = "a login that others on this machine may read"
                raise UsageError(where, found, "its owner only", f"chmod 600 {where}")
            text = archive.login.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            found = f"cannot be read ({type(error).__name__})"
            raise UsageError(where, found, "a file with a login (docs/pacs.md)") from None
    kind, _, value = text.strip().partition(" ")
    if not text.strip():
        return ""
    if kind == "bearer" and value.isascii() and not value.split()[1:]:
        return f"Bearer {value.strip()}"
    if kind == "basic" and ":" in value:
        return f"Basic {base64.b64encode(value.strip().encode()).decode()}"
    raise UsageError(where, "another text", "basic USER:PASSWORD or bearer TOKEN, in one line")


class WebArchive:
    """An archive that is asked, and sent to, by DICOMweb.

    Parameters
    ----------
    archive
        Its root (`dicomweb`), login and certificates.

    Raises
    ------
    UsageError
        If its login cannot be used.
    """

    def __init__(self, archive: Archive) -> None:
        import requests
        from dicomweb_client.api import DICOMwebClient

        for name in ("dicomweb_client", "urllib3"):  # their logs name UIDs
            logging.getLogger(name).propagate = False
            logging.getLogger(name).addHandler(logging.NullHandler())
        header, root = authorization_of(archive), archive.dicomweb or ""
        if header and root.startswith("http://") and not is_this_machine(root):
            raise UsageError(root, "a login for http, which everybody on the way reads", "https")
        session = requests.Session()
        session.trust_env = False  # no proxy of the environment, no .netrc: to the archive alone
        session.verify = str(archive.ca) if archive.ca else True
        if archive.certificate is not None:
            session.cert = (str(archive.certificate), str(archive.key))
        if header:
            session.headers["Authorization"] = header
        self._client = DICOMwebClient(root, session=session, timeout=ANSWER_S)
        self._client.set_http_retry_params(retry=False)

    def _ask(self, call: Any, *args: Any, **options: Any) -> list[Any]:
        try:
            found = call(*args, **options)
        except Exception as error:  # requests' and the client's own: a message may name a patient
            raise _web_refusal(error) from None
        return [Dataset.from_json(one) for one in found]

    def studies(self, wanted: Wanted) -> list[Any]:
        """Return the studies that match."""
        found: dict[str, Any] = {}
        while True:  # page by page; the client's own loop never ends where offsets are ignored
            page = self._ask(
                self._client.search_for_studies, search_filters=wanted.filters(),
                fields=STUDY_TAGS, limit=PAGE, offset=len(found),
            )  # fmt: skip
            new = {str(one.StudyInstanceUID): one for one in page}
            if new.keys() <= found.keys():
                return list(found.values())
            found |= new

    def series(self, study: str) -> list[Any]:
        """Return a study's series with `SERIES_TAGS`."""
        return self._ask(self._client.search_for_series, study, fields=SERIES_TAGS)

    def instances(self, study: str, series: str) -> list[str]:
        """Return the UIDs of a series' instances."""
        found = self._ask(self._client.search_for_instances, study, series)
        return [str(one.SOPInstanceUID) for one in found]

    def get(self, study: str, series: str, instance: str = "") -> Iterator[Any]:
        """Yield the images of a series, or one of them."""
        kinds = (("application/dicom", "*"),)
        try:
            if instance:
                yield self._client.retrieve_instance(study, series, instance, kinds)
            else:
                yield from self._client.iter_series(study, series, kinds)
        except Exception as error:
            raise _web_refusal(error) from None

    def store(self, paths: Sequence[Path], sent: Callable[[Path], None]) -> None:
        """Send files by STOW-RS, and say of each that the archive has it.

        Raises
        ------
        ArchiveError
            If one cannot be sent; those before it are sent.
        """
        for path in paths:
            try:
                answer = self._client.store_instances([pydicom.dcmread(path)])
            except Exception as error:
                raise _web_refusal(error) from None
            if answer.get("FailedSOPSequence"):
                reason = int(answer.FailedSOPSequence[0].get("FailureReason") or 0)
                raise ArchiveError("DICOMweb archive", f"failure 0x{reason:04X}", "stored")
            sent(path)


def _web_refusal(error: Exception) -> ArchiveError:
    answer = getattr(error, "response", None)
    found = f"answered {answer.status_code}" if answer is not None else type(error).__name__
    advice = ""
    if answer is not None and answer.status_code in (401, 403):
        advice = f"Give a login: archive.login, or {LOGIN} (docs/pacs.md)."
    return ArchiveError("DICOMweb archive", found, "an answer as DICOM PS3.18 says", advice)
