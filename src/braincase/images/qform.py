"""The qform of a NIfTI header: quaternion, offset and voxel sizes, read as the standard means it.

A quaternion is stored without its first number, in single precision: rounding can make it a hair
longer than one. It is then scaled to length one, as the NIfTI library does. `pixdim[0]` (*qfac*)
counts by its sign, 0 is 1: so says the standard.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from nibabel.quaternions import quat2mat
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from braincase.images.geometry import Affine

#: A quaternion may be longer than one by this for rounding, and by that with a note.
ROUNDING, NOT_FAR = 1e-4, 0.05


class QformHeader(Protocol):
    """What is read of a NIfTI header here; nibabel itself has no types."""

    def get_qform(self) -> Affine:
        """Return the qform's affine."""
        ...

    def __getitem__(self, field: str, /) -> NDArray[np.generic]: ...


def read_qform(raw: QformHeader) -> tuple[Affine, str]:
    """Return the affine of a qform, and a note where it had to be mended.

    Raises
    ------
    ValueError
        If it cannot be mended: its text says what is wrong.
    """
    try:
        return np.asarray(raw.get_qform(), dtype=float), ""
    except (HeaderDataError, ValueError):  # too long by rounding, or a qfac of 0
        return _mended(raw)


def _mended(raw: QformHeader) -> tuple[Affine, str]:
    vector = np.array([raw[f"quatern_{axis}"] for axis in "bcd"], dtype=float)
    offset = np.array([raw[f"qoffset_{axis}"] for axis in "xyz"], dtype=float)
    qfac, *zooms = np.asarray(raw["pixdim"], dtype=float)[:4]
    length = float(np.linalg.norm(vector))
    if not np.isfinite([qfac, *zooms, *vector, *offset]).all():
        raise ValueError("numbers that are not finite")
    if min(zooms) <= 0:
        raise ValueError(f"voxel sizes of {min(zooms):g} mm")
    if length > 1 + NOT_FAR:
        raise ValueError(f"a quaternion of length {length:.3g}")
    if length > 1:
        vector /= length
    first = np.sqrt(max(0.0, 1 - float(vector @ vector)))
    affine = np.eye(4)
    affine[:3, :3] = quat2mat([first, *vector]) * (zooms[0], zooms[1], zooms[2] * _sign(qfac))
    affine[:3, 3] = offset
    notes = [f"the qform's quaternion is {length:.3f} long: scaled to 1"] * (length > 1 + ROUNDING)
    notes += [f"a qfac of {qfac:g} in the header: its sign counts"] * (abs(qfac) not in (0, 1))
    return affine, "; ".join(notes)


def _sign(qfac: float) -> int:
    return -1 if qfac < 0 else 1
