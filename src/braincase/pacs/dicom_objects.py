"""DICOM objects of a result: derived UIDs, the patient and study they belong to, equipment.

Patient and study are copied element by element from the study's own image, character set included:
a result carries the very bytes that came in. What Braincase says beside them is ASCII unless the
study itself is in UTF-8.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from braincase.files import atomic_write
from braincase.sources.dicom_files import inflated
from braincase.version import __version__

MAKER = "Braincase"
#: Patient, General Study and Patient Study modules, as far as an image carries them.
COPIED = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "TypeOfPatientID", "PatientBirthDate"),
    *("PatientBirthTime", "PatientSex", "OtherPatientIDs", "OtherPatientIDsSequence"),
    *("OtherPatientNames", "EthnicGroup", "PatientComments", "PatientSpeciesDescription"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID"),
    *("AccessionNumber", "IssuerOfAccessionNumberSequence", "StudyDescription"),
    *("PatientAge", "PatientSize", "PatientWeight", "PregnancyStatus", "InstitutionName"),
)
#: Of these each object has at least an empty one (type 2).
NEEDED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("ReferringPhysicianName", "StudyID", "AccessionNumber"),
)


@dataclass(frozen=True, eq=False)
class Source:
    """The series that was searched with.

    Parameters
    ----------
    header
        Of its first image, without pixels.
    images
        SOP class, SOP instance UID and series UID of each of its images.
    key
        Of derived UIDs.
    """

    header: Any
    images: tuple[tuple[str, str, str], ...]
    key: bytes

    @property
    def study_uid(self) -> str:
        """The study's UID."""
        return str(self.header.StudyInstanceUID)

    def uid(self, *parts: object) -> str:
        """Return a UID derived from the study and what else makes an object what it is.

        The same parts give the same UID, so that what is sent again is the same object.
        """
        content = "\n".join([self.study_uid, *map(str, parts)]).encode(errors="backslashreplace")
        digest = hmac.digest(self.key, content, hashlib.sha256)
        return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"

    def words(self, text: str) -> str:
        """Return a text in letters that the study's character set has."""
        plain = " ".join(text.split())
        if str(self.header.get("SpecificCharacterSet") or "") == "ISO_IR 192":
            return plain
        plain = plain.replace("±", "+/-").replace("–", "-").replace("·", ",")
        return plain.encode("ascii", "replace").decode("ascii")


def read_source(paths: Sequence[Path], key: bytes) -> Source:
    """Read the headers of a series' files."""
    tags = ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"]
    images = []
    for path in paths:
        image = _read_header(path, tags)
        images.append(tuple(str(image.get(tag)) for tag in tags))
    header = _read_header(paths[0])
    return Source(header, tuple(images), key)  # type: ignore[arg-type]


def _read_header(path: Path, tags: list[str] | None = None) -> Any:
    with path.open("rb") as file:
        return pydicom.dcmread(
            inflated(file), stop_before_pixels=True, force=True, specific_tags=tags
        )


def belongs_to(target: Any, source: Source) -> None:
    """Make an object one of the source's patient and study, element by element."""
    for keyword in ("SpecificCharacterSet", *COPIED):
        if keyword in target:
            del target[keyword]
        if keyword in source.header:
            target[keyword] = source.header[keyword]
        elif keyword in NEEDED:
            setattr(target, keyword, "")


def describe(target: Any, source: Source, series: int, description: str, made: datetime) -> None:
    """Set series and equipment of an object."""
    belongs_to(target, source)
    target.SeriesNumber = series
    target.SeriesDescription = source.words(description)[:64]
    target.Manufacturer = target.ManufacturerModelName = MAKER
    target.SoftwareVersions = __version__
    target.DeviceSerialNumber = "0"
    target.SeriesDate = target.ContentDate = made.strftime("%Y%m%d")
    target.SeriesTime = target.ContentTime = made.strftime("%H%M%S")
    target.InstanceCreationDate, target.InstanceCreationTime = (
        target.ContentDate,
        target.ContentTime,
    )


def new_object(sop_class: str, uid: str, series_uid: str, number: int, modality: str) -> Any:
    """Return an empty object; `describe` gives it its place."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = Dataset()
    made.file_meta = meta
    made.SOPClassUID, made.SOPInstanceUID = sop_class, uid
    made.SeriesInstanceUID, made.Modality, made.InstanceNumber = series_uid, modality, number
    return made


def write_object(path: Path, content: Any) -> None:
    """Write an object as a DICOM file, whole and synced to the disk."""
    with atomic_write(path) as aside:
        pydicom.dcmwrite(aside, content, enforce_file_format=True)
