"""How well region volumes are read off real heads: the code's, measured ones, and label maps.

Six heads of IXI have a DLMUSE label map, one of AOMIC has FreeSurfer's aseg; their volumes are
brought to the size of the standard brain by the determinant of the head's affine. 48 skull-stripped
brains of ds002748 have none: there the code is compared with our own measurement by registration,
which is agreement and no truth. Simulated people nobody taught it with stand beside. FOLDER is that
of ``braincase bench FOLDER``; the heads are looked for in BRAINCASE_DATA or ../shared/data.

    python benchmarks/real_readout.py FOLDER

Four ways to a volume: *read-out*, the local code's fixed weights; *ridge*, a linear read-out of all
numbers of the starter model's code, fitted on the simulated training people; *registration*,
`braincase.volumetry.measure`; *mask*, the amount of a region's tissue in the atlas's own mask.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import preprocess_heads as heads
from braincase.bench.archive import archive_of
from braincase.cohort.cohort import open_cohort
from braincase.cohort.region_volumes import REGION_VOLUMES, cohort_region_volumes
from braincase.images.geometry import HALF_GRID, mean_of_blocks
from braincase.images.tissue import image_shares, tissue_intensities
from braincase.images.volume import read_volume
from braincase.models.open_encoder import open_encoder
from braincase.models.starter import STARTER
from braincase.population.volume_norms import MEASURES
from braincase.preprocess.prepare_volume import prepare_volume
from braincase.simulate.atrophy import load_effects_table
from braincase.simulate.truth import read_truth, volume_column
from braincase.volumetry.code_layout import volumes_of_code
from braincase.volumetry.measure import region_volumes
from braincase.volumetry.readout import read_out, volumes_mm3
from braincase.volumetry.regions import FLUID, NAMES, plain_name, symmetric_label, tissues_of

Volumes = NDArray[np.float64]
WAYS = ("read-out", "ridge", "registration", "mask")
#: The six are 23 to 51 years old.
YOUNG = 55
SUBCORTICAL = ("thalamus", "caudate", "putamen", "pallidum", "accumbens", "ventral-diencephalon")
NO_CORTEX = (
    *("hippocampus", "amygdala", *SUBCORTICAL, *FLUID, "brain-stem", "corpus-callosum"),
    *("cerebellar-cortex", "cerebellar-white-matter", "cerebral-white-matter"),
)
CORTEX = tuple(dict.fromkeys(plain_name(n) for n in NAMES if plain_name(n) not in NO_CORTEX))
#: Which regions, of both sides, each group joins.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "hippocampi": ("hippocampus",),
    "amygdalae": ("amygdala",),
    "hippocampal surroundings": ("amygdala", "entorhinal", "parahippocampal"),
    "lateral ventricles": ("lateral-ventricle",),
    "inferior horns": ("inferior-horn",),
    "third ventricle": ("third-ventricle",),
    "fourth ventricle": ("fourth-ventricle",),
    "cortex": CORTEX,
    "deep grey matter": SUBCORTICAL,
    "whole grey matter": ("hippocampus", "amygdala", *SUBCORTICAL, *CORTEX),
    "cerebral white matter": ("cerebral-white-matter",),
    "cerebellum": ("cerebellar-cortex", "cerebellar-white-matter"),
    "brain stem": ("brain-stem",),
}
#: Labels of FreeSurfer's aseg; its cortex is one label, so parts of it have none.
ASEG: Mapping[str, tuple[int, ...]] = {
    "hippocampi": (17, 53),
    "amygdalae": (18, 54),
    "lateral ventricles": (4, 43, 31, 63),
    "inferior horns": (5, 44),
    "third ventricle": (14,),
    "fourth ventricle": (15,),
    "cortex": (3, 42),
    "deep grey matter": (10, 49, 11, 50, 12, 51, 13, 52, 26, 58, 28, 60),
    "whole grey matter": (17, 53, 18, 54, 3, 42, 10, 49, 11, 50, 12, 51, 13, 52, 26, 58, 28, 60),
    "cerebral white matter": (2, 41),
    "cerebellum": (7, 46, 8, 47),
    "brain stem": (16,),
}


@dataclass(frozen=True, eq=False)
class People:
    """Log volumes of people in every way, mm3 at the size of the standard brain; (people, 78)."""

    ways: Mapping[str, Volumes]
    truth: Volumes | None = None


def main(folder: Path) -> None:
    simulated, reader = simulated_people(folder)
    print("Volumes of IXI's label maps (DLMUSE), real. Six heads say little: r of six is")
    print("beyond chance (5 %) from 0.81 on.\n")
    labelled = heads.labelled_heads()
    images = [prepared(head) for head in labelled]
    six = [head.name.startswith("IXI") for head in labelled].count(True)
    ixi = people_of([image for image, _ in images[:six]], reader)
    truth = np.log([dlmuse(h, size) for h, (_, size) in zip(labelled, images[:six], strict=False)])
    tell_truth(People(ixi.ways, truth))
    print("\nThe volumes that every answer tells, the same six: error without bias / Pearson\n")
    tell_told(ixi.ways, truth)
    print("\nDifference from FreeSurfer's aseg of one head of AOMIC, %, real\n")
    tell_one(labelled[six], images[six][1], people_of([images[six][0]], reader))
    print("\nSimulated query people, true volumes\n")
    tell_truth(simulated)
    print("\nWhy: ranges in ml, and the read-out's r with the label maps as it is and after each")
    print(
        "head's three tissue intensities are brought to the simulated people's mean; moved: by how"
    )
    print("much % the read-out changes when a head is moved by 1 mm along an axis\n")
    tell_why(folder, [image for image, _ in images[:six]], ixi, truth)
    stripped = [prepared(head)[0] for head in heads.stripped_heads()]
    print(
        f"\nAgreement (Spearman) with our registration, {len(stripped)} real brains without labels"
    )
    print("(ds002748): no truth. Beside it the same of the simulated people.\n")
    tell_agreement(people_of(stripped, reader), simulated)


def prepared(head: heads.Head) -> tuple[NDArray[np.uint8], float]:
    """Return a head on the standard grid, and by how much its affine makes it larger."""
    print(f"  {head.name}", file=sys.stderr, flush=True)
    done = prepare_volume(heads.read(head), HALF_GRID)
    return done.volume, float(np.linalg.det(done.native_to_mni[:3, :3]))


def simulated_people(folder: Path) -> tuple[People, object]:
    """Fit the ridge on the training people of a benchmark; return its query people, and it."""
    cohort = open_cohort(folder / "cohort")
    splits = archive_of(cohort, "bench", 0).splits
    table = read_truth(cohort)
    truth = np.log(np.stack([table[volume_column(n)] for n in NAMES], axis=1).astype(float))
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 4, 11), alpha_per_target=True))
    reader = model.fit(codes_of(cohort.volumes[splits.train]), truth[splits.train])
    images, query = cohort.volumes[splits.query], splits.query
    measured = cohort_region_volumes(cohort, folder / "cohort" / REGION_VOLUMES, 1, query)
    return People(ways_of(images, reader, measured), truth[query]), reader


def people_of(images: Sequence[NDArray[np.uint8]], reader: object) -> People:
    measured = np.stack([region_volumes(image, HALF_GRID) for image in images])
    return People(ways_of(np.stack(images), reader, measured))


def ways_of(
    images: NDArray[np.uint8], reader: object, measured: NDArray[np.float32]
) -> Mapping[str, Volumes]:
    codes = codes_of(images)
    by_mask = np.stack([tissue_in_masks(image) for image in images])
    read = [list(volumes_of_code(code).values()) for code in codes]
    logs = np.log(read), reader.predict(codes), np.log(measured), np.log(by_mask)
    return dict(zip(WAYS, logs, strict=True))


def codes_of(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = np.array_split(images, 1 + len(images) // 60)
    return np.concatenate([_encoder().embed(part) for part in parts])


@cache
def _encoder() -> object:
    return open_encoder(STARTER)


def tissue_in_masks(image: NDArray[np.uint8]) -> Volumes:
    """Return how much of each region's tissue lies in the atlas's own mask of it, mm3."""
    shares = image_shares(image, HALF_GRID).reshape(3, -1)
    masks, tissues = _masks()
    amounts = (tissues * (masks @ shares.T)).sum(axis=1)
    return np.maximum(amounts * HALF_GRID.resolution_mm**3, 1.0)


@cache
def _masks() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    maps = [mean_of_blocks(symmetric_label(name), 2).ravel() for name in NAMES]
    return np.stack(maps), np.array([tissues_of(plain_name(name)) for name in NAMES], np.float32)


def counted(head: heads.Head, name: str) -> tuple[NDArray[np.intp], float]:
    """Return how many voxels each label of a label map has, and the volume of one in mm3."""
    labels = read_volume(head.path.with_name(name))
    counts = np.bincount(np.rint(labels.data).astype(np.intp).ravel(), minlength=1000)
    return counts, float(abs(np.linalg.det(labels.affine[:3, :3])))


def dlmuse(head: heads.Head, size: float) -> Volumes:
    """Return the volumes of a head's DLMUSE map at the size of the standard brain, mm3."""
    assert head.labels
    counts, voxel = counted(head, head.labels.name)
    ids = [[int(i) for i in str(s).split("+")] for s in load_effects_table()["source"]]
    return np.array([max(counts[numbers].sum(), 1) * voxel * size for numbers in ids])


