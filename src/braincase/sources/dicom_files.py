"""DICOM headers (never pixels) of the files in a folder, a zip, a tar or a single file.

A zip is never unpacked by its own names: chosen members are copied to names of ours, so none can
land elsewhere, and no more is read of one than it declares, within fixed bounds. A tar, which can
only be read from its beginning, is unpacked into a private folder, within the same bounds.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, TypeAlias, cast

from braincase.errors import ScanError
from braincase.sources.listing import no_files
from braincase.sources.scratch import scratch_folder
from braincase.sources.tar_files import LOOKED_AT, TarBounds, is_tar, unpack_tar

#: How the names of archives end.
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz")
#: All a zip or a tar may hold; a study of one patient is far smaller.
MAX_ZIP_BYTES = 16 << 30
MAX_ZIP_FILES = 200_000
#: A folder that is named as one scan, such as in a row of a table, holds a study and no disk.
MAX_SCAN_FILES = 50_000
#: Scans shrink to a half or a fifth; what shrinks more than this was made to burst.
MAX_ZIP_RATIO, BURSTING_BYTES = 100, 1 << 30
#: The most that is read of a zip's member, or inflated, for a header; enhanced ones take megabytes.
MAX_HEADER_BYTES = 32 << 20
COPY_BYTES = 1 << 20
ZIP_MAGIC = b"PK\x03\x04"
#: What tells the series of a file.
MARK_TAGS = ("StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "PatientID")
#: And what tells the file itself.
SERIES_TAGS = (
    *MARK_TAGS,
    *("SOPClassUID", "SOPInstanceUID", "InstanceNumber", "AcquisitionNumber"),
)
#: What tells where a slice lies.
SLICE_TAGS = ("ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns", "PixelSpacing")
#: Who it is; the name is looked at only where the number is a placeholder, and only hashed.
PERSON_TAGS = (
    *("PatientName", "PatientSex", "PatientAge", "PatientBirthDate", "StudyID", "AccessionNumber"),
    *("StudyDate", "SeriesDate", "AcquisitionDate"),
)
#: What tells the kind of a series and the facts of a scan.
KIND_TAGS = (
    *("Modality", "ImageType", "SeriesDescription", "ProtocolName", "SequenceName"),
    *("PulseSequenceName", "ScanningSequence", "MRAcquisitionType", "RepetitionTime", "EchoTime"),
    *("InversionTime", "FlipAngle", "ContrastBolusAgent", "ContrastBolusVolume"),
    *("Manufacturer", "ManufacturerModelName", "MagneticFieldStrength"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
ALL_TAGS = (*SERIES_TAGS, *SLICE_TAGS, *PERSON_TAGS, *KIND_TAGS)


class DicomElement(Protocol):
    """One field of a DICOM header: its value representation (``SQ``, ``DS``, ...) and value."""

    VR: str
    value: object


class DicomHeader(Protocol):
    """What is used of a header as pydicom reads it: its fields by keyword, and all elements.

    pydicom's own classes have no types here. A value is a text, a number, several of them, or a
    sequence of further headers: whoever looks a field up judges its type.
    """

    def get(self, keyword: str, default: object = None, /) -> object:
        """Return a field's value, or the default where it is missing."""
        ...

    def __contains__(self, keyword: str, /) -> bool: ...

    def __iter__(self) -> Iterator[DicomElement]: ...

    def walk(self, callback: Callable[[DicomHeader, DicomElement], object], /) -> None:
        """Call a function for every element, of inner headers too."""
        ...


#: The headers of several files by the files' names.
Headers: TypeAlias = dict[str, DicomHeader]


