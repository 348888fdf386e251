"""The simulated cohort: reproducible, resumable, and as ill as published brains are."""

from __future__ import annotations

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
from braincase.simulate.calibration import cohens_d
from braincase.simulate.cohort import simulate_cohort
from braincase.simulate.imaging import simulate_visit
from braincase.simulate.people import SIZES, draw_visits


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
        assert 0.70 < ill.hippocampus_mm3 / healthy.hippocampus_mm3 < 0.90
        assert 1.10 < ill.ventricles_mm3 / healthy.ventricles_mm3 < 1.60


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
        scanners = [v.person.scanner for v in visits if v.person.diagnosis == diagnosis]
        return scanners.count("C") / len(scanners)

    assert abs(share_on_last_scanner(0, "AD") - share_on_last_scanner(0, "CN")) < 0.1
    assert share_on_last_scanner(1, "AD") == 1
    assert share_on_last_scanner(1, "CN") < 0.15
    with pytest.raises(UsageError, match="0 to 1"):
        draw_visits(SIZES["tiny"], 0, 1.5)


def test_a_killed_simulation_goes_on_to_the_same_cohort(tiny: Cohort, tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    script = (
        "from pathlib import Path\nfrom braincase.simulate.cohort import simulate_cohort\n"
        f"simulate_cohort(Path({str(folder)!r}), 'tiny', workers=1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(folder.rglob("*.nii.gz"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert 5 <= len(list(folder.rglob("*_T1w.nii.gz"))) < 34
    resumed = simulate_cohort(folder, "tiny", workers=1)
    assert list(resumed.table["image_hash"]) == list(tiny.table["image_hash"])


def test_another_seed_is_not_mixed_into_a_cohort(tmp_path: Path) -> None:
    simulate_cohort(tmp_path, "tiny", seed=0, workers=1)
    with pytest.raises(CohortError, match="another recipe"):
        simulate_cohort(tmp_path, "paper", seed=1, resolution_mm=4, workers=1)


def test_an_unknown_size_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tiny, small, paper"):
        simulate_cohort(tmp_path, "huge")


def test_cohens_d_of_a_case_computed_by_hand() -> None:
    a, b = np.array([1.0, 2.0, 3.0]), np.array([3.0, 4.0, 5.0])
    assert cohens_d(b, a) == pytest.approx(2.0)
