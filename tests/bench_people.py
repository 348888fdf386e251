"""A stand-in for the benchmark's cohort: a table with all of its columns, and small volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from braincase.bench.archive import Archive, archive_of
from braincase.bench.contestant import Contestant
from braincase.bench.setting import Setting, Truth
from braincase.bench.splits import deal_people
from braincase.cohort.cohort import Cohort
from braincase.images.geometry import HALF_GRID

TRAINED = ("CN", "MCI", "AD", "bvFTD", "MS", "stroke")
NEW = ("SMC", "EMCI", "LMCI")
SCANNERS = "ABCDEF"
SEVERITY = {"CN": 0.0, "SMC": 0.15, "EMCI": 0.4, "MCI": 0.5, "LMCI": 0.7, "AD": 1.0}


def people_table(a_condition: int = 48, travellers: int = 6, seed: int = 0) -> pd.DataFrame:
    """One scan a person of every condition, and travelling heads with a repeat."""
    rng = np.random.default_rng(seed)
    rows = []
    for condition in (*TRAINED, *NEW):
        for i in range(a_condition):
            person = len(rows)
            scanner = SCANNERS[i % len(SCANNERS)]
            rows.append(_row(rng, f"P{person:04d}", "M00", condition, scanner, "single"))
    for i in range(travellers):
        person = f"T{i:04d}"
        first = _row(rng, person, "MA", "CN", "A", "travelling")
        rows += [{**first, "session": f"M{s}", "scanner": s} for s in SCANNERS]
        rows.append({**first, "session": "again", "scanner": "C", "design": "repeat"})
    table = pd.DataFrame(rows)
    table.insert(0, "scan_id", table["subject"] + "_" + table["session"])
    table["image_hash"] = [f"hash{i}" for i in range(len(table))]
    return table


def _row(rng, subject, session, condition, scanner, design):
    lesion = condition in ("MS", "stroke")
    severity = max(0.0, SEVERITY.get(condition, 0.8) + rng.normal(0, 0.03))
    return {
        "subject": subject,
        "session": session,
        "diagnosis": condition,
        "age": round(float(rng.uniform(55, 85)), 1),
        "sex": str(rng.choice(["F", "M"])),
        "scanner": scanner,
        "design": design,
        "true_severity": round(severity, 4),
        "true_left_hippocampus_mm3": float(rng.normal(4000 - 800 * severity, 100)),
        "true_lesion_mm3": float(rng.uniform(500, 5000)) if lesion else 0.0,
        "true_lesion_r_mm": float(rng.uniform(-40, 40)) if lesion else np.nan,
        "true_lesion_a_mm": float(rng.uniform(-60, 40)) if lesion else np.nan,
        "true_lesion_s_mm": float(rng.uniform(0, 40)) if lesion else np.nan,
    }


def stand_in(table: pd.DataFrame, folder: Path = Path("stand-in")) -> Cohort:
    """A cohort of this table whose volumes tell nothing: a block of noise in the middle."""
    volumes = np.zeros((len(table), *HALF_GRID.shape), np.uint8)
    noise = np.random.default_rng(0).integers(60, 200, (len(table), 8, 8, 8), np.uint8)
    volumes[:, 12:20, 12:20, 12:20] = noise
    return Cohort(folder, HALF_GRID, {"Name": "stand-in"}, table, volumes)


def archive(table: pd.DataFrame | None = None, seed: int = 0) -> Archive:
    return archive_of(stand_in(people_table() if table is None else table), "stand-in", seed)


def setting(table: pd.DataFrame | None = None, seed: int = 0) -> Setting:
    cohort = stand_in(people_table() if table is None else table)
    return Setting(cohort, deal_people(cohort.table, seed), truth_of(cohort), seed)


def truth_of(cohort: Cohort) -> Truth:
    return Truth(cohort.table, lesion_balls)


def volumes_of(cohort: Cohort) -> np.ndarray:
    """Region volumes that show a little of what is true."""
    truth = cohort.table["true_left_hippocampus_mm3"].to_numpy()
    rng = np.random.default_rng(2)
    noisy = [truth + rng.normal(0, 500, len(truth)), rng.normal(20000, 1000, len(truth))]
    return np.stack(noisy, axis=1).astype(np.float32)


def lesion_balls(cohort: Cohort, rows: np.ndarray) -> np.ndarray:
    """True lesions as balls of 12 mm about their centres."""
    points = cohort.grid.points_mm()
    masks = np.zeros((len(rows), *cohort.grid.shape), bool)
    names = ("true_lesion_r_mm", "true_lesion_a_mm", "true_lesion_s_mm")
    for mask, centre in zip(masks, cohort.table.iloc[rows][list(names)].to_numpy(), strict=True):
        if not np.isnan(centre).any():
            mask[...] = sum((points[i] - centre[i]) ** 2 for i in range(3)) <= 12**2
    return masks


def of_values(name: str, values: np.ndarray, kind: str = "contestant", **options) -> Contestant:
    """A contestant whose vectors are given, one row a scan."""
    vectors = np.asarray(values, np.float32)
    return Contestant(name, kind, (lambda cohort, train, rows: vectors[rows],), **options)


def oracle_values(table: pd.DataFrame) -> np.ndarray:
    """Vectors that know every answer: condition, lesion place, severity, and who it is."""
    conditions = np.array([[d == c for c in TRAINED] for d in table["diagnosis"]]) * 1000.0
    new = table["diagnosis"].isin(NEW).to_numpy()
    # Never-trained people lie on the line from CN to AD, at their severity.
    severity = table["true_severity"].to_numpy()
    conditions[new, TRAINED.index("CN")] = 1000 * (1 - severity[new])
    conditions[new, TRAINED.index("AD")] = 1000 * severity[new]
    places = ("true_lesion_r_mm", "true_lesion_a_mm", "true_lesion_s_mm")
    lesion = table[list(places)].fillna(0).to_numpy()
    _, person = np.unique(table["subject"], return_inverse=True)
    who = np.random.default_rng(1).normal(0, 1e-3, (person.max() + 1, 8))[person]
    return np.column_stack([conditions, 20 * severity, lesion, who])