def group_logs(logs: Volumes, group: str) -> Volumes:
    """Return the log of a group's volume, shape (people,)."""
    members = [i for i, name in enumerate(NAMES) if plain_name(name) in GROUPS[group]]
    return np.asarray(np.log(np.exp(logs[:, members]).sum(axis=1)))


def without_bias(difference: Volumes) -> Volumes:
    """Take off each person's difference the mean of all others'; the first axis is people."""
    n = len(difference)
    return (difference - difference.mean(axis=0)) * (n / (n - 1))


def percent(logs: Volumes) -> float:
    """Return the mean size of relative differences, of differences of logs, as percent."""
    return float(100 * np.abs(np.expm1(logs)).mean())


def tell_truth(people: People) -> None:
    """Print, by group and way: error, error without the ways' mean ratio, Pearson, Spearman."""
    assert people.truth is not None
    print(f"{len(people.truth)} people. Each way: mean error in % / the same after taking off the")
    print("mean ratio of the others, since atlases differ / Pearson / Spearman. Guess: the error")
    print("without bias of who says the mean volume of the others.\n")
    print(f"| group | guess | {' | '.join(WAYS)} |\n|---|---|{'---|' * len(WAYS)}")
    for group in GROUPS:
        true = group_logs(people.truth, group)
        cells = [cell(group_logs(people.ways[way], group), true) for way in WAYS]
        print(f"| {group} | {percent(without_bias(true)):.1f} | {' | '.join(cells)} |")
    guess = percent(without_bias(people.truth))
    cells = [pooled(people.ways[way], people.truth) for way in WAYS]
    print(f"| all 78 regions, pooled | {guess:.1f} | {' | '.join(cells)} |")


