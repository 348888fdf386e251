"""Preprocessing: accuracy, capture range, invariance and speed, on the shared heads.

    OMP_NUM_THREADS=1 python benchmarks/preprocess.py masks
    OMP_NUM_THREADS=1 python benchmarks/preprocess.py capture --starts 200
    OMP_NUM_THREADS=1 python benchmarks/preprocess.py truth --heads 20
    OMP_NUM_THREADS=1 python benchmarks/preprocess.py invariance
    OMP_NUM_THREADS=1 python benchmarks/preprocess.py quality
    OMP_NUM_THREADS=1 python benchmarks/preprocess.py speed
    OMP_NUM_THREADS=1 python benchmarks/preprocess.py ants --python /tmp/ants-venv/bin/python

Times are of the processor (one thread), so that a busy machine disturbs little. Real heads are
looked for in BRAINCASE_DATA or ../shared/data. `ants` runs antspyx (N4, then SyN to the template
for the mask) in an environment of its own, on the labelled heads only.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy import ndimage

import preprocess_heads as heads
from braincase.images.geometry import STANDARD_GRID, apply_affine
from braincase.images.volume import Volume, read_volume, write_volume
from braincase.preprocess.prepare_volume import Prepared, prepare_volume
from braincase.preprocess.quality.verdict import judge, screen
from braincase.preprocess.space.template import load_template
from braincase.simulate.head import Pose, Scanning, random_pose, simulate_head

#: A start counts as recovered when the brain lies this near, on average, mm.
RECOVERED_MM = 5.0
#: Signals that leave only what is inside the skull.
INSIDE_SKULL = dict.fromkeys(
    ("air", "bone", "marrow", "fat", "muscle", "skin", "eye"), 0.0
) | dict.fromkeys(("csf", "gm", "wm"), 1.0)
#: Corners of the box around the template's brain, MNI mm.
BRAIN_BOX = np.array(list(product((-72, 72), (-107, 73), (-72, 82))), float)


def masks() -> None:
    """Print the overlap of the brain masks with the label maps."""
    print("| head | Dice | mask, ml | labels, ml | what the labels call brain |")
    print("|---|---|---|---|---|")
    overlaps = []
    for head in heads.labelled_heads():
        assert head.labels
        done = prepare_volume(heads.read(head))
        truth = heads.on_grid(read_volume(head.labels), done.native_to_mni)
        overlaps.append(heads.dice(done.mask, truth))
        ml = done.measured.brain_ml / done.mask.sum()
        definition = next(d for k, d in heads.DEFINITIONS.items() if head.name.startswith(k))
        print(
            f"| {head.name} | {overlaps[-1]:.4f} | {ml * done.mask.sum():.0f} "
            f"| {ml * truth.sum():.0f} | {definition} |"
        )
    print(f"\nmedian {np.median(overlaps):.4f}, lowest {min(overlaps):.4f}")


def truth(count: int, stripped: bool) -> None:
    """Print the errors against simulated heads, whose transform and mask are the truth."""
    print("| head | corners, mm | brain, mm | Dice inside skull | Dice brain surface |")
    print("|---|---|---|---|---|")
    rows = []
    rng = np.random.default_rng(0)
    for seed in range(count):
        pose = random_pose(rng)
        head = simulate_head(seed, pose, Scanning(zooms_mm=(1.5, 1.5, 1.5), stripped=stripped))
        done = prepare_volume(Volume(head.data, head.affine))
        ends = apply_affine(done.native_to_mni @ np.linalg.inv(head.native_to_mni), BRAIN_BOX)
        inside = Volume(_inside_skull(seed, pose, head.brain), head.affine)
        surface = Volume(head.brain.astype(np.float32), head.affine)
        rows.append(
            [
                np.median(np.linalg.norm(ends - BRAIN_BOX, axis=1)),
                heads.displacement_mm(done.native_to_mni, head.native_to_mni, np.eye(4)),
                heads.dice(done.mask, heads.on_grid(inside, done.native_to_mni)),
                heads.dice(done.mask, heads.on_grid(surface, done.native_to_mni)),
            ]
        )
        corners, brain, skull, outer = rows[-1]
        print(f"| {seed} | {corners:.2f} | {brain:.2f} | {skull:.4f} | {outer:.4f} |", flush=True)
    print("\nmedians", " ".join(f"{x:.4f}" for x in np.median(rows, axis=0)))


def _inside_skull(seed: int, pose: Pose, brain: np.ndarray) -> np.ndarray:
    """Return what the simulated skull of the same person encloses: brain and fluid."""
    scanning = Scanning(INSIDE_SKULL, zooms_mm=(1.5, 1.5, 1.5), bias=0, noise=0)
    pieces, _ = ndimage.label(simulate_head(seed, pose, scanning).data > 500)
    return (pieces == np.bincount(pieces[brain]).argmax()).astype(np.float32)


def capture(starts: int, seed: int) -> None:
    """Print how many of many difficult starts end where the undisturbed scan ends."""
    rng = np.random.default_rng(seed)
    kinds: dict[str, list[tuple[float, float]]] = {}
    for kind, name, start, reference in _starts(starts, rng):
        began = time.process_time()
        done = prepare_volume(start.volume)
        seconds = time.process_time() - began
        error = heads.displacement_mm(done.native_to_mni, reference, start.moved, start.mirrored)
        kinds.setdefault(kind, []).append((error, seconds))
        lost = "" if error < RECOVERED_MM else "  <- lost"
        print(f"{name} {start.what}: {error:.2f} mm, {seconds:.1f} s{lost}", flush=True)
    print("\n| starts | recovered | median error, mm | 95 %, mm | CPU s |\n|---|---|---|---|---|")
    kinds["all"] = [row for rows in list(kinds.values()) for row in rows]
    for kind, rows in kinds.items():
        error, seconds = np.array(rows).T
        recovered = (error < RECOVERED_MM).sum()
        print(
            f"| {kind} | {recovered} of {len(rows)} ({recovered / len(rows):.1%}) "
            f"| {np.median(error):.2f} | {np.quantile(error, 0.95):.2f} "
            f"| {np.median(seconds):.1f} |"
        )


def _starts(
    count: int, rng: np.random.Generator
) -> Iterator[tuple[str, str, heads.Perturbed, np.ndarray]]:
    """Yield kind, head, start and undisturbed transform: half poses, a quarter each the rest."""
    everyone = heads.raw_heads() + heads.stripped_heads()[::8]
    references: dict[str, np.ndarray] = {}
    for k in range(count):
        head = everyone[k % len(everyone)]
        volume = heads.read(head)
        if head.name not in references:
            references[head.name] = prepare_volume(volume).native_to_mni
        if k % 2 == 0:
            start = heads.posed(volume, references[head.name], rng)
            kind = "turned to 40 degrees about each axis, shifted to 60 mm, scaled 0.8 to 1.2"
        elif k % 4 == 1:
            start = list(heads.mislabelled(volume))[k // 4 % 48]
            kind = "stored in 48 orientations under one header"
        else:
            headers = list(heads.wrong_headers(volume, rng))
            start = headers[k // 4 % len(headers)]
            kind = "missing or wrong header"
        yield kind, head.name, start, references[head.name]


def invariance() -> None:
    """Print how little the standard volume depends on how the scan is stored and sampled."""
    print(f"{_orientations_alike(heads.read(heads.raw_heads()[0]))} of 48 orientations are alike\n")
    print("| head | change | same voxels | mean difference, of 255 | Dice of masks | mm |")
    print("|---|---|---|---|---|---|")
    for head in (heads.raw_heads()[k] for k in (0, 6, 7, 10)):
        volume = heads.read(head)
        wanted = prepare_volume(volume)
        for what, other in _stored_otherwise(volume):
            _print_difference(f"{head.name} | {what}", prepare_volume(other), wanted)


def _orientations_alike(volume: Volume) -> int:
    """Count in how many orientations, written to a file, a head gives the very same volume."""
    wanted = prepare_volume(volume).volume
    alike = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nii.gz"
        for axes in permutations(range(3)):
            for signs in product((1, -1), repeat=3):
                turn = np.array([*zip(axes, signs, strict=True)], float)
                data = nib.orientations.apply_orientation(volume.data, turn)
                back = nib.orientations.inv_ornt_aff(turn, volume.shape)
                nib.save(nib.Nifti1Image(data, volume.affine @ back), path)
                alike += np.array_equal(prepare_volume(read_volume(path)).volume, wanted)
    return alike


def _stored_otherwise(volume: Volume) -> Iterator[tuple[str, Volume]]:
    """Yield the same head in other orientations, through SimpleITK, and with other voxels."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nii.gz"
        for code in ("PSL", "LIA", "ASR"):
            write_volume(path, volume.data, volume.affine)
            image = sitk.DICOMOrient(sitk.ReadImage(str(path)), code)
            sitk.WriteImage(image, str(path))
            yield f"re-saved by SimpleITK as {code}", read_volume(path)
    for zooms in ((0.7, 0.7, 0.7), (1, 1, 3), (3, 1, 1), (1.5, 1.5, 1.5), (2, 2, 2)):
        if min(volume.zooms_mm) < 1.5 or min(zooms) >= 2:
            yield f"voxels of {zooms} mm", _with_voxels(volume, np.array(zooms, float))