@dataclass(frozen=True)
class Files:
    """The files in a folder, a zip or a tar, by name.

    Parameters
    ----------
    path
        The folder, the archive or the single file.
    names
        The files in it, sorted.
    archive
        The open zip, or None.
    unpacked
        Where the members of a tar lie, or None.
    """

    path: Path
    names: tuple[str, ...]
    archive: zipfile.ZipFile | None
    unpacked: Mapping[str, Path] | None = None

    @property
    def is_archive(self) -> bool:
        """Whether they are members of a zip or a tar."""
        return self.archive is not None or self.unpacked is not None

    def open(self, name: str) -> BinaryIO:
        """Open one file for reading."""
        if self.archive is not None:
            return cast(BinaryIO, self.archive.open(name))
        if self.unpacked is not None:
            return self.unpacked[name].open("rb")
        return (self.path / name).open("rb") if self.path.is_dir() else self.path.open("rb")

    def copy(self, name: str, target: Path) -> None:
        """Copy one file, at most as many bytes as a zip's directory declares."""
        left = self.archive.getinfo(name).file_size if self.archive else MAX_ZIP_BYTES
        try:
            with self.open(name) as source, target.open("wb") as copy:
                while left > 0 and (chunk := source.read(min(COPY_BYTES, left))):
                    copy.write(chunk)
                    left -= len(chunk)
        except OSError as error:  # of a full disk the system does not say which
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(error.errno, error.strerror, str(target)) from error


def archive_kind(path: Path) -> Literal["zip", "tar"] | None:
    """Return which archive a file is (a tar may be gzipped) by its first bytes; None if none."""
    start = _first_bytes(path, LOOKED_AT) if path.is_file() else b""
    if start.startswith(ZIP_MAGIC):
        return "zip"
    return "tar" if is_tar(start) else None


def is_dicom(path: Path) -> bool:
    """Say whether a file is DICOM by its first bytes."""
    return path.is_file() and _looks_like_dicom(_first_bytes(path, 132), path.name)


@contextmanager
def open_files(path: Path, names: Sequence[str] = (), most: int | None = None) -> Iterator[Files]:
    """Open a folder (with all folders in it), a zip, a tar or one file.

    Parameters
    ----------
    path
        The folder, archive or file.
    names
        The files wanted of a folder, where they are known: it is then not listed again.
    most
        How many files a folder may hold; None for any number.

    Raises
    ------
    ScanError
        If a folder holds as many, or an archive is damaged, encrypted or holds too much.
    """
    if path.is_dir():
        listed = tuple(names) or tuple(sorted(islice(names_under(path), most)))
        if most is not None and len(listed) >= most:
            found = f"a folder of {most:,} files or more"
            raise ScanError(path, found, "one study", "Name the folder of the scan itself.")
        yield Files(path, listed, None)
    elif (kind := archive_kind(path)) is None:
        yield Files(path, (path.name,), None)
    elif kind == "tar":
        bounds = TarBounds(MAX_ZIP_FILES, MAX_ZIP_BYTES, MAX_ZIP_RATIO, BURSTING_BYTES)
        with scratch_folder("tar") as folder:
            members = unpack_tar(path, folder, bounds)
            yield Files(path, tuple(sorted(members)), None, members)
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                yield Files(path, _checked_members(path, archive), archive)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            advice = "Copy it again, or unpack it and name the folder."
            raise ScanError(path, f"a damaged zip ({error})", "", advice) from error


