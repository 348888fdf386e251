"""Asking an archive and getting series of it: by DIMSE (C-FIND, C-GET) or DICOMweb (QIDO, WADO)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import build_context, build_role, evt
from pynetdicom.sop_class import (
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from braincase.files import atomic_write
from braincase.pacs.node import TRANSFER_SYNTAXES
from braincase.pacs.sending import ArchiveError, associate
from braincase.pacs.settings import Archive

#: Classes of MR images; no other objects are asked for.
MR_CLASSES = (MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)
SERIES_TAGS = ("Modality", "SeriesDescription", "SeriesNumber", "BodyPartExamined",
               "NumberOfSeriesRelatedInstances", "SeriesInstanceUID")  # fmt: skip
#: Studies asked for at once by QIDO-RS.
PAGE = 100
STUDY_TAGS = ("StudyInstanceUID", "StudyDescription", "StudyDate", "ModalitiesInStudy")


@dataclass(frozen=True)
class Wanted:
    """Which studies: each field that is not empty must match.

    Parameters
    ----------
    study, accession, patient
        StudyInstanceUID, AccessionNumber, PatientID.
    date
        A day or a range, ``20200101-20241231``.
    modality
        Of at least one series of the study.
    description
        Of the study; ``*`` stands for any letters.
    """

    study: str = ""
    accession: str = ""
    patient: str = ""
    date: str = ""
    modality: str = "MR"
    description: str = ""

    def filters(self) -> dict[str, str]:
        """Return the DICOM attributes to match."""
        names = ("StudyInstanceUID", "AccessionNumber", "PatientID", "StudyDate",
                 "ModalitiesInStudy", "StudyDescription")  # fmt: skip
        values = [getattr(self, part.name) for part in fields(self)]
        return {name: value for name, value in zip(names, values, strict=True) if value}


class Asked(Protocol):
    """An archive that can be asked."""

    def studies(self, wanted: Wanted) -> list[Any]:
        """Return the studies that match."""
        ...

    def series(self, study: str) -> list[Any]:
        """Return a study's series with `SERIES_TAGS`."""
        ...

    def instances(self, study: str, series: str) -> list[str]:
        """Return the UIDs of a series' instances."""
        ...

    def get(self, study: str, series: str, instance: str = "") -> Iterator[Any]:
        """Yield the images of a series, or one of them."""
        ...


class DimseArchive:
    """An archive that is asked by C-FIND and C-GET.

    Parameters
    ----------
    archive
        Where it is.
    called_by
        The AE title of this node.
    """

    def __init__(self, archive: Archive, called_by: str) -> None:
        self._archive, self._called_by = archive, called_by

    def _find(self, level: str, match: Mapping[str, str], wish: tuple[str, ...]) -> list[Any]:
        query = Dataset()
        query.QueryRetrieveLevel = level
        query.SpecificCharacterSet = "ISO_IR 192"
        for name in wish:
            setattr(query, name, "" if name != "NumberOfSeriesRelatedInstances" else None)
        for name, value in match.items():
            setattr(query, name, value)
        model = StudyRootQueryRetrieveInformationModelFind
        association = associate(self._archive, self._called_by, [build_context(model)])
        with closing(_Released(association)):
            found = []
            for status, identifier in association.send_c_find(query, model):
                code = status.get("Status")
                if code in (0xFF00, 0xFF01):
                    found.append(identifier)
                elif code != 0x0000:
                    raise _refusal(self._archive, "C-FIND", code)
        return found

    def studies(self, wanted: Wanted) -> list[Any]:
        """Return the studies that match."""
        return self._find("STUDY", wanted.filters(), STUDY_TAGS)

    def series(self, study: str) -> list[Any]:
        """Return a study's series with `SERIES_TAGS`."""
        return self._find("SERIES", {"StudyInstanceUID": study}, SERIES_TAGS)

    def instances(self, study: str, series: str) -> list[str]:
        """Return the UIDs of a series' instances."""
        match = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        return [str(one.SOPInstanceUID) for one in self._find("IMAGE", match, ("SOPInstanceUID",))]

    def get(self, study: str, series: str, instance: str = "") -> Iterator[Any]:
        """Yield the images of a series, or one of them."""
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE" if instance else "SERIES"
        query.StudyInstanceUID, query.SeriesInstanceUID = study, series
        if instance:
            query.SOPInstanceUID = instance
        taken: list[Any] = []

        def on_store(event: Any) -> int:
            image = event.dataset
            image.file_meta = event.file_meta
            taken.append(image)
            return 0x0000

        model = StudyRootQueryRetrieveInformationModelGet
        contexts = [build_context(model)]
        contexts += [build_context(kind, list(TRANSFER_SYNTAXES)) for kind in MR_CLASSES]
        roles = [build_role(kind, scp_role=True) for kind in MR_CLASSES]
        association = associate(
            self._archive, self._called_by, contexts, [(evt.EVT_C_STORE, on_store)], roles
        )
        with closing(_Released(association)):
            for status, _ in association.send_c_get(query, model):
                code = status.get("Status")
                if code not in (0xFF00, 0x0000):
                    raise _refusal(self._archive, "C-GET", code)
        yield from taken


class _Released:
    """An association that is released at the end of a block."""

    def __init__(self, association: Any) -> None:
        self._association = association

    def close(self) -> None:
        self._association.release()


def _refusal(archive: Archive, what: str, code: int | None) -> ArchiveError:
    found = f"{what} was not answered" if code is None else f"{what} was answered 0x{code:04X}"
    return ArchiveError(f"archive {archive.ae_title}", found, "0x0000")


class WebArchive:
    """An archive that is asked by DICOMweb: QIDO-RS and WADO-RS.

    Parameters
    ----------
    url
        Its root, such as ``https://archive/dicom-web``.
    """

    def __init__(self, url: str) -> None:
        from dicomweb_client.api import DICOMwebClient

        self._client = DICOMwebClient(url)

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


def _web_refusal(error: Exception) -> ArchiveError:
    answer = getattr(error, "response", None)
    found = f"answered {answer.status_code}" if answer is not None else type(error).__name__
    return ArchiveError("DICOMweb archive", found, "an answer as DICOM PS3.18 says")


def write_image_file(path: Path, image: Any) -> None:
    """Write an image that came from an archive, whole."""
    with atomic_write(path) as aside:
        pydicom.dcmwrite(aside, image, enforce_file_format=True)
