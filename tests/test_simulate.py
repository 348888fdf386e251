"""The simulated cohort: reproducible, resumable, and as ill as published brains are."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from braincase.cohort.cohort import Cohort
from braincase.errors import CohortError, UsageError
from braincase.images.geometry import HALF_GRID, STANDARD_GRID
from braincase.simulate.atrophy import PARTS
from braincase.simulate.cohort import recipe_of, simulate_cohort, write_visits
from braincase.simulate.conditions import CONDITIONS
from braincase.simulate.imaging import disease_of, simulate_visit
from braincase.simulate.people import SIZES, Size, draw_visits
from braincase.simulate.truth import lesion_masks, read_truth
from braincase.volumetry.regions import NAMES


def test_the_paper_sized_cohort_has_the_papers_counts() -> None:
    visits = draw_visits(SIZES["paper"], 0)
    scans = Counter(v.person.diagnosis for v in visits)
    people = Counter(d for d, _ in {(v.person.diagnosis, v.person.subject) for v in visits})
    assert (scans["CN"], scans["AD"]) == (1121, 674)
    assert (people["CN"], people["AD"]) == (245, 215)
    assert {"SMC", "EMCI", "LMCI"} < set(scans)


def test_equal_seeds_give_equal_bits(tiny: Cohort) -> None:
    visits = {v.person.subject + v.session: v for v in draw_visits(SIZES["tiny"], 0)}
    for row in (0, 17, 33):
        entry = tiny.table.iloc[row]
        again = simulate_visit(visits[entry["subject"] + entry["session"]], HALF_GRID)
        assert np.array_equal(again.volume, tiny.volumes[row])


def test_visits_of_a_person_look_alike_and_people_do_not(tiny: Cohort) -> None:
    volumes = tiny.volumes[:].astype(np.float32)
    subjects = tiny.table["subject"].to_numpy()
    distance = np.sqrt(((volumes[:, None] - volumes[None]) ** 2).mean(axis=(2, 3, 4)))
    same = (subjects[:, None] == subjects[None]) & ~np.eye(len(subjects), dtype=bool)
    assert distance[same].mean() < 0.8 * distance[subjects[:, None] != subjects[None]].mean()


def test_severity_alone_shrinks_the_hippocampus_and_widens_the_ventricles() -> None:
    for visit in draw_visits(SIZES["tiny"], 0)[:3]:
        healthy, ill = (
            simulate_visit(replace(visit, severity=severity), HALF_GRID) for severity in (0.0, 1.0)
        )
        ratio = dict(zip(NAMES, ill.volumes_mm3 / healthy.volumes_mm3, strict=True))
        assert 0.70 < ratio["left-hippocampus"] < 0.93
        assert 1.20 < ratio["right-lateral-ventricle"] < 2.2


def test_both_grids_show_the_same_head() -> None:
    visit = draw_visits(SIZES["tiny"], 0)[3]
    coarse = simulate_visit(visit, HALF_GRID).volume.astype(float)
    fine = simulate_visit(visit, STANDARD_GRID).volume.astype(float)
    pooled = fine.reshape(40, 2, 48, 2, 40, 2).mean(axis=(1, 3, 5))
    assert np.corrcoef(coarse.ravel(), pooled.ravel())[0, 1] > 0.98


def test_the_truth_table_lies_beside_the_images(tiny: Cohort) -> None:
    truth = pd.read_csv(tiny.folder / "truth.tsv", sep="\t")
    assert list(truth["scan_id"]) == list(tiny.table["scan_id"])
    assert truth["true_severity"].between(0, 3).all()


def test_names_do_not_give_the_diagnosis_away(tiny: Cohort) -> None:
    assert not any(d in s for s in tiny.table["subject"] for d in ("CN", "AD", "MCI"))


def test_confounding_ties_the_scanner_to_the_diagnosis() -> None:
    def share_on_last_scanner(confounding: float, diagnosis: str) -> float:
        visits = draw_visits(SIZES["small"], 0, confounding)
        scanners = [v.scanner for v in visits if v.person.diagnosis == diagnosis]
        return scanners.count("F") / len(scanners)

    assert abs(share_on_last_scanner(0, "AD") - share_on_last_scanner(0, "CN")) < 0.1
    assert share_on_last_scanner(1, "AD") == 1
    assert share_on_last_scanner(1, "CN") < 0.15
    with pytest.raises(UsageError, match="0 to 1"):
        draw_visits(SIZES["tiny"], 0, 1.5)


def test_a_killed_simulation_goes_on_to_the_same_cohort(tiny: Cohort, tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(tiny.folder, folder, ignore=shutil.ignore_patterns("packed"))
    missing = [folder / image for image in tiny.table["image"][::3]]
    for image in missing:
        shutil.rmtree(image.parent)
    script = (
        "from pathlib import Path\nfrom braincase.simulate.cohort import simulate_cohort\n"
        f"simulate_cohort(Path({str(folder)!r}), 'tiny', workers=1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while sum(image.exists() for image in missing) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert 3 <= sum(image.exists() for image in missing) < len(missing)
    resumed = simulate_cohort(folder, "tiny", workers=1)
    assert list(resumed.table["image_hash"]) == list(tiny.table["image_hash"])


def test_another_seed_is_not_mixed_into_a_cohort(tmp_path: Path) -> None:
    visits = draw_visits(SIZES["tiny"], 0)[:2]
    write_visits(tmp_path, HALF_GRID, visits, recipe_of("tiny", 0, 0.0), workers=1)
    with pytest.raises(CohortError, match="another recipe"):
        simulate_cohort(tmp_path, "paper", seed=1, resolution_mm=4, workers=1)


def test_an_unknown_size_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tiny, small, paper, bench"):
        simulate_cohort(tmp_path, "huge")


def test_travellers_are_one_person_on_every_scanner_and_once_again() -> None:
    visits = draw_visits(Size({"CN": (1, 1)}, 4, travellers=1), 5)
    travels = [v for v in visits if v.design in ("travelling", "repeat")]
    assert len({v.person.subject for v in travels}) == 1
    assert {v.age for v in travels} == {travels[0].age}
    assert [v.scanner for v in travels] == ["A", "B", "C", "D", "E", "F", "A"]
    assert len({v.session for v in travels}) == 7


def test_every_condition_can_be_drawn_and_changes_the_regions_it_names() -> None:
    size = Size(dict.fromkeys(CONDITIONS, (1, 1)), 4)
    for visit in draw_visits(size, 3):
        condition = CONDITIONS[visit.person.diagnosis]
        change = disease_of(replace(visit.person, mirrored=False, subtype=0, side=0))
        changed = {PARTS[i].removeprefix("left-") for i in np.flatnonzero(np.abs(change) > 0.005)}
        assert {name.removeprefix("left-") for name in condition.percent} <= changed


def test_a_mirrored_patient_has_the_other_side_ill() -> None:
    (visit,) = draw_visits(Size({"svPPA": (1, 1)}, 4), 0)
    usual = disease_of(replace(visit.person, mirrored=False, subtype=0, side=0))
    mirrored = disease_of(replace(visit.person, mirrored=True, subtype=0, side=0))
    left, right = (PARTS.index(f"{side}-temporal-pole") for side in ("left", "right"))
    assert usual[left] < usual[right] < 0
    assert mirrored[right] == usual[left]


def test_a_stroke_is_dark_where_its_mask_says(tmp_path: Path) -> None:
    visits = draw_visits(Size({"stroke": (3, 3)}, 4), 1)
    cohort = write_visits(tmp_path, HALF_GRID, visits, {"Name": "strokes"}, workers=1)
    masks = lesion_masks(cohort, range(3))
    truth = read_truth(cohort)
    for image, mask, (_, row) in zip(cohort.volumes[:], masks, truth.iterrows(), strict=True):
        assert mask.sum() * 64 == pytest.approx(row["true_lesion_mm3"], rel=0.4)
        assert image[mask].mean() < 0.6 * image[image > 0].mean()
        centre = np.argwhere(mask).mean(axis=0)
        named = [row[f"true_lesion_{axis}_mm"] for axis in "ras"]
        assert (
            np.linalg.norm(HALF_GRID.affine[:3, :3] @ centre + HALF_GRID.affine[:3, 3] - named) < 15
        )
    assert truth["true_left_hippocampus_mm3"].between(3000, 12000).all()