def cell(ours: Volumes, true: Volumes) -> str:
    r, rho = np.corrcoef(ours, true)[0, 1], spearmanr(ours, true).statistic
    left = percent(without_bias(ours - true))
    return f"{percent(ours - true):.1f} / {left:.1f} / {r:.2f} / {rho:.2f}"


def pooled(ours: Volumes, true: Volumes) -> str:
    """Return the same of all regions together, each region's mean taken off."""
    a, b = ((x - x.mean(axis=0)).ravel() for x in (ours, true))
    left = percent(without_bias(ours - true))
    r, rho = np.corrcoef(a, b)[0, 1], spearmanr(a, b).statistic
    return f"{percent(ours - true):.1f} / {left:.1f} / {r:.2f} / {rho:.2f}"


def tell_told(ways: Mapping[str, Volumes], truth: Volumes) -> None:
    """Print how well the volumes of an answer (`population.volume_norms`) are read."""
    print("| volume | guess | read-out | registration |\n|---|---|---|---|")
    for name, regions in MEASURES.items():
        members = [NAMES.index(region) for region in regions]
        true, *ours = (
            np.log(np.exp(logs[:, members]).sum(axis=1))
            for logs in (truth, ways["read-out"], ways["registration"])
        )
        cells = [
            f"{percent(without_bias(x - true)):.1f} / {np.corrcoef(x, true)[0, 1]:.2f}"
            for x in ours
        ]
        print(f"| {name} | {percent(without_bias(true)):.1f} | {' | '.join(cells)} |")


