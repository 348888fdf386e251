"""Every measure of the benchmark against a slow and obvious oracle, a perfect and a random code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from bench_people import SCANNERS, TRAINED, of_values, oracle_values, people_table, setting
from braincase.bench.run import TASKS
from braincase.bench.tasks.archives import (
    ONE_IN,
    confounded_archives,
    precision_in,
    rare_archives,
)
from braincase.bench.tasks.lesions import dice
from braincase.bench.tasks.scanners import found_elsewhere, icc, travels_of
from braincase.bench.tasks.task import Asked
from braincase.bench.views import show

EVERYBODY = {task.letter: task for task in TASKS}


def values_of(letter, contestant, where):
    """Each measure's value over everybody who asks."""
    asked = EVERYBODY[letter].ask(where)
    assert isinstance(asked, Asked), asked
    shown, _ = show(contestant, 0, where)
    everybody = np.arange(len(asked.strata))[None]
    found = {k: float(s(everybody)[0]) for k, s in asked.answer(shown).items()}
    return found, asked


@pytest.fixture(scope="module")
def here():
    return setting()


@pytest.fixture(scope="module")
def perfect(here):
    return of_values("perfect", oracle_values(here.cohort.table))


@pytest.fixture(scope="module")
def blind(here):
    return of_values("blind", np.random.default_rng(0).normal(size=(len(here.cohort), 20)))


def test_every_task_has_one_deciding_measure_and_letters_a_to_h():
    assert "".join(EVERYBODY) == "abcdefgh"
    assert [sum(m.primary for m in task.measures) for task in TASKS] == [1] * len(TASKS)


@pytest.mark.parametrize("letter", ["a", "b"])
def test_a_perfect_code_has_every_disease_right(letter, here, perfect):
    found, _ = values_of(letter, perfect, here)
    assert found == pytest.approx(dict.fromkeys(found, 1.0))


def test_a_blind_code_has_diseases_right_by_chance(here, blind):
    found, asked = values_of("b", blind, here)
    assert asked.references["precision"].chance == pytest.approx(1 / len(TRAINED))
    assert found["precision"] == pytest.approx(1 / len(TRAINED), abs=0.06)
    assert found["auc"] == pytest.approx(0.5, abs=0.12)
    assert found["class_auc"] == pytest.approx(0.5, abs=0.12)


def test_disease_scores_are_those_of_a_slow_search(here, blind):
    found, _ = values_of("b", blind, here)
    vectors = blind.runs[0](here.cohort, here.splits.train, np.arange(len(here.cohort)))
    diagnosis = here.text("diagnosis")
    right, votes, precision = [], [], []
    for query in here.splits.query:
        far = [np.linalg.norm(vectors[query] - vectors[case]) for case in here.splits.gallery]
        labels = [str(diagnosis[here.splits.gallery[i]]) for i in np.argsort(far)]
        right.append(labels[0])
        most = max(labels[:11].count(name) for name in labels[:11])
        votes.append(next(name for name in labels if labels[:11].count(name) == most))
        precision.append(np.mean([name == diagnosis[query] for name in labels[:10]]))
    assert found["precision"] == pytest.approx(np.mean(precision))
    assert found["nearest_f1"] == pytest.approx(slow_f1(diagnosis[here.splits.query], right))
    assert found["vote_f1"] == pytest.approx(slow_f1(diagnosis[here.splits.query], votes))


def slow_f1(truth, named):
    scores = []
    for name in sorted(set(truth)):
        both = sum(t == n == name for t, n in zip(truth, named, strict=True))
        scores.append(2 * both / (list(truth).count(name) + list(named).count(name)))
    return np.mean(scores)


def test_dice_is_twice_the_overlap_over_both_sizes():
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 4, 5, 6)) < 0.3, rng.random((2, 4, 5, 6)) < 0.4
    slow = [[2 * (x & y).sum() / (x.sum() + y.sum()) for y in b] for x in a]
    assert dice(a, b) == pytest.approx(np.array(slow))
    assert dice(a, a).diagonal() == pytest.approx(1)
    assert dice(np.zeros((1, 2, 2), bool), np.zeros((1, 2, 2), bool)) == 0


def test_a_code_that_knows_the_place_finds_the_lesion_that_is_nearest(here, blind):
    table = here.cohort.table
    names = [f"true_lesion_{axis}_mm" for axis in "ras"]
    knows = of_values("knows", table[names].fillna(0).to_numpy())
    found, asked = values_of("c", knows, here)
    assert found["distance"] == pytest.approx(asked.references["distance"].ceiling, rel=1e-4)
    assert asked.references["dice"].chance < found["dice"] <= asked.references["dice"].ceiling
    by_chance, _ = values_of("c", blind, here)
    assert by_chance["distance"] == pytest.approx(asked.references["distance"].chance, rel=0.3)
    assert set(asked.strata) == {"MS", "stroke"}