def _with_voxels(volume: Volume, zooms: np.ndarray) -> Volume:
    """Sample a scan anew; along an axis that gets coarser each voxel is a mean over its slice."""
    ratio = zooms / volume.zooms_mm
    data = volume.data
    for axis, r in enumerate(ratio):
        if r > 1:
            data = ndimage.gaussian_filter1d(data, 0.3 * np.sqrt(r**2 - 1), axis)
    shape = tuple(np.floor((np.array(volume.shape) - 1) / ratio).astype(int) + 1)
    data = ndimage.affine_transform(data, ratio, output_shape=shape, order=3)
    return Volume(data.astype(np.float32), volume.affine @ np.diag([*ratio, 1]))


def _print_difference(what: str, changed: Prepared, wanted: Prepared) -> None:
    both = changed.mask & wanted.mask
    difference = np.abs(changed.volume.astype(float) - wanted.volume)[both]
    same = (changed.volume == wanted.volume).mean()
    mm = heads.displacement_mm(changed.native_to_mni, wanted.native_to_mni, np.eye(4))
    overlap = heads.dice(changed.mask, wanted.mask)
    print(
        f"| {what} | {same:.1%} | {difference.mean():.2f} | {overlap:.4f} | {mm:.2f} |", flush=True
    )


def speed(repeats: int) -> None:
    """Print the processor time of a head, from file to standard volume, and the peak memory."""
    began = time.process_time()
    load_template()
    print(f"template, once a process: {time.process_time() - began:.2f} s\n")
    print("| head | voxels | read, s | prepare and judge, s |\n|---|---|---|---|")
    totals = []
    for head in heads.raw_heads() + heads.stripped_heads()[:3]:
        times = []
        for _ in range(repeats):
            marks = [time.process_time()]
            volume = heads.read(head)
            marks.append(time.process_time())
            judge(volume, prepare_volume(volume), STANDARD_GRID)
            marks.append(time.process_time())
            times.append(np.diff(marks))
        reading, preparing = np.min(times, axis=0)
        totals.append(reading + preparing)
        print(f"| {head.name} | {volume.shape} | {reading:.2f} | {preparing:.2f} |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"\nmedian {np.median(totals):.2f} s, largest {max(totals):.2f} s; {peak:.2f} GB resident"
    )


