"""Asking an archive and getting series of it by DIMSE: C-FIND, and C-GET or C-MOVE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pynetdicom import build_context, build_role, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from braincase.pacs.moving import MR_CLASSES, MoveReceiver
from braincase.pacs.node import TRANSFER_SYNTAXES
from braincase.pacs.sending import ArchiveError, associate
from braincase.pacs.settings import Archive

SERIES_TAGS = ("Modality", "SeriesDescription", "SeriesNumber", "BodyPartExamined",
               "NumberOfSeriesRelatedInstances", "SeriesInstanceUID")  # fmt: skip
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
    """An archive that is asked by C-FIND, and gives by C-GET or, to a receiver, by C-MOVE.

    Parameters
    ----------
    archive
        Where it is.
    called_by
        The AE title of this node.
    receiver
        Takes what C-MOVE sends; None asks by C-GET.
    """

    def __init__(
        self, archive: Archive, called_by: str, receiver: MoveReceiver | None = None
    ) -> None:
        self._archive, self._called_by, self._receiver = archive, called_by, receiver

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
        yield from self._moved(query) if self._receiver else self._got(query)

    def _moved(self, query: Dataset) -> list[Any]:
        assert self._receiver is not None
        model, receiver = StudyRootQueryRetrieveInformationModelMove, self._receiver
        association = associate(self._archive, self._called_by, [build_context(model)])
        with closing(_Released(association)), receiver.expecting(query.SeriesInstanceUID) as taken:
            for status, _ in association.send_c_move(query, receiver.title, model):
                code = status.get("Status")
                if code not in (0xFF00, 0x0000):
                    raise _refusal(self._archive, "C-MOVE", code)
        return taken

    def _got(self, query: Dataset) -> list[Any]:
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
        return taken


class _Released:
    """An association that is released at the end of a block."""

    def __init__(self, association: Any) -> None:
        self._association = association

    def close(self) -> None:
        self._association.release()


def _refusal(archive: Archive, what: str, code: int | None) -> ArchiveError:
    found = f"{what} was not answered" if code is None else f"{what} was answered 0x{code:04X}"
    return ArchiveError(f"archive {archive.ae_title}", found, "0x0000")
