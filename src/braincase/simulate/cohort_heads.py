"""The people of a simulated cohort as raw heads: a BIDS data set to be prepared like real scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.files import write_text
from braincase.json_values import Json
from braincase.parallel import run_all
from braincase.simulate.conditions import CONDITIONS
from braincase.simulate.fields import FIELD_GRID
from braincase.simulate.head import USUAL_SIZE, Scanning, random_pose, simulate_head
from braincase.simulate.head_anatomy import (
    FIELD_FROM_MM,
    FIELD_SHAPE,
    FIELD_STEP_MM,
    HeadAnatomy,
    invent_person,
)
from braincase.simulate.heads_folder import begin_heads, is_written, write_simulated_head
from braincase.simulate.imaging import backward_of, lesions_of
from braincase.simulate.people import USUAL_HEAD_ML, SimulatedVisit, draw_visits, size_of
from braincase.simulate.scanners import SCANNERS
from braincase.volumetry.registration import sample
from braincase.volumetry.template import ventricles

#: The heads' voxels, mm.
ZOOMS_MM = (1.2, 1.2, 1.2)


def simulate_cohort_heads(
    folder: Path, size: str, seed: int = 0, confounding: float = 0.0, workers: int = 0
) -> list[Path]:
    """Write the whole heads of a simulated cohort as a raw BIDS data set; return the images.

    The same people as `braincase.simulate.cohort.simulate_cohort` makes, with their lesions, head
    sizes and scanners, each in a pose of its own; the sidecar has the true affine to MNI152.

    Parameters
    ----------
    folder
        A new folder, or that of an interrupted run, which goes on.
    size, seed, confounding
        As there.
    workers
        Processes; 0 means one a core.

    Raises
    ------
    UsageError
        If there is no such size, or the folder holds something else.
    """
    visits = draw_visits(size_of(size), seed, confounding)
    asked: dict[str, Json] = {"heads": size, "seed": seed, "confounding": confounding}
    begin_heads(folder, "Simulated heads", asked)
    _write_tables(folder, visits)
    for done in run_all(partial(write_head, folder), visits, "simulating heads", workers):
        if done.error:
            raise done.error
    return sorted(folder.glob("sub-*/ses-*/anat/*.nii.gz"))


def _write_tables(folder: Path, visits: Sequence[SimulatedVisit]) -> None:
    """Write who is who: BIDS's table of participants, and of each one's sessions."""
    people = ["participant_id\tsex\tdiagnosis"]
    for subject, of_one in groupby(visits, key=lambda visit: visit.person.subject):
        mine = list(of_one)
        person = mine[0].person
        people.append(f"sub-{subject}\t{person.sex}\t{person.diagnosis}")
        rows = [f"ses-{v.session}\t{v.age}\t{v.scanner}\t{v.design}" for v in mine]
        text = "\n".join(["session_id\tage\tscanner\tdesign", *rows, ""])
        write_text(folder / f"sub-{subject}" / f"sub-{subject}_sessions.tsv", text)
    write_text(folder / "participants.tsv", "\n".join([*people, ""]))


def write_head(folder: Path, visit: SimulatedVisit) -> None:
    """Write the whole head of one visit, with its true affine in the sidecar."""
    stem = f"sub-{visit.person.subject}_ses-{visit.session}"
    place = folder / f"sub-{visit.person.subject}" / f"ses-{visit.session}" / "anat"
    path = place / f"{stem}_T1w.nii.gz"
    if is_written(path):
        return
    rng = np.random.default_rng((*visit.person.seed, 4, visit.number))
    size = USUAL_SIZE * float(np.cbrt(visit.person.icv_ml / USUAL_HEAD_ML))
    pose = replace(random_pose(rng, 0.4), scale=(size, size, size), shear=(0, 0, 0))
    scanner = SCANNERS[visit.scanner]
    scanning = Scanning(zooms_mm=ZOOMS_MM, bias=3 * scanner.shading, noise=scanner.noise)
    head = simulate_head(int(rng.integers(2**31)), pose, scanning, anatomy_of(visit))
    write_simulated_head(path, head)


def anatomy_of(visit: SimulatedVisit) -> HeadAnatomy:
    """Return the whole head of a visit: its brain as in the cohort, the layers around it drawn."""
    layers = invent_person(np.random.default_rng((*visit.person.seed, 5)))
    lesion = lesions_of(visit)
    tissue = "csf" if CONDITIONS[visit.person.diagnosis].lesions == "stroke" else "gm"
    painted = (("csf", ventricles().sum(axis=0)), (tissue, lesion))
    return replace(layers, displacement=_in_head_box(backward_of(visit)), painted=painted)


def _in_head_box(backward: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring a field of `FIELD_GRID` to the box of MNI space in which heads are drawn."""
    axes = [FIELD_FROM_MM[i] + FIELD_STEP_MM * np.arange(FIELD_SHAPE[i]) for i in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    corner = FIELD_GRID.affine[:3, 3].reshape(3, 1, 1, 1)
    voxels = (points - corner) / FIELD_GRID.resolution_mm
    return sample(backward, voxels)