def quality() -> None:
    """Print the range of each quantity that the verdict goes by, of real heads and of others."""
    real = [*heads.raw_heads(), *heads.stripped_heads()]
    groups = {"T1w heads": real, "refused after registration": heads.foreign_images()}
    ranges: dict[str, list[str]] = {}
    for group, images in groups.items():
        rows, grades = [], []
        for head in images:
            volume = heads.read(head)
            if screen(volume) is None:
                verdict = judge(volume, prepare_volume(volume), STANDARD_GRID)
                rows.append(verdict.measures)
                grades.append(verdict.grade)
        print(f"{group}: {len(rows)} of {len(images)} registered; {Counter(grades)}", flush=True)
        for name in rows[0]:
            values = [row[name] for row in rows]
            ranges.setdefault(name, []).append(f"{min(values):.3f} - {max(values):.3f}")
    print(f"\n| quantity | {' | '.join(groups)} |\n|---|---|---|")
    for name, both in ranges.items():
        print(f"| {name} | {' | '.join(both)} |")


def ants(python: Path, names: list[str]) -> None:
    """Print time and overlap of N4 + SyN by antspyx beside ours, on the labelled heads."""
    print(
        "| head | Dice antspyx | Dice ours | affines apart, mm | N4 + SyN, CPU s | ours, CPU s |\n"
        "|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        level = load_template()[2]
        write_volume(folder / "template.nii.gz", level.head, STANDARD_GRID.affine)
        write_volume(folder / "brain.nii.gz", level.mask, STANDARD_GRID.affine)
        for head in heads.labelled_heads():
            if head.name in names:
                _beside_ants(head, folder, python)


def _beside_ants(head: heads.Head, folder: Path, python: Path) -> None:
    assert head.labels
    volume = heads.read(head)
    began = time.process_time()
    done = prepare_volume(volume)
    ours = time.process_time() - began
    write_volume(folder / "head.nii.gz", volume.data, volume.affine)
    script = Path(__file__).with_name("preprocess_ants.py")
    subprocess.run([python, script, folder], capture_output=True, text=True, check=True)
    by_ants = json.loads((folder / "ants.json").read_text())
    mask = heads.on_grid(read_volume(folder / "mask.nii.gz"), done.native_to_mni)
    wanted = heads.on_grid(read_volume(head.labels), done.native_to_mni)
    apart = heads.displacement_mm(np.array(by_ants["native_to_mni"]), done.native_to_mni, np.eye(4))
    print(
        f"| {head.name} | {heads.dice(mask, wanted):.4f} | {heads.dice(done.mask, wanted):.4f} "
        f"| {apart:.1f} | {by_ants['n4_s']:.0f} + {by_ants['syn_s']:.0f} | {ours:.1f} |",
        flush=True,
    )


def main() -> None:
    """Run the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "part", choices=("masks", "truth", "capture", "invariance", "quality", "speed", "ants")
    )
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--heads", type=int, default=20)
    parser.add_argument("--stripped", action="store_true", help="truth of skull-stripped heads")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--python", type=Path, default=Path("/tmp/ants-venv/bin/python"))
    parser.add_argument("--names", nargs="+", default=[h.name for h in heads.labelled_heads()])
    chosen = parser.parse_args()
    {
        "masks": masks,
        "truth": lambda: truth(chosen.heads, chosen.stripped),
        "capture": lambda: capture(chosen.starts, chosen.seed),
        "invariance": invariance,
        "quality": quality,
        "speed": lambda: speed(chosen.repeats),
        "ants": lambda: ants(chosen.python, chosen.names),
    }[chosen.part]()


if __name__ == "__main__":
    main()
