"""Does 'no similar case' keep its promise, can the neighbours be believed, is a person recognised?

    braincase demo demo --folds 5
    python benchmarks/typicality.py demo

The models of the demo's five folds are asked about people they never saw (simulated). Printed:

- how often a held-out person falls below a p-value (should be as often as the p-value says);
- how often something else than an upright T1-weighted brain does (should be always);
- how often a calibrated probability is right (reliability), with Brier scores;
- how often a changed image of somebody in the gallery is recognised as that person.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braincase.cohort.cohort import Cohort, open_cohort
from braincase.evaluate import open_study
from braincase.gallery import Gallery, NewCase, Query, create_gallery
from braincase.models.embed import embedder
from braincase.models.model import load_model
from braincase.population.neighbour_labels import calibrate, neighbour_labels
from braincase.population.typicality import ALPHA, nearest_distances, typicality
from braincase.search.nearest import search

Volume = NDArray[np.uint8]
LEVELS = (0.01, 0.05, 0.10, 0.20)
K = 10
PATIENTS = "diagnosis = 'AD'"
#: Held-out people of a fold that each change is tried on.
TRIED = 40


def turned(volume: Volume, degrees: float) -> Volume:
    return ndimage.rotate(volume, degrees, axes=(1, 2), reshape=False, order=1)


def moved(volume: Volume, millimetres: float) -> Volume:
    return ndimage.shift(volume, (0, 0, millimetres / 4), order=1)


def swollen(volume: Volume, factor: float) -> Volume:
    centre = (np.array(volume.shape) - 1) / 2
    return ndimage.affine_transform(
        volume, np.eye(3) / factor, centre - centre / factor, order=1
    ).astype(np.uint8)


def inverted(volume: Volume) -> Volume:
    """The contrast of a T2-weighted image: fluid bright, white matter dark."""
    return np.where(volume > 0, 255 - volume, 0).astype(np.uint8)


def noise(volume: Volume) -> Volume:
    inside = np.random.default_rng(0).permutation(volume[volume > 0])
    shuffled = volume.copy()
    shuffled[volume > 0] = inside
    return shuffled


def box(volume: Volume) -> Volume:
    solid = np.zeros_like(volume)
    solid[8:-8, 8:-8, 8:-8] = 150
    return solid


def half(volume: Volume) -> Volume:
    """One hemisphere lost."""
    one_side = volume.copy()
    one_side[: volume.shape[0] // 2] = 0
    return one_side


ODD: dict[str, Callable[[Volume], Volume]] = {
    "left and right exchanged": lambda v: v[::-1],
    "front and back exchanged": lambda v: v[:, ::-1],
    "upside down": lambda v: v[:, :, ::-1],
    "registered 8 mm off": lambda v: moved(v, 8),
    "registered 16 mm off": lambda v: moved(v, 16),
    "turned by 10 degrees": lambda v: turned(v, 10),
    "turned by 20 degrees": lambda v: turned(v, 20),
    "20 % too large": lambda v: swollen(v, 1.2),
    "20 % too small": lambda v: swollen(v, 0.8),
    "contrast inverted, as T2": inverted,
    "one hemisphere missing": half,
    "brain voxels shuffled": noise,
    "a solid box": box,
}
SAME: dict[str, Callable[[Volume], Volume]] = {
    "the same image": lambda v: v,
    "1 % noise": lambda v: grainy(v, 0.01),
    "5 % noise": lambda v: grainy(v, 0.05),
    "5 % brighter": lambda v: np.clip(v * 1.05, 0, 255).astype(np.uint8),
    "smoothed by 4 mm": lambda v: ndimage.gaussian_filter(v, 4 / 2.355 / 4),
    "moved by 1 mm": lambda v: moved(v, 1),
}


def grainy(volume: Volume, share: float) -> Volume:
    rng = np.random.default_rng(0)
    grain = rng.normal(scale=255 * share, size=volume.shape)
    return np.where(volume > 0, np.clip(volume + grain, 1, 255), 0).astype(np.uint8)


def one_each(rows: NDArray[np.intp], subjects: NDArray[np.str_]) -> NDArray[np.intp]:
    shuffled = np.random.default_rng(0).permutation(rows)
    _, first = np.unique(subjects[shuffled], return_index=True)
    return shuffled[first]


def filled(
    folder: Path, cohort: Cohort, codes: NDArray[np.float32], rows: NDArray[np.intp]
) -> Gallery:
    gallery = create_gallery(folder, "model", cohort.grid.resolution_mm, codes.shape[1])
    table = cohort.table.iloc[rows]
    labels = table[["diagnosis", "age", "sex"]].to_dict("records")
    gallery.add(
        [
            NewCase(scan, subject, code, labels=own)
            for scan, subject, code, own in zip(
                table["scan_id"], table["subject"], codes[rows], labels, strict=True
            )
        ],
        "model",
    )
    return gallery


def folds_of(demo: Path, settings: str) -> Iterator[dict[str, NDArray]]:
    """Ask each fold's model about its held-out people; yield all that is printed."""
    cohort = open_cohort(demo / "cohort")
    study = open_study(cohort, "diagnosis", ("CN", "AD"), 5, 5, 0)
    subjects = cohort.table["subject"].to_numpy(dtype=str)
    truth = cohort.table["diagnosis"].to_numpy(dtype=str)
    for number, fold in enumerate(study.folds):
        embed = embedder(load_model(demo / "models" / f"{settings}-fold{number}"))
        codes = embed(cohort.volumes[np.arange(len(cohort))])
        queries = one_each(fold.test, subjects)
        with tempfile.TemporaryDirectory() as folder:
            gallery = filled(Path(folder) / "g", cohort, codes, fold.train)
            null = nearest_distances(gallery, most_people=10_000)
            scores = {"p": p_values(gallery, codes[queries], null)}
            patients = nearest_distances(gallery, most_people=10_000, where=PATIENTS)
            scores["p among patients"] = p_values(gallery, codes[queries], patients, PATIENTS)
            volumes = cohort.volumes[queries[:TRIED]]
            for name, change in ODD.items():
                changed = embed(np.stack([np.ascontiguousarray(change(v)) for v in volumes]))
                scores[name] = p_values(gallery, changed, null)
            scores |= believed(gallery, codes[queries], truth[queries])
            scores["stranger taken for somebody"] = np.array(
                [
                    search(gallery, Query(codes[row], "model", k=1)).subject_detected
                    for row in queries
                ]
            )
            members = one_each(fold.train, subjects)[:TRIED]
            for name, change in SAME.items():
                near = embed(
                    np.stack([np.ascontiguousarray(change(v)) for v in cohort.volumes[members]])
                )
                scores[f"same: {name}"] = np.array(
                    [
                        search(gallery, Query(code, "model", k=1)).own_subject == subjects[row]
                        for code, row in zip(near, members, strict=True)
                    ]
                )
            visits = [
                row for row in fold.train if (subjects[fold.train] == subjects[row]).sum() > 1
            ]
            scores["same: the person's other visit"] = np.array(
                [rescanned(gallery, cohort, codes, row) for row in visits[:TRIED]]
            )
            gallery.close()
        yield scores


