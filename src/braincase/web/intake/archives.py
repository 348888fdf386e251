"""Safe unpacking of uploads: file types, zip, tar and gzip bombs, path traversal.

No name that comes with an upload is ever used on this disk: an archive's members get numbers for
names, so that none can land elsewhere, and names of patients in them are gone. What an archive or a
gzip stream becomes is counted while it is unpacked and never believed beforehand.
"""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from braincase.errors import ScanError
from braincase.images.gzip_streams import open_plain, read_on
from braincase.images.header import read_header, suffix_of
from braincase.sources.dicom_files import (
    ARCHIVES,
    BURSTING_BYTES,
    MAX_ZIP_RATIO,
    ZIP_MAGIC,
    archive_kind,
    is_dicom,
)
from braincase.sources.image_folder import reason_against
from braincase.sources.image_names import stem_of
from braincase.sources.tar_files import TarBounds, unpack_tar
from braincase.web.intake.zip_directory import count_entries

CHUNK = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
#: Suffixes by which files from before DICOM's magic word are known.
OLD_DICOM = ("", ".dcm", ".ima", ".img")
#: What `zipfile` raises for an archive that is damaged or packed in a way it does not know.
DAMAGED = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, zlib.error,
           lzma.LZMAError, EOFError, OSError, struct.error)  # fmt: skip
EXPECTED = "a NIfTI or MGZ file, or a zip or tar of one DICOM study"


def safe_suffix(name: str) -> str:
    """Return the only part of an uploaded file's name that is used: its suffix, from a fixed list.

    Raises
    ------
    ScanError
        If it is no kind of file that can be a scan.
    """
    plain = Path(_plain_name(name))
    if suffix := suffix_of(plain):
        if suffix.startswith((".hdr", ".img")):
            advice = "Put both files of the pair into one zip, or convert it to NIfTI."
            raise ScanError("scan", "half of an Analyze pair", EXPECTED, advice)
        return suffix
    for archive in ARCHIVES:
        if plain.name.lower().endswith(archive):
            return archive
    suffix = plain.suffix.lower()
    if suffix in (".dcm", ".ima", ""):
        return suffix
    raise ScanError("scan", f"a file of the kind '{suffix[:12]}'", EXPECTED)


def opened(path: Path, folder: Path, most_bytes: int, most_files: int) -> Path:
    """Return what is to be read of an upload: the file itself, or the folder it was unpacked into.

    Parameters
    ----------
    path
        The upload.
    folder
        An empty folder for an archive's members.
    most_bytes, most_files
        What it may become.

    Raises
    ------
    ScanError
        If it is no scan by its first bytes, damaged, encrypted, or larger than allowed.
    """
    if not path.is_file():
        raise ScanError("scan", "no file", EXPECTED)
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise ScanError("scan", "an empty file", EXPECTED)
    if start == ZIP_MAGIC:
        return _unzipped(path, folder, most_bytes, most_files)
    if archive_kind(path) == "tar":
        return _untarred(path, folder, most_bytes, most_files)
    if suffix_of(path):
        read_header(path)  # what it promises is judged before anything is allocated
        if start.startswith(GZIP_MAGIC):
            _measure_gzip(path, most_bytes)
    elif not is_dicom(path):
        raise ScanError("scan", "bytes of another kind", EXPECTED)
    return path


def _measure_gzip(path: Path, most_bytes: int) -> None:
    """Refuse a gzip stream that unpacks to more than allowed, holding one chunk at a time."""
    size = 0
    try:
        with open_plain(path) as file:
            while chunk := read_on(file, CHUNK):
                size += len(chunk)
                if size > most_bytes:
                    found = f"a compressed file that unpacks to more than {most_bytes >> 20} MiB"
                    raise ScanError("scan", found, "one scan")
    except (OSError, EOFError, zlib.error) as error:
        found = f"a damaged compressed file ({error})"
        raise ScanError("scan", found, "", "Copy or export it again.") from None


def _unzipped(path: Path, folder: Path, most_bytes: int, most_files: int) -> Path:
    if count_entries(path, most_files) > most_files:
        found = f"a zip with more than {most_files:,} entries"
        expected = f"one study of at most {most_files:,} files, folders included"
        raise ScanError("scan", found, expected)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked(archive, most_bytes)
            left = most_bytes
            for place, name in _own_names([member.filename for member in members]).items():
                target = folder / name
                left -= _copy(archive, members[place], target, left, most_bytes)
                # Whoever reads the folder would unpack a tar in it, beyond what is allowed here.
                if archive_kind(target):
                    raise ScanError("scan", "a tar inside the zip", "one study", "Unpack it first.")
    except DAMAGED as error:
        found = f"a damaged zip ({type(error).__name__})"
        raise ScanError("scan", found, "", "Export or pack it again.") from None
    return _only_image(folder, most_bytes)


