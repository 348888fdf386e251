"""BIDS derivatives: the folder layout in which prepared scans lie on disk.

Every neuroimaging tool can open it.

::

    dataset_description.json  participants.tsv  .bidsignore
    sub-X/sub-X_sessions.tsv
    sub-X/[ses-Y/]anat/sub-X[_ses-Y]_space-MNI152NLin2009aSym_res-2_desc-brain_T1w.nii.gz
    sub-X/[ses-Y/]anat/sub-X[_ses-Y]_space-MNI152NLin2009aSym_res-2_desc-brain_T1w.json
    sub-X/[ses-Y/]anat/sub-X[_ses-Y]_space-MNI152NLin2009aSym_res-1_desc-view_T1w.nii.gz

The sidecar (``.json``) is the truth about its scan; the tables are made from the sidecars. Source:
BIDS specification 1.10, 'Common data types and metadata' and 'Imaging data types' of derivatives.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import nibabel
import numpy as np
from numpy.typing import NDArray

from braincase.errors import CohortError, ScanError, UsageError
from braincase.files import atomic_write, read_json, read_regular, write_json, write_text
from braincase.images.geometry import Grid
from braincase.json_values import JsonObject
from braincase.labels import Value, safe_cell
from braincase.sources.listing import is_cohort
from braincase.sources.scan import Scan
from braincase.version import __version__

#: For people who meet the folder without this documentation.
README = """# Prepared brains