def read_headers(
    files: Files, tags: Sequence[str] = ALL_TAGS
) -> tuple[Headers, list[tuple[str, str]]]:
    """Return the DICOM header of each file by name, and the damaged files with the reason.

    Files that are no DICOM at all are passed over.
    """
    headers: Headers = {}
    damaged: list[tuple[str, str]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's remarks on values that we judge ourselves
        for name in files.names:
            try:
                header = _header(files, name, tags)
                if header is not None:
                    _decode(header)
                    headers[name] = header
            # Damaged DICOM raises whatever its bytes lead pydicom to; one bad file is skipped.
            except Exception as error:
                damaged.append((name, f"a damaged DICOM file ({type(error).__name__})"))
    return headers, damaged


def without_copies(headers: Headers) -> Headers:
    """Leave out files that are another file's copy: one identifier, number, place and acquisition.

    The identifier alone does not tell: there are anonymisers that write one into all files.
    """
    tags = (*SERIES_TAGS, "ImagePositionPatient")
    first: dict[tuple[str, ...], str] = {}
    for name, header in headers.items():
        uid = header.get("SOPInstanceUID")
        first.setdefault(tuple(str(header.get(tag)) for tag in tags) if uid else (name,), name)
    return {name: headers[name] for name in first.values()}


def pixel_hash(files: Files, name: str) -> str:
    """Return a hash of a file's pixels as they are stored, or of its name where it has none."""
    import pydicom  # here and below: a search with a NIfTI file does without

    with files.open(name) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = io.BytesIO(file.read(MAX_HEADER_BYTES))
        try:
            pixels = pydicom.dcmread(
                inflated(content), force=True, specific_tags=["PixelData"]
            ).PixelData
        except Exception:  # damaged: as below, each is another
            pixels = name.encode(errors="surrogateescape")
    return hashlib.sha256(pixels).hexdigest()


def _header(files: Files, name: str, tags: Sequence[str]) -> DicomHeader | None:
    import pydicom

    with files.open(name) as file:
        start = file.read(132)
        if not _looks_like_dicom(start, name):
            return None
        rest = io.BytesIO(start + file.read(MAX_HEADER_BYTES)) if files.is_archive else file
        rest.seek(0)
        header: DicomHeader = pydicom.dcmread(
            inflated(rest), stop_before_pixels=True, force=True, specific_tags=[*tags]
        )
    return header if "SOPClassUID" in header else None


def inflated(file: BinaryIO, most: int = 0) -> BinaryIO:
    """Return a file for pydicom to read: as it is, or the start of its data set if it is deflated.

    pydicom itself would inflate a data set without a bound.

    Parameters
    ----------
    file
        The file, at its start.
    most
        The most bytes to read and to inflate; `MAX_HEADER_BYTES` if 0.
    """
    from pydicom.filereader import _read_file_meta_info, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    read_preamble(file, force=True)
    syntax = _read_file_meta_info(file).get("TransferSyntaxUID")
    if syntax != DeflatedExplicitVRLittleEndian:
        file.seek(0)
        return file
    most = most or MAX_HEADER_BYTES
    stream = zlib.decompressobj(-zlib.MAX_WBITS)  # as DICOM demands: no header of zlib
    return io.BytesIO(stream.decompress(file.read(most), most))


def _decode(header: DicomHeader) -> None:
    """Turn all bytes into values now, where errors and remarks are expected."""
    header.walk(lambda dataset, element: element.value)


def _looks_like_dicom(start: bytes, name: str) -> bool:
    """Judge by the magic word or, in files from before it, by the first tag being of group 8."""
    if start[128:132] == b"DICM":
        return os.path.basename(name).upper() != "DICOMDIR"
    old = os.path.splitext(name)[1].lower() in ("", ".dcm", ".ima", ".img")
    return old and start[:2] == b"\x08\x00" and start[3:4] == b"\x00"


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:  # closed to us: whoever wants the whole file says so
        return b""


def names_under(folder: Path) -> Iterator[str]:
    """Yield all files in and under a folder by their names below it, without hidden ones."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        odd = set(no_files(place))
        for name in names:
            if not name.startswith(".") and name not in odd:
                yield os.path.relpath(os.path.join(place, name), folder)


def _checked_members(path: Path, archive: zipfile.ZipFile) -> tuple[str, ...]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    size = sum(member.file_size for member in members)
    if len(members) > MAX_ZIP_FILES or size > MAX_ZIP_BYTES:
        found = f"a zip that promises {len(members):,} files and {size / 1e9:,.1f} GB"
        raise ScanError(path, found, "one study", "Unpack it and name the folder.")
    packed = sum(member.compress_size for member in members)
    if size > BURSTING_BYTES and size > MAX_ZIP_RATIO * packed:
        found = f"a zip of {packed / 1e6:,.1f} MB that promises {size / 1e9:,.1f} GB"
        raise ScanError(path, found, "one study", "No scan shrinks so much: get it anew.")
    if any(member.flag_bits & 1 for member in members):
        raise ScanError(path, "an encrypted zip", "a plain one", "Unpack it and name the folder.")
    return tuple(sorted(member.filename for member in members))
