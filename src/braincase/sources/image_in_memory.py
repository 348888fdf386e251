"""Images in memory (nibabel): written to a private file, so that they are read as any file is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from braincase.errors import BraincaseError, ParameterError
from braincase.sources.scratch import scratch_folder

#: What the file is called: whoever reads it takes this for the scan's name.
NAME = "image.nii"


class SpatialImage(Protocol):
    """An image of nibabel, or what looks like one: voxels, and an affine to millimetres in RAS+."""

    dataobj: Any
    affine: Any
    header: Any


@contextmanager
def path_of(scan: str | Path | SpatialImage) -> Iterator[Path]:
    """Yield the path of a scan; an image in memory has one until the end of the block.

    Errors about that file name the parameter `scan`.
    """
    if isinstance(scan, str | Path):
        yield Path(scan)
        return
    if not hasattr(scan, "dataobj"):
        found = f"a value of type {type(scan).__name__}"
        raise ParameterError("scan", found, "a path, a nibabel image, or a case's scan_id")
    with scratch_folder("image") as folder:
        path = folder / NAME
        _write(scan, path)
        try:
            yield path
        except BraincaseError as error:
            if not error.where.startswith(str(path)):
                raise
            raise type(error)("scan", error.found, error.expected, error.advice) from None


def _write(image: SpatialImage, path: Path) -> None:
    """Write an image as NIfTI: real numbers as float32, so that no rounding is added to them."""
    import nibabel  # whoever has an image has it loaded

    data = np.asanyarray(image.dataobj)
    if data.dtype.kind in "biuf":
        data = data.astype(np.float32)
    nifti = nibabel.Nifti1Image(data, image.affine, _nifti_header(image))
    nifti.set_data_dtype(data.dtype)
    nifti.to_filename(path)


def _nifti_header(image: SpatialImage) -> Any:
    """Return the header, where it is one of NIfTI: its codes say what the affine is good for."""
    import nibabel

    return image.header if isinstance(image.header, nibabel.Nifti1Header) else None