Skull-stripped T1-weighted brains in MNI152NLin2009aSym space, 8 bit, written by braincase as
sub-*/[ses-*/]anat/*_desc-brain_T1w.nii.gz. The .json beside each image says who it is, all labels,
the transform and the preprocessing recipe. census.json tells what was left out and why. packed/
holds the same volumes again for training and can be deleted at any time. *_desc-view_T1w.nii.gz,
where there are any, are the scans as they were, to be looked at: with the face, unless the .json
beside one says that it shows the brain only.
"""
DESCRIPTION = "dataset_description.json"
#: The format of a cohort's folder, and where it stands in the description.
FORMAT, FORMAT_KEY = 1, "BraincaseFormat"
SPACE = "MNI152NLin2009aSym"
IMAGE_ENDING, SIDECAR_ENDING = "_desc-brain_T1w.nii.gz", "_desc-brain_T1w.json"
#: A file system takes names of 255 bytes; the endings and a temporary name need 100 of them.
LONGEST_NAME = 150
#: A preprocessing recipe: all that decides what the voxels of a standard volume are.
Recipe: TypeAlias = JsonObject
#: Bytes of NIfTI's header; the most that it and what may follow it have; the most of one voxel.
HEADER_SIZE, MOST_HEADER, MOST_BYTES_A_VOXEL = 348, 2**20, 16
#: Bytes after the voxels that another program may have added.
MOST_PADDING = 4096
#: Relative path, size in bytes, and modification time in ns of a file.
FileStat = tuple[str, int, int]
#: NIfTI's code for 'aligned to the MNI152 template'.
MNI152_CODE = 4


def image_path(folder: Path, grid: Grid, scan: Scan) -> Path:
    """Return where the prepared image of `scan` lies in `folder`.

    Raises
    ------
    ScanError
        If subject or session are not letters and digits, as BIDS demands, or too long for a file.
    """
    for name in (scan.subject, scan.session or "none"):
        if not (name.isascii() and name.isalnum()):
            raise ScanError(scan.path, f"the name {name!r}", "letters and digits only (BIDS)")
    if len(scan.scan_id) > LONGEST_NAME:
        found = f"a name of {len(scan.scan_id)} letters ({scan.scan_id[:20]}...)"
        raise ScanError(
            scan.path, found, f"at most {LONGEST_NAME}", "Rename it, or name the subject."
        )
    place = folder / f"sub-{scan.subject}"
    if scan.session:
        place /= f"ses-{scan.session}"
    return place / "anat" / f"{scan.scan_id}_space-{SPACE}_res-{grid.resolution_mm}{IMAGE_ENDING}"


def sidecar_path(image: Path) -> Path:
    """Return the path of the ``.json`` that describes an image."""
    return image.with_name(image.name.removesuffix(".nii.gz") + ".json")


def mask_path(image: Path) -> Path:
    """Return where the brain mask of a prepared image lies."""
    return image.with_name(image.name.replace("_T1w", "_mask"))


def write_image(path: Path, volume: NDArray[np.uint8], grid: Grid) -> None:
    """Write an 8-bit volume of shape `grid.shape` as NIfTI; equal volumes give equal files."""
    with atomic_write(path) as aside:
        nibabel.save(_nifti_image(volume, grid), aside)


def encode_image(volume: NDArray[np.uint8], grid: Grid) -> bytes:
    """Return the bytes of a prepared image's file, as `decode_image` reads them."""
    return gzip.compress(_nifti_image(volume, grid).to_bytes(), mtime=0)


def _nifti_image(volume: NDArray[np.uint8], grid: Grid) -> nibabel.Nifti1Image:
    image = nibabel.Nifti1Image(np.asarray(volume, np.uint8), grid.affine)
    image.set_sform(grid.affine, MNI152_CODE)
    image.set_qform(grid.affine, MNI152_CODE)
    image.header.set_xyzt_units("mm")
    return image


def read_image(path: Path, grid: Grid) -> NDArray[np.uint8]:
    """Read a prepared image: uint8, shape `grid.shape`, C order.

    Raises
    ------
    ScanError
        If it is missing, unreadable, of another shape or place, not finite, not 8 bit or constant.
    """
    try:
        packed = read_regular(path, most_packed_bytes(grid))
    except FileNotFoundError:
        raise ScanError(path, "the image is missing") from None
    except (OSError, ValueError) as error:
        raise ScanError(path, f"cannot be read ({error})", "a NIfTI image") from None
    return decode_image(packed, path, grid)


def most_packed_bytes(grid: Grid) -> int:
    """Return the most bytes that the file of a prepared image has; gzip packs noise badly."""
    return int(np.prod(grid.shape)) * MOST_BYTES_A_VOXEL + MOST_HEADER


def decode_image(packed: bytes, path: Path, grid: Grid) -> NDArray[np.uint8]:
    """Return the volume in the bytes of a prepared image; never unpacks more than an image has.

    Raises
    ------
    ScanError
        As `read_image`.
    """
    content, _ = unpacked(packed, path, grid)
    try:
        image = nibabel.Nifti1Image.from_bytes(content)
        voxels = np.asanyarray(image.dataobj)
    except Exception as error:  # nibabel, gzip and zlib each have their own
        raise ScanError(path, f"cannot be read ({error})", "a NIfTI image") from None
    if voxels.shape != grid.shape:
        raise ScanError(path, f"shape {voxels.shape}", f"{grid.shape}")
    if not np.allclose(image.affine, grid.affine, atol=1e-3):
        raise ScanError(path, "another affine", f"the {grid.resolution_mm} mm grid in {SPACE}")
    if not np.isfinite(voxels).all():
        raise ScanError(path, f"{np.count_nonzero(~np.isfinite(voxels))} voxels that are no number")
    volume = np.ascontiguousarray(voxels).astype(np.uint8)
    if voxels.dtype != np.uint8 and not np.array_equal(volume, voxels):
        raise ScanError(path, f"{voxels.dtype} values", "whole numbers from 0 to 255")
    if volume.min() == volume.max():
        raise ScanError(path, f"a constant volume (all {volume.flat[0]})", "an image")
    return volume


def unpacked(
    packed: bytes, path: Path, grid: Grid, most_bytes_a_voxel: int = MOST_BYTES_A_VOXEL
) -> tuple[bytes, nibabel.Nifti1Header]:
    """Unpack an image to its end, where gzip's checksum is compared, or until it is too long.

    Returns
    -------
    content, header
        All bytes of the NIfTI file, and its header, of an image of shape `grid.shape`.

    Raises
    ------
    ScanError
        If it is no gzip of a NIfTI image of this shape, or has more bytes.
    """
    try:
        with gzip.GzipFile(fileobj=BytesIO(packed)) as file:
            start = file.read(HEADER_SIZE)
            header = nibabel.Nifti1Header.from_fileobj(BytesIO(start))
            if header.get_data_shape() != grid.shape:
                raise ScanError(path, f"shape {header.get_data_shape()}", f"{grid.shape}")
            itemsize = min(header.get_data_dtype().itemsize, most_bytes_a_voxel)
            most = min(header.get_data_offset(), MOST_HEADER) + grid.size * itemsize + MOST_PADDING
            content = start + file.read(most - len(start) + 1)
    except ScanError:
        raise
    except Exception as error:  # nibabel, gzip and zlib each have their own
        raise ScanError(path, f"cannot be read ({error})", "a NIfTI image") from None
    if len(content) > most:
        raise ScanError(path, "more bytes than the image has", f"{most} bytes")
    return content, header


def list_files(folder: Path) -> list[FileStat]:
    """Return all images and sidecars of a cohort, sorted: equal folders give equal lists."""
    files = []
    with os.scandir(folder) as entries:
        subjects = [e.path for e in entries if e.is_dir() and e.name.startswith("sub-")]
    for subject in subjects:
        for place, _, names in os.walk(subject):
            for name in names:
                if name.startswith("sub-") and name.endswith((IMAGE_ENDING, SIDECAR_ENDING)):
                    path = Path(place, name)
                    stat = path.stat()
                    relative = path.relative_to(folder).as_posix()
                    files.append((relative, stat.st_size, stat.st_mtime_ns))
    return sorted(files)


def image_of(path: str) -> str:
    """Return the image that a listed image or sidecar belongs to."""
    return path.removesuffix(".json").removesuffix(".nii.gz") + ".nii.gz"


def scan_id_of(path: str) -> str:
    """Return ``sub-X_ses-Y`` of a listed file."""
    return path.rsplit("/", 1)[-1].split("_space-", 1)[0]


def resolution_of(path: str) -> int:
    """Return the resolution in mm that a listed file's name tells.

    Raises
    ------
    CohortError
        If the name tells none.
    """
    resolution = path.rsplit("_res-", 1)[-1].split("_", 1)[0]
    if not resolution.isdigit():
        raise CohortError(path, "a name that tells no resolution", "..._res-2_desc-brain_T1w")
    return int(resolution)


def claim_folder(folder: Path) -> None:
    """Make a folder a cohort's before anything is written there, unless it is one already.

    Raises
    ------
    UsageError
        If the folder holds something else, such as the raw data set itself.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(folder, "a file", "a folder, or a new name for one")
    described = (folder / DESCRIPTION).exists()
    if described:
        ours = is_cohort(folder)
    else:
        # Another shard may be writing the description this moment.
        ours = not (folder.is_dir() and any(p.name[0] != "." for p in folder.iterdir()))
    if not ours:
        raise UsageError(folder, "the folder holds something else", "a new folder or a cohort")
    if not described:
        describe_cohort(folder)


def check_format(folder: Path) -> None:
    """Stop before a cohort of a later version is read; those of earlier ones name no format.

    Raises
    ------
    CohortError
        If it is of another format.
    """
    found: object = FORMAT
    with suppress(CohortError):  # without a description its scans are still read
        found = read_json(folder / DESCRIPTION, CohortError).get(FORMAT_KEY, FORMAT)
    if found != FORMAT:
        raise CohortError(folder, f"format {found}", f"format {FORMAT}", "Update braincase.")


def describe_cohort(folder: Path) -> None:
    """Write ``dataset_description.json``, by which a folder is known as a cohort."""
    write_json(
        folder / DESCRIPTION,
        {
            "Name": folder.resolve().name,
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "braincase", "Version": __version__}],
            FORMAT_KEY: FORMAT,
        },
    )


def write_dataset(folder: Path, scans: Sequence[Scan]) -> None:
    """Write dataset_description.json, README.md, participants.tsv and sub-*/sub-*_sessions.tsv."""
    describe_cohort(folder)
    write_text(folder / "README.md", README)
    write_text(folder / ".bidsignore", "packed\nqc\ncensus.json\ntruth.tsv\n*.html\n")
    people: dict[str, list[Scan]] = {}
    for scan in sorted(scans, key=lambda scan: scan.scan_id):
        people.setdefault(scan.subject, []).append(scan)
    lasting, changing = _split_columns(people)
    _write_participants(folder, people, lasting, changing)
    for subject, visits in people.items():
        _write_sessions(folder / f"sub-{subject}", visits, changing)


def _split_columns(people: Mapping[str, Iterable[Scan]]) -> tuple[list[str], list[str]]:
    """Return the columns that are constant in every person, and those that change."""
    columns = dict.fromkeys(c for scans in people.values() for scan in scans for c in scan.labels)
    changing = {
        column
        for scans in people.values()
        for column in columns
        if len({scan.labels.get(column) for scan in scans}) > 1
    }
    return [c for c in columns if c not in changing], [c for c in columns if c in changing]


def _write_participants(
    folder: Path, people: Mapping[str, Sequence[Scan]], lasting: list[str], changing: list[str]
) -> None:
    # A person without sessions has no sessions.tsv: what changes in others is written here.
    alone = changing if any(s.session is None for scans in people.values() for s in scans) else []

    def rows() -> Iterator[list[Value]]:
        for subject, (first, *_) in people.items():
            here = first.labels if first.session is None else {}
            yield [
                f"sub-{subject}",
                *(first.labels.get(column) for column in lasting),
                *(here.get(column) for column in alone),
            ]

    _write_tsv(folder / "participants.tsv", ["participant_id", *lasting, *alone], rows())


def _write_sessions(folder: Path, visits: Sequence[Scan], changing: list[str]) -> None:
    rows = [
        [f"ses-{scan.session}", *(scan.labels.get(column) for column in changing)]
        for scan in visits
        if scan.session is not None
    ]
    path = folder / f"{folder.name}_sessions.tsv"
    if rows:
        _write_tsv(path, ["session_id", *changing], rows)
    else:
        path.unlink(missing_ok=True)


def _write_tsv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Value]]) -> None:
    lines = ["\t".join(_cell(value) for value in row) for row in (columns, *rows)]
    write_text(path, "\n".join(lines) + "\n", durable=False)  # made again from the sidecars


def _cell(value: Value) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return safe_cell(text) or "n/a"