def tell_why(
    folder: Path, images: Sequence[NDArray[np.uint8]], people: People, truth: Volumes
) -> None:
    """Print whether the six are like people that the read-out was taught with."""
    cohort = open_cohort(folder / "cohort")
    query = archive_of(cohort, "bench", 0).splits.query
    usual = np.mean([intensities(image) for image in cohort.volumes[query]], axis=0)
    matched = [with_contrast(image, usual) for image in images]
    again = read_off(np.stack(matched))
    moved = [read_off(shifted(np.stack(images), axis, way)) for axis in range(3) for way in (1, -1)]
    table = read_truth(cohort)
    young = (cohort.table["diagnosis"] == "CN") & (cohort.table["age"] < YOUNG)
    taught = np.log(table.loc[young.to_numpy(), [volume_column(n) for n in NAMES]].astype(float))
    heading = ("group", "the six", f"simulated controls under {YOUNG}, 5 to 95 %",
               "read-out of the six", "r", "r, contrast matched", "moved")  # fmt: skip
    print(f"| {' | '.join(heading)} |\n|{'---|' * len(heading)}")
    for group in GROUPS:
        true, read = group_logs(truth, group), group_logs(people.ways["read-out"], group)
        usually = np.quantile(group_logs(taught.to_numpy(), group), [0.05, 0.95])
        ranges = [f"{np.exp(x.min()) / 1000:.2f} to {np.exp(x.max()) / 1000:.2f}"
                  for x in (true, usually, read)]  # fmt: skip
        rs = [np.corrcoef(x, true)[0, 1] for x in (read, group_logs(again, group))]
        change = np.mean([percent(group_logs(logs, group) - read) for logs in moved])
        cells = [*ranges, *(f"{r:.2f}" for r in rs), f"{change:.1f}"]
        print(f"| {group} | {' | '.join(cells)} |")


def read_off(images: NDArray[np.uint8]) -> Volumes:
    """Return the log volumes that the local code's weights read, shape (people, 78)."""
    return np.log(volumes_mm3(read_out(images, HALF_GRID)[:, : len(NAMES)]))


def shifted(images: NDArray[np.uint8], axis: int, mm: float) -> NDArray[np.uint8]:
    """Move images along an axis."""
    by = np.zeros(4)
    by[axis + 1] = mm / HALF_GRID.resolution_mm
    moved = ndimage.shift(images.astype(np.float32), by, order=3)
    return np.asarray(np.rint(np.clip(moved, 0, 255)), np.uint8)


def intensities(image: NDArray[np.uint8]) -> Volumes:
    """Return the typical intensity of fluid, grey and white matter, shape (3,)."""
    counts = np.bincount(image.ravel(), minlength=256)
    counts[0] = 0
    return tissue_intensities(counts)


def with_contrast(image: NDArray[np.uint8], wanted: Volumes) -> NDArray[np.uint8]:
    """Move an image's tissue intensities to those wanted, linearly between them."""
    table = np.interp(np.arange(256), [0, *intensities(image), 255], [0, *wanted, 255])
    return np.asarray(np.rint(table), np.uint8)[image]


def tell_one(head: heads.Head, size: float, person: People) -> None:
    counts, voxel = counted(head, "aseg.mgz")
    print(f"| group | aseg, ml | {' | '.join(WAYS)} |\n|---|---|{'---|' * len(WAYS)}")
    for group, numbers in ASEG.items():
        mm3 = counts[list(numbers)].sum() * voxel * size
        apart = [np.exp(group_logs(person.ways[w], group)[0]) / mm3 - 1 for w in WAYS]
        print(f"| {group} | {mm3 / 1000:.2f} | {' | '.join(f'{100 * a:+.0f}' for a in apart)} |")


def tell_agreement(people: People, simulated: People) -> None:
    others = ("read-out", "ridge", "mask")
    columns = [*others, *(f"{way}, simulated" for way in others)]
    print(f"| group | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for group in GROUPS:
        rhos = [
            spearmanr(
                group_logs(some.ways[way], group), group_logs(some.ways["registration"], group)
            ).statistic
            for some in (people, simulated)
            for way in others
        ]
        print(f"| {group} | {' | '.join(f'{rho:.2f}' for rho in rhos)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