def test_lesions_of_other_people_are_not_asked_about():
    table = people_table()
    where = setting(table.assign(true_lesion_r_mm=table["true_lesion_r_mm"].fillna(10.0)))
    assert len(EVERYBODY["c"].ask(where).strata) == len(EVERYBODY["c"].ask(setting(table)).strata)


def test_severity_of_ten_hits_is_that_of_a_slow_search(here, blind):
    found, asked = values_of("d", blind, here)
    severity, diagnosis = here.numbers("true_severity"), here.text("diagnosis")
    vectors = blind.runs[0](here.cohort, here.splits.train, np.arange(len(here.cohort)))
    keep = ("CN", "MCI", "AD")
    queries, gallery = (
        [r for r in rows if diagnosis[r] in keep]
        for rows in (here.splits.query, here.splits.gallery)
    )
    differences = []
    for query in queries:
        near = sorted(gallery, key=lambda case: np.linalg.norm(vectors[query] - vectors[case]))[:10]
        differences.append(np.mean([abs(severity[query] - severity[case]) for case in near]))
    assert found["difference"] == pytest.approx(np.mean(differences))
    exact, _ = values_of("d", of_values("exact", severity[:, None]), here)
    assert exact["difference"] == pytest.approx(asked.references["difference"].ceiling, rel=1e-3)
    assert exact["difference"] < asked.references["difference"].chance / 2


def test_never_trained_groups_stand_where_their_severity_is(here, perfect, blind):
    found, _ = values_of("e", perfect, here)
    assert found["rho"] == pytest.approx(1, abs=1e-3)
    assert found["class_rho"] == pytest.approx(1, abs=0.02)
    places = [found[f"place_{name}"] for name in ("SMC", "EMCI", "LMCI")]
    assert places == sorted(places)
    assert places[1] == pytest.approx(0.4, abs=0.05)
    assert abs(values_of("e", blind, here)[0]["rho"]) < 0.3


def test_a_perfect_code_finds_everybody_on_another_scanner(here, perfect):
    found, _ = values_of("f", perfect, here)
    assert found["first_hit"] == 1
    assert [found["icc"], found["repeat_icc"]] == pytest.approx([1, 1])
    assert found["scanner"] < 0.45


def test_a_code_of_the_scanner_finds_nobody_and_names_every_scanner(here):
    scanner = np.array([[s == name for name in SCANNERS] for s in here.text("scanner")])
    who = np.random.default_rng(0).normal(0, 1e-3, (len(scanner), 6))
    found, _ = values_of("f", of_values("scanner", scanner + who), here)
    assert found["first_hit"] == 0
    assert found["scanner"] == 1
    assert found["icc"] < 0.01


def test_first_hits_on_another_scanner_are_those_of_a_slow_search(here):
    rng = np.random.default_rng(3)
    _, person = np.unique(here.text("subject"), return_inverse=True)
    codes = rng.normal(size=(person.max() + 1, 3))[person] + rng.normal(0, 0.5, (len(person), 3))
    rows, gallery = travels_of(here).rows, here.splits.gallery
    slow = np.zeros(len(rows))
    for i, scans in enumerate(rows):
        asked = 0
        for a, scan in enumerate(scans):
            for b in set(range(len(scans))) - {a}:
                cases = [*rows[:, b], *gallery]
                far = [np.linalg.norm(codes[scan] - codes[case]) for case in cases]
                slow[i] += int(np.argmin(far)) == i
                asked += 1
        slow[i] /= asked
    assert 0 < slow.mean() < 1
    assert found_elsewhere(codes, rows, gallery) == pytest.approx(slow)


def test_icc_of_one_number_is_the_textbook_one():
    # Shrout & Fleiss 1979, table 2: six persons, four judges; ICC(2,1) is 0.29 (table 4).
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    codes = np.array(ratings, float)[:, :, None]
    assert icc(codes)(np.arange(6)[None])[0] == pytest.approx(0.2898, abs=1e-4)


def test_icc_of_vectors_sums_the_variances_of_their_numbers_in_every_resample():
    rng = np.random.default_rng(0)
    codes = (
        rng.normal(size=(9, 1, 4)) + rng.normal(0, 0.5, (1, 5, 4)) + rng.normal(0, 0.7, (9, 5, 4))
    )
    drawn = rng.integers(9, size=(3, 9))
    slow = [slow_icc(codes[rows]) for rows in drawn]
    assert icc(codes)(drawn) == pytest.approx(np.array(slow))


def slow_icc(x):
    n, k, _ = x.shape
    grand = x.mean(axis=(0, 1))
    person, judge = x.mean(axis=1), x.mean(axis=0)
    rest = x - person[:, None] - judge[None] + grand
    rows = k * ((person - grand) ** 2).sum() / (n - 1)
    columns = n * ((judge - grand) ** 2).sum() / (k - 1)
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    return (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)