def p_values(
    gallery: Gallery, codes: NDArray[np.float32], null: NDArray[np.float64], where: str = ""
) -> NDArray[np.float64]:
    nearest = [float(gallery.nearest(code, 1, where=where).distances[0]) for code in codes]
    return np.array([typicality(distance, null).p_value for distance in nearest])


def rescanned(gallery: Gallery, cohort: Cohort, codes: NDArray[np.float32], row: int) -> bool:
    """Take one visit of a person out, ask with it, put it back."""
    scan_id, subject = cohort.table["scan_id"].iloc[row], cohort.table["subject"].iloc[row]
    case = gallery.get(scan_id)
    gallery.remove([scan_id])
    recognised = search(gallery, Query(codes[row], "model", k=1)).own_subject == subject
    gallery.add([NewCase(scan_id, subject, case.code, labels=case.labels)], "model")
    return recognised


def believed(
    gallery: Gallery, codes: NDArray[np.float32], truth: NDArray[np.str_]
) -> dict[str, NDArray]:
    """Return the share of AD among the neighbours, its probability, and who has it."""
    calibration = calibrate(gallery, "diagnosis", K, most_people=10_000)
    shares, probabilities = [], []
    for code in codes:
        hits = search(gallery, Query(code, "model", k=K, subject="nobody")).hits
        labels = neighbour_labels(hits, "diagnosis", calibration)
        shares.append({s.label: s.share for s in labels.shares}.get("AD", 0.0))
        assert labels.probabilities is not None
        probabilities.append(labels.probabilities["AD"])
    among_themselves = np.array([calibration.brier_before, calibration.brier_after])
    return {
        "share": np.array(shares),
        "probability": np.array(probabilities),
        "ill": truth == "AD",
        "among themselves": among_themselves[None],
    }


def print_reliability(name: str, said: NDArray[np.float64], ill: NDArray[np.bool_]) -> None:
    edges = np.array([0, 0.2, 0.4, 0.6, 0.8, 1.0001])
    place = np.digitize(said, edges) - 1
    off = 0.0
    for i in range(5):
        chosen = place == i
        if chosen.any():
            mean, true = said[chosen].mean(), ill[chosen].mean()
            off += chosen.mean() * abs(mean - true)
            between = f"{edges[i]:.1f} to {min(edges[i + 1], 1):.1f}"
            print(f"| {name} | {between} | {chosen.sum()} | {mean:.2f} | {true:.2f} |")
    brier = 2 * ((said - ill) ** 2).mean()
    print(f"{name}: expected calibration error {off:.3f}, Brier score {brier:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("demo", type=Path)
    parser.add_argument("--settings", default="braincase")
    arguments = parser.parse_args()
    folds = list(folds_of(arguments.demo, arguments.settings))
    joined = {name: np.concatenate([fold[name] for fold in folds]) for name in folds[0]}
    print(f"{arguments.settings}, {len(joined['p'])} held-out people (simulated)")
    for level in LEVELS:
        print(f"| held-out people with p < {level:.2f} | {(joined['p'] < level).mean():.3f} |")
    for kind, of in (("healthy", ~joined["ill"]), ("with AD", joined["ill"])):
        unlike = (joined["p among patients"][of] < ALPHA).mean()
        print(f"| {of.sum()} {kind}, searched with {PATIENTS}: p < {ALPHA} | {unlike:.3f} |")
    n = len(joined["upside down"])
    print(f"\n'No similar case' (p < {ALPHA}) of {n} changed held-out people:")
    for name in ODD:
        print(f"| {name} | {(joined[name] < ALPHA).mean():.2f} |")
    print()
    print_reliability("share", joined["share"], joined["ill"])
    print_reliability("probability", joined["probability"], joined["ill"])
    before, after = joined["among themselves"].mean(axis=0)
    print(f"the gallery's own people: Brier score {before:.3f} of shares, {after:.3f} calibrated")
    print("\nRecognised as the person they are:")
    for name in joined:
        if name.startswith("same: "):
            print(f"| {name[6:]} | {joined[name].mean():.2f} of {len(joined[name])} |")
    stranger = joined["stranger taken for somebody"]
    print(f"| a stranger taken for somebody | {stranger.mean():.3f} of {len(stranger)} |")


if __name__ == "__main__":
    main()
