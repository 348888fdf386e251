"""Mean grey levels of the atlas regions of a gallery's cases, cached by image hash.

They depend on the image alone, so one file serves all versions of a gallery and grows with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from braincase.gallery import Gallery, StoredCase
from braincase.images.geometry import Grid
from braincase.population.cache import read_arrays, write_arrays
from braincase.population.normative import region_means
from braincase.population.volumes import stored_volume
from braincase.progress import progress_if_slow

FILE = "regions.npz"
#: Measurements written at a time, so that an interrupted run goes on where it was.
WRITTEN_AT_A_TIME = 500


class RegionMeansCache:
    """Cache of region means by image hash, in one file that grows.

    Parameters
    ----------
    gallery
        Its cache folder holds the file.
    n_regions
        Number of regions of the atlas on the gallery's grid.
    """

    def __init__(self, gallery: Gallery, n_regions: int) -> None:
        self._path = gallery.cache_folder / FILE
        self._means: dict[str, NDArray[np.float64]] = {}
        arrays = read_arrays(self._path) or {}
        with contextlib.suppress(Exception):  # missing, or of other content: measured again
            images, means = arrays["images"].tolist(), np.asarray(arrays["means"], np.float64)
            self._means = dict(zip(images, means.reshape(len(images), n_regions), strict=True))
        self._written = len(self._means)

    def __contains__(self, image_hash: str | None) -> bool:
        return image_hash in self._means

    def __getitem__(self, image_hash: str | None) -> NDArray[np.float64]:
        return self._means[str(image_hash)]

    def put(self, image_hash: str, means: NDArray[np.float64]) -> None:
        """Add one image's means; the file is written now and then."""
        self._means[image_hash] = means
        if len(self._means) >= self._written + WRITTEN_AT_A_TIME:
            self.write()

    def write(self) -> None:
        """Write what is new, where the folder can be written."""
        if len(self._means) == self._written:
            return
        self._written = len(self._means)
        images, means = np.array(list(self._means)), np.stack(list(self._means.values()))
        with contextlib.suppress(OSError):
            write_arrays(self._path, {"images": images, "means": means})


def means_of_cases(
    gallery: Gallery, cases: Sequence[StoredCase], grid: Grid, n_regions: int
) -> dict[str, NDArray[np.float64]]:
    """Return the region means of cases, shape (n_regions,), by scan_id.

    Cases whose image cannot be read are left out.
    """
    cache = RegionMeansCache(gallery, n_regions)
    means: dict[str, NDArray[np.float64]] = {}
    missing = sum(case.image_hash not in cache for case in cases)
    with progress_if_slow("measuring regions of the cases", missing) as advance:
        for case in cases:
            if case.image_hash in cache:
                means[case.scan_id] = cache[case.image_hash]
                continue
            volume = stored_volume(case, grid)
            advance()
            if volume is None:
                continue
            means[case.scan_id] = region_means(volume, grid, n_regions)
            if case.image_hash is not None:
                cache.put(case.image_hash, means[case.scan_id])
    cache.write()
    return means
