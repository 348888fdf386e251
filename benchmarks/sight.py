"""What a cell sees, and whether a change inside a part of the brain shows there (occlusion).

    braincase demo demo --folds 5
    python benchmarks/sight.py demo

For the first fold's three models (simulated people): the box outside which nothing matters to a
number of the code, the share of its squared gradient within the cell and around it, and for each
of ten parts of the brain, darkened by 40 % in 20 people, whose share of the squared distance moves
most.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from braincase.cohort.cohort import open_cohort
from braincase.images.atlas import label_volume
from braincase.models.attribution import receptive_field
from braincase.models.embed import embedder
from braincase.models.model import load_model
from braincase.volumetry.code_layout import regions_of_code

PARTS = [
    f"{side}-{part}"
    for part in ("frontal", "parietal", "temporal", "occipital", "cerebellum")
    for side in ("left", "right")
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("demo", type=Path)
    demo = parser.parse_args().demo
    cohort = open_cohort(demo / "cohort")
    labels, names = label_volume(cohort.grid)
    before = cohort.volumes[np.arange(0, 80, 4)]
    for settings in ("plain", "ddcml", "braincase"):
        model = load_model(demo / "models" / f"{settings}-fold0")
        field = receptive_field(model, before[:10])
        print(
            f"{settings}: box {field.extent_mm[0]:.0f} mm; own cell {field.within():.2f},"
            f" 3x3x3 {field.within(steps=1):.2f}, 5x5x5 {field.within(steps=2):.2f}"
        )
        embed, right = embedder(model), 0
        codes = embed(before)
        regions = regions_of_code(codes.shape[1])
        for part in PARTS:
            members = {regions.names[i] for i in regions.members(part)}
            inside = np.isin(labels, [i for i, name in enumerate(names) if name in members])
            after = embed(np.where(inside, before * 0.6, before).astype(np.uint8))
            moved = ((after - codes) ** 2).mean(axis=0) @ regions.shares
            shares = {name: moved[regions.members(name)].sum() / moved.sum() for name in PARTS}
            most = max(shares, key=shares.__getitem__)
            right += most == part
            print(f"  {part}: most in {most} ({shares[most]:.2f}; itself {shares[part]:.2f})")
        print(f"  {right} of {len(PARTS)}")


if __name__ == "__main__":
    main()