def _untarred(path: Path, folder: Path, most_bytes: int, most_files: int) -> Path:
    """Unpack a tar, within the bounds of an upload and of any tar."""
    bounds = TarBounds(most_files, most_bytes, MAX_ZIP_RATIO, BURSTING_BYTES)
    try:
        members = unpack_tar(path, folder, bounds)
    except ScanError as error:  # it names the file by its place on this disk
        raise ScanError("scan", error.found, error.expected, "Export or pack it again.") from None
    shown = {n: p for n, p in members.items() if not _plain_name(n).startswith(".")}
    if not shown:
        raise ScanError("scan", "an empty tar", EXPECTED)
    paths = list(shown.values())
    names = {paths[place]: name for place, name in _own_names(list(shown)).items()}
    for unpacked in sorted(folder.iterdir()):
        if unpacked not in names:
            unpacked.unlink()
        elif kind := archive_kind(unpacked):
            raise ScanError("scan", f"a {kind} inside the tar", "one study", "Unpack it first.")
        else:
            unpacked.rename(folder / f"file-{names[unpacked]}")
    return _only_image(folder, most_bytes)


def _own_names(names: Sequence[str]) -> dict[int, str]:
    """Return, by their places, what the members to be read are called on this disk.

    The two halves of an Analyze pair keep one name.
    """
    own, stems = dict[int, str](), dict[str, int]()
    for place in _without_derived(names):
        suffix = _member_suffix(names[place])
        stem = names[place].lower().removesuffix(suffix)
        number = place
        if suffix.startswith((".hdr", ".img")):
            number = stems.setdefault(stem, place)
        own[place] = f"{number:06d}{suffix}"
    return own


def _checked(archive: zipfile.ZipFile, most_bytes: int) -> list[zipfile.ZipInfo]:
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir() and not _plain_name(member.filename).startswith(".")
    ]
    size = sum(member.file_size for member in members)
    if size > most_bytes:
        found = f"a zip that promises {len(members):,} files and {size / 1e9:,.1f} GB"
        expected = f"one study of at most {most_bytes / 1e9:,.1f} GB"
        raise ScanError("scan", found, expected)
    if any(member.flag_bits & 1 for member in members):
        raise ScanError("scan", "an encrypted zip", "a plain one", "Unpack it and zip it again.")
    if not members:
        raise ScanError("scan", "an empty zip", EXPECTED)
    return members


def _plain_name(name: str) -> str:
    """Return the last part of a path as any system may have written it."""
    return PurePosixPath(name.replace("\\", "/")).name


def _member_suffix(name: str) -> str:
    """Return a member's suffix if a reader needs it to know the file, else a neutral one."""
    plain = Path(_plain_name(name).lower())
    if plain.name == "dicomdir":
        return ".index"
    suffix = suffix_of(plain) or plain.suffix
    if suffix in OLD_DICOM or suffix_of(plain):
        return suffix
    # Numbers as suffixes are usual in DICOM exports: IM.0001.
    return "" if suffix[1:].isdigit() else ".other"


def _without_derived(members: Sequence[str]) -> list[int]:
    """Return the places of members but for images that their names call masks or no T1w.

    Once unpacked they have numbers for names, and nobody could tell. Where nothing else is there,
    they stay.
    """
    paths = [Path(member.replace("\\", "/")) for member in members]
    names = {(path.parent, path.name) for path in paths}
    stems = {stem_of(path.name).lower() for path in paths}
    others = [
        place
        for place, path in enumerate(paths)
        if not (suffix_of(path) and reason_against(path, names, stems))
    ]
    return others if any(suffix_of(paths[place]) for place in others) else list(range(len(paths)))


def _copy(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int, most: int
) -> int:
    """Copy one member and return its size; its declared size is not believed."""
    size = 0
    with archive.open(member) as source, target.open("xb") as copy:
        while chunk := source.read(CHUNK):
            if not size and chunk.startswith(ZIP_MAGIC):
                raise ScanError("scan", "a zip inside the zip", "one study", "Unpack it first.")
            size += len(chunk)
            if size > left:
                found = f"a zip that unpacks to more than {most >> 20} MiB"
                raise ScanError("scan", found, "one study")
            copy.write(chunk)
    return size


def _only_image(folder: Path, most_bytes: int) -> Path:
    """Return the one image in an unpacked zip, if that is what it holds, else the folder."""
    images = [file for file in sorted(folder.iterdir()) if suffix_of(file) and not is_dicom(file)]
    if not images or len({file.name.partition(".")[0] for file in images}) > 1:
        return folder
    read_header(images[0])
    for file in images:
        with file.open("rb") as start:
            zipped = start.read(2) == GZIP_MAGIC
        if zipped:
            _measure_gzip(file, most_bytes)
    return images[0]
