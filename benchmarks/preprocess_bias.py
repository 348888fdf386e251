"""Our N4 beside SimpleITK's, same voxels, mask, iterations and tolerance: time and effect.

    OMP_NUM_THREADS=1 python benchmarks/preprocess_bias.py

On the labelled heads of ../shared/data, on simulated whole heads with a bias field, and on the
template under a given field. One thread; seconds are of the processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

import preprocess_heads as heads
from braincase.images.volume import Volume
from braincase.preprocess.bias import ITERATIONS, SHRINK, TOLERANCE, bias_field
from braincase.preprocess.prepare_volume import prepare_volume
from braincase.preprocess.space import standard
from braincase.preprocess.space.template import load_template
from braincase.simulate.head import Scanning, random_pose, simulate_head

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
#: This much of a tissue makes a voxel that of the tissue.
PURE = 0.9


def itk_field(image: Image, mask: Mask) -> Image:
    """Return the bias field that SimpleITK's N4 finds, median 1 in the mask."""
    scan = sitk.GetImageFromArray(np.ascontiguousarray(image.clip(0).T))
    inside = sitk.GetImageFromArray(np.ascontiguousarray(mask.T.astype(np.uint8)))
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(ITERATIONS)
    n4.SetConvergenceThreshold(TOLERANCE)
    n4.Execute(sitk.Shrink(scan, [SHRINK] * 3), sitk.Shrink(inside, [SHRINK] * 3))
    field = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(scan)).T
    return np.asarray(np.exp(field - np.median(field[mask])), dtype=np.float32)


METHODS: dict[str, Callable[[Image, Mask], Image]] = {"own": bias_field, "SimpleITK": itk_field}


def registered() -> Iterator[tuple[str, Image, Mask]]:
    """Yield heads on the standard grid as they were before their bias field was removed."""
    rng = np.random.default_rng(0)
    volumes = [(head.name, heads.read(head)) for head in heads.labelled_heads()]
    for seed in range(6):
        head = simulate_head(seed, random_pose(rng), Scanning(zooms_mm=(1.5, 1.5, 1.5)))
        volumes.append((f"simulated {seed}", Volume(head.data, head.affine)))
    for name, volume in volumes:
        done = prepare_volume(volume)
        to_voxel = np.linalg.inv(done.native_to_mni @ volume.affine)
        image = standard.to_standard(volume.data, volume.zooms_mm, to_voxel)
        yield name, np.asarray(image, dtype=np.float32), done.mask


def known_field() -> None:
    """Print how much of a given field on the template each method leaves."""
    level = load_template()[2]
    x, y, z = level.points_mm / 80
    field = 0.3 * x + 0.2 * y * z - 0.25 * z**2
    noise = np.random.default_rng(0).normal(0, 0.02, level.brain.shape)
    image = ((level.brain + noise) * np.exp(field) * 700).astype(np.float32)
    for name, method in METHODS.items():
        left = (np.log(method(image, level.mask)) - field)[level.mask]
        print(f"of a given field remains, {name}: {left.std() / field[level.mask].std():.3f}")


def variations(image: Image, mask: Mask) -> tuple[float, float]:
    """Return white matter's coefficient of variation, and the grey-white joint variation."""
    level = load_template()[2]
    white, grey = (image[(tissue > PURE) & mask] for tissue in (level.white, level.grey))
    apart = white.mean() - grey.mean()
    return white.std() / white.mean(), (white.std() + grey.std()) / apart


def main() -> None:
    """Print one row a head and the medians."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    known_field()
    columns = [f"{what} {name}" for name in ("none", *METHODS) for what in ("CoV", "CJV")]
    print("| head |", " | ".join([*columns, "own, s", "SimpleITK, s", "fields differ, %"]), "|")
    rows = []
    for name, image, mask in registered():
        row, fields, seconds = [*variations(image, mask)], [], []
        for method in METHODS.values():
            began = time.process_time()
            fields.append(method(image, mask))
            seconds.append(time.process_time() - began)
            row += variations(image / fields[-1], mask)
        rows.append([*row, *seconds, 100 * np.log(fields[0] / fields[1])[mask].std()])
        print(f"| {name} |", " | ".join(f"{value:.4f}" for value in rows[-1]), "|", flush=True)
    print("| median |", " | ".join(f"{value:.4f}" for value in np.median(rows, axis=0)), "|")


if __name__ == "__main__":
    main()
