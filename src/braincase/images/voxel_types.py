"""Voxel types: integers and floats are read; complex, colour and odd types are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braincase.errors import ScanError

#: NIfTI types of grey values that NumPy may lack.
UNREADABLE = {1: "binary, one bit a voxel", 1536: "float128", 2048: "complex256"}


def check_type(path: Path, kind: np.dtype[np.generic], code: int) -> None:
    """Refuse voxels that are no single grey value, and say what they are.

    Parameters
    ----------
    path
        The file, for the error.
    kind
        The type as NumPy knows it; void where it knows none.
    code
        The header's number of the type, 0 where it has none.

    Raises
    ------
    ScanError
        If they are neither integers nor real numbers.
    """
    if kind.kind == "c":
        advice = "Take the magnitude first (fslcomplex -realabs, numpy.abs)."
        raise ScanError(path, f"complex voxels ({kind.name})", "magnitudes", advice)
    if kind.kind in "iuf":
        return
    if code in UNREADABLE:
        found = f"voxels of type {UNREADABLE[code]} (code {code}), which cannot be read here"
        raise ScanError(path, found, "", "Convert it to float32 or int16 first.")
    advice = "A colour map or screenshot is no scan; export the original grey values."
    raise ScanError(path, f"colour voxels (code {code})", "one grey value a voxel", advice)
