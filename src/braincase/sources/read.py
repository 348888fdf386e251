"""Read a `Scan` as a `Volume`: an image file, a DICOM series, or an Analyze pair of OASIS."""

from __future__ import annotations

from braincase.images.volume import Volume, read_volume
from braincase.sources.dicom import read_series
from braincase.sources.dicom_files import archive_kind, is_dicom
from braincase.sources.oasis import axes_of
from braincase.sources.scan import Scan


def read_scan(scan: Scan) -> Volume:
    """Read a scan's image: an image file, a DICOM series in a folder, zip or tar, an OASIS-1 pair.

    Raises
    ------
    ScanError
        If it cannot be read or is no 3-D image.
    """
    if scan.path.is_dir() or archive_kind(scan.path) or is_dicom(scan.path):
        return read_series(scan.path, scan.series or None, scan.files)
    return read_volume(scan.path, axes_of(scan.path))
