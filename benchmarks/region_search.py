"""How alike hits of a search by region are in that region, beside hits of the whole code.

Simulated people of a benchmark's folder (``braincase bench FOLDER``): query people ask, gallery
people are found. The difference of the true volume of query and hit is in standard deviations of
the training people; chance: hits drawn at random.

    python benchmarks/region_search.py FOLDER MODEL
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.bench.archive import Archive, archive_of
from braincase.cohort.cohort import open_cohort
from braincase.images.atlas import region_weights
from braincase.models.open_encoder import open_encoder
from braincase.simulate.truth import read_truth, volume_column
from braincase.volumetry.code_layout import regions_of_code
from braincase.volumetry.regions import NAMES, SIDED

HITS = 10
#: Names that `--region` takes, and which labels of the atlas each has.
ASKED = (
    *("hippocampus", "amygdala", "ventricles", "frontal", "parietal", "temporal", "occipital"),
    *("cingulate", "insula", "deep-grey", "cerebellum"),
)


def main(folder: Path, model: str) -> None:
    archive = archive_of(open_cohort(folder / "cohort"), "bench", 0)
    encoder = open_encoder(model)
    rows = np.arange(len(archive.cohort))
    codes = np.concatenate(
        [encoder.embed(archive.cohort.volumes[part]) for part in np.array_split(rows, 20)]
    )
    print("| region | chance | whole code | search by region | ratio |\n|---|---|---|---|---|")
    for name in ASKED:
        print(f"| {name} | {' | '.join(map('{:.2f}'.format, differences(archive, codes, name)))} |")


def differences(
    archive: Archive, codes: NDArray[np.float32], name: str
) -> tuple[float, float, float, float]:
    volume = true_volume(archive, name)
    queries, gallery = archive.splits.query, archive.splits.gallery
    apart = np.abs(volume[queries][:, None] - volume[gallery]) / volume[archive.splits.train].std()
    weights, _ = region_weights([name], regions_of_code(codes.shape[1]))

    def of_hits(factor: NDArray[np.float64]) -> float:
        scaled = codes * np.sqrt(factor)
        squares = ((scaled[queries][:, None] - scaled[gallery]) ** 2).sum(axis=2)
        hits = squares.argsort(axis=1)[:, :HITS]
        return float(np.take_along_axis(apart, hits, axis=1).mean())

    whole, by_region = of_hits(np.ones(codes.shape[1])), of_hits(weights)
    return float(apart.mean()), whole, by_region, by_region / whole


def true_volume(archive: Archive, name: str) -> NDArray[np.float64]:
    """Return the logarithm of the true volume of a region or group, shape (scans,)."""
    atlas = regions_of_code(150)
    labels = {
        atlas.names[i].removeprefix("left-").removeprefix("right-") for i in atlas.members(name)
    }
    ours = {plain for plain, members in SIDED.items() if labels & set(members)}
    ours |= {"third-ventricle", "fourth-ventricle"} if name == "ventricles" else set()
    table = read_truth(archive.cohort)
    columns = [n for n in NAMES if n.removeprefix("left-").removeprefix("right-") in ours]
    return np.log(np.sum([table[volume_column(n)].astype(float) for n in columns], axis=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
