"""Compare heads prepared at 4 mm with means of the same heads prepared at 2 mm, and their codes.

OMP_NUM_THREADS=1 python benchmarks/finer_query.py MODEL HEAD...
"""

from __future__ import annotations

import sys

import numpy as np

from braincase.images.geometry import HALF_GRID, STANDARD_GRID, downsampled
from braincase.images.volume import read_volume
from braincase.models.open_encoder import open_encoder
from braincase.preprocess.prepare_volume import prepare_volume


def main() -> None:
    model, *heads = sys.argv[1:]
    encoder = open_encoder(model)
    for head in heads:
        scan = read_volume(head)
        fine, direct = (prepare_volume(scan, grid).volume for grid in (STANDARD_GRID, HALF_GRID))
        means = downsampled(fine, 2)
        apart = np.abs(means.astype(int) - direct)
        codes = encoder.embed(np.stack([means, direct]))
        print(
            f"{head}: {apart.max()} grey level at most, {(apart > 0).mean():.1%} of voxels; codes"
            f" {np.linalg.norm(codes[0] - codes[1]):.3f} apart, {np.linalg.norm(codes[1]):.2f} long"
        )


if __name__ == "__main__":
    main()