def test_who_misses_a_scanner_or_a_repeat_is_told_apart(here):
    table = people_table()
    missing = (table["subject"] == "T0000") & (table["scanner"] == "F")
    found = travels_of(setting(table[~missing].reset_index(drop=True)))
    assert found.rows.shape == (5, 6)
    scanners = here.text("scanner")
    repeats = travels_of(here).repeats
    assert (scanners[repeats[:, 0]] == scanners[repeats[:, 1]]).all()
    assert (here.text("subject")[repeats[:, 0]] == here.text("subject")[repeats[:, 1]]).all()


def test_precision_in_an_archive_looks_only_there():
    rng = np.random.default_rng(0)
    distances = rng.random((5, 30)).astype(np.float32)
    relevant, archive = rng.random((5, 30)) < 0.3, np.arange(0, 30, 2)
    slow = [
        np.mean([row[c] for c in sorted(archive, key=lambda c: d[c])[:4]])
        for d, row in zip(distances, relevant, strict=True)
    ]
    assert precision_in(distances, relevant, archive, 4) == pytest.approx(np.array(slow))


def test_in_an_archive_of_a_rare_disease_one_case_in_ten_has_it():
    ill, others = np.arange(30), np.arange(30, 130)
    drawn = rare_archives(ill, others, (0, 1))
    for archive in drawn:
        assert len(set(archive)) == len(archive) == 110
        assert np.isin(archive, ill).mean() == pytest.approx(1 / ONE_IN)
    assert len({tuple(archive) for archive in drawn}) > 1


def test_rare_diseases_are_found_by_a_perfect_code_and_by_chance_otherwise(here, perfect, blind):
    found, asked = values_of("g", perfect, here)
    assert found["precision"] == pytest.approx(1)
    assert asked.references["precision"].chance == 0.1
    assert values_of("g", blind, here)[0]["precision"] == pytest.approx(0.1, abs=0.06)
    assert set(asked.strata) == set(TRAINED) - {"CN"}


def test_in_a_confounded_archive_the_scanner_tells_the_diagnosis():
    scanner, is_ill = np.array(list("ABCDEF" * 6)), np.arange(36) % 5 == 0
    for archive, healthy in zip(
        confounded_archives(scanner, is_ill, list(SCANNERS)), ("ABC", "DEF"), strict=True
    ):
        assert set(scanner[archive][~is_ill[archive]]) == set(healthy)
        assert set(scanner[archive][is_ill[archive]]) == set(SCANNERS) - set(healthy)


def test_a_code_of_the_scanner_loses_in_a_confounded_archive(here, perfect):
    scanner = np.array([[s in "ABC"] for s in here.text("scanner")], float)
    ill = (here.text("diagnosis") == "AD")[:, None]
    found, _ = values_of("h", of_values("mixed", np.hstack([1.5 * scanner, ill])), here)
    assert found["loss"] > 0.1
    assert values_of("h", perfect, here)[0]["loss"] == pytest.approx(0, abs=1e-6)


def test_positions_are_ranked_with_severity_as_ranks_say(here):
    rng = np.random.default_rng(5)
    severity = here.numbers("true_severity")
    codes = np.column_stack([severity + rng.normal(0, 0.3, len(severity)), 0 * severity])
    found, _ = values_of("e", of_values("noisy", codes), here)
    new, pair = here.splits.never_trained, here.of(here.splits.gallery, "CN", "AD")
    ill = here.text("diagnosis")[pair] == "AD"
    squares = (codes[new, :1] - codes[pair, 0]) ** 2
    position = squares[:, ~ill].mean(axis=1) - squares[:, ill].mean(axis=1)
    rho = np.corrcoef(rankdata(position), rankdata(severity[new]))[0, 1]
    assert found["rho"] == pytest.approx(rho, abs=1e-3)


def test_young_people_are_not_asked_about_dementia():
    table = people_table()
    young = setting(table.assign(age=np.where(table.index % 2, 40.0, 70.0)))
    for letter in "ade":
        older, everybody = (EVERYBODY[letter].ask(s) for s in (young, setting(table)))
        assert len(older.strata) < len(everybody.strata)
        assert older.gallery < everybody.gallery
    assert EVERYBODY["b"].ask(young).gallery == EVERYBODY["b"].ask(setting(table)).gallery


def test_a_cohort_without_these_people_is_asked_less():
    table = people_table()
    plain = table[table["diagnosis"].isin(["CN", "AD"]) & (table["design"] == "single")]
    asked = {t.letter: t.ask(setting(plain.reset_index(drop=True))) for t in TASKS}
    assert {k for k, a in asked.items() if isinstance(a, Asked)} == {"a", "d", "h"}
    assert all(a.reason for a in asked.values() if not isinstance(a, Asked))
