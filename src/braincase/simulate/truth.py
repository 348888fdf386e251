"""The truth of a simulated cohort: region volumes, severity, and where the lesions are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import label

from braincase.cohort.cohort import Cohort
from braincase.cohort.derivatives import IMAGE_ENDING, image_path, sidecar_path, write_image
from braincase.errors import CohortError, ScanError
from braincase.files import atomic_write, read_json
from braincase.images.geometry import Grid, apply_affine
from braincase.json_values import Json
from braincase.labels import TRUE_SEVERITY
from braincase.simulate.imaging import Simulated
from braincase.sources.scan import Scan
from braincase.volumetry.regions import NAMES

#: The table of truths beside the images.
TRUTH_FILE = "truth.tsv"
#: BIDS's name of a lesion mask beside an image.
MASK_ENDING = "_label-lesion_mask.nii.gz"


def volume_column(region: str) -> str:
    """Return the column of a region's true volume: `true_left_hippocampus_mm3`."""
    return f"true_{region.replace('-', '_')}_mm3"


def true_labels(simulated: Simulated, severity: float, grid: Grid) -> dict[str, float | None]:
    """Return what the cohort's own table says is true of a scan; places in MNI RAS+ mm, or none."""
    volumes = dict(zip(NAMES, simulated.volumes_mm3, strict=True))

    def both_sides(region: str) -> float:
        return round(float(sum(volumes[f"{side}-{region}"] for side in ("left", "right"))), 1)

    centre = largest_lesion_centre(simulated.lesion, grid)
    place = [None] * 3 if centre is None else [round(float(p), 1) for p in centre]
    return {
        TRUE_SEVERITY: round(severity, 4),
        "true_hippocampus_mm3": both_sides("hippocampus"),
        "true_ventricles_mm3": both_sides("lateral-ventricle"),
        "true_lesion_mm3": round(simulated.lesion_mm3, 1),
        **{f"true_lesion_{axis}_mm": where for axis, where in zip("ras", place, strict=True)},
    }


def largest_lesion_centre(lesion: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64] | None:
    """Return the centre (MNI mm) of the largest connected lesion, or none."""
    parts, n_parts = label(lesion)
    if not n_parts:
        return None
    largest = 1 + int(np.bincount(parts.ravel())[1:].argmax())
    centre = np.argwhere(parts == largest).mean(axis=0)
    return np.asarray(apply_affine(grid.affine, centre[None])[0])


def true_volumes(simulated: Simulated) -> dict[str, Json]:
    """Return the true volume of every region, by column."""
    volumes = zip(NAMES, simulated.volumes_mm3, strict=True)
    return {volume_column(name): round(float(volume), 1) for name, volume in volumes}


def mask_path(image: Path) -> Path:
    """Return where the lesion mask of an image lies."""
    return image.with_name(image.name.removesuffix(IMAGE_ENDING) + MASK_ENDING)


def write_mask(image: Path, lesion: NDArray[np.bool_], grid: Grid) -> None:
    """Write a lesion mask beside its image; none when there is no lesion."""
    if lesion.any():
        write_image(mask_path(image), lesion.astype(np.uint8), grid)


def write_truth(cohort: Cohort) -> None:
    """Write who is who and what is true of each scan beside the images, as `TRUTH_FILE`."""
    who = ["scan_id", "subject", "session", "diagnosis", "age", "sex", "scanner", "design"]
    rows = [_truth_of(image) for image in _images(cohort)]
    true = [name for name in cohort.table if str(name).startswith("true_")]
    table = cohort.table[[*who, *true]]
    joined = pd.concat([table.reset_index(drop=True), pd.DataFrame(rows)], axis=1)
    with atomic_write(cohort.folder / TRUTH_FILE) as aside:
        joined.to_csv(aside, sep="\t", index=False, na_rep="n/a")


def read_truth(cohort: Cohort) -> pd.DataFrame:
    """Read the truth of a simulated cohort, one row a scan in the order of its table.

    Raises
    ------
    CohortError
        If it is no simulated cohort.
    """
    path = cohort.folder / TRUTH_FILE
    if not path.is_file():
        raise CohortError(cohort.folder, f"no {TRUTH_FILE}", "a cohort from `braincase simulate`")
    strings = {"scan_id": str, "subject": str, "session": str}
    table = pd.read_csv(path, sep="\t", na_values="n/a", keep_default_na=False, dtype=strings)
    return table.set_index("scan_id").loc[list(cohort.table["scan_id"])].reset_index()


def lesion_masks(cohort: Cohort, rows: Sequence[int] | NDArray[np.intp]) -> NDArray[np.bool_]:
    """Read the true lesion masks of some rows of a simulated cohort.

    Returns
    -------
    bool of shape (rows, *grid.shape); all False where a scan has no lesion.
    """
    images = _images(cohort)
    masks = np.zeros((len(rows), *cohort.grid.shape), bool)
    for place, row in enumerate(rows):
        path = mask_path(images[int(row)])
        if path.is_file():
            masks[place] = np.asarray(nibabel.load(path).dataobj) > 0
    return masks


def _images(cohort: Cohort) -> list[Path]:
    scans = zip(cohort.table["subject"], cohort.table["session"], strict=True)
    return [image_path(cohort.folder, cohort.grid, Scan(cohort.folder, *who)) for who in scans]


def _truth_of(image: Path) -> dict[str, Json]:
    content = read_json(sidecar_path(image), ScanError, "Simulate this cohort again.")
    truth = content.get("Truth", {})
    return dict(truth) if isinstance(truth, dict) else {}
