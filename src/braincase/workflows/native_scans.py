"""Scans of a cohort in native space: read where they were found, stripped by the cohort's masks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.cohort import Cohort
from braincase.cohort.derivatives import mask_path, sidecar_path
from braincase.errors import ScanError
from braincase.files import read_json
from braincase.images.volume import Volume, read_volume
from braincase.models.encoder import Encoder
from braincase.preprocess.native import native_brain
from braincase.sources.read import read_scan
from braincase.sources.scan import Scan

#: The raw scans of a cohort by scan_id, as their source lists them now.
RawScans = Mapping[str, Scan]


def native_code(cohort: Cohort, row: int, encoder: Encoder, raw: RawScans) -> NDArray[np.float32]:
    """Embed one scan of a cohort on its own voxels.

    Raises
    ------
    ScanError
        If the raw scan is not there or cannot be read, or the encoder fails on it.
    """
    scan_id, image = (str(cohort.table[name].iloc[row]) for name in ("scan_id", "image"))
    if encoder.embed_native is None or scan_id not in raw:
        raise ScanError(scan_id, "no raw scan", f"the raw scan, which '{encoder.name}' takes")
    volume = read_scan(raw[scan_id])
    if encoder.strips_native:
        volume = _stripped(cohort, image, volume)
    return encoder.embed_native(volume)


def _stripped(cohort: Cohort, image: str, volume: Volume) -> Volume:
    path = cohort.folder / image
    sidecar = read_json(sidecar_path(path), ScanError, "Prepare this scan again.")
    mask = read_volume(mask_path(path)).data > 0.5
    try:
        to_mni = np.asarray(sidecar["NativeToMNI"], np.float64).reshape(4, 4)
    except (KeyError, TypeError, ValueError):
        raise ScanError(path, "no NativeToMNI in its sidecar", "a cohort of `prepare`") from None
    return native_brain(volume, mask, cohort.grid, to_mni)
