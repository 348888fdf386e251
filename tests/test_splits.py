"""Folds keep people apart and classes balanced."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braincase.cohort.splits import Fold, check_no_leak, group_folds
from braincase.errors import LeakError, UsageError


def people(**scans_of_each):
    """Subjects and labels of e.g. CN=[3, 1]: two people of that class with 3 and 1 scans."""
    subjects, labels = [], []
    for label, counts in scans_of_each.items():
        for i, count in enumerate(counts):
            subjects += [f"{label}{i}"] * count
            labels += [label] * count
    return subjects, labels


@st.composite
def cohorts(draw):
    n_folds = draw(st.integers(2, 5))
    classes = draw(st.sampled_from([("CN", "AD"), ("CN", "MCI", "AD")]))
    counts = st.lists(st.integers(1, 5), min_size=n_folds, max_size=15)
    subjects, labels = people(**{name: draw(counts) for name in classes})
    order = draw(st.permutations(range(len(subjects))))
    return [subjects[i] for i in order], [labels[i] for i in order], n_folds


@settings(max_examples=30, deadline=None)
@given(cohorts(), st.integers(0, 2**32 - 1))
def test_every_scan_is_tested_once_and_no_person_stands_on_two_sides(cohort, seed):
    subjects, labels, n_folds = cohort
    folds = group_folds(subjects, labels, n_folds, seed)
    assert len(folds) == n_folds
    assert sorted(row for fold in folds for row in fold.test) == list(range(len(subjects)))
    for fold in folds:
        assert sorted([*fold.train, *fold.test]) == list(range(len(subjects)))
        assert not {subjects[i] for i in fold.train} & {subjects[i] for i in fold.test}
        assert {labels[i] for i in fold.train} == set(labels)


def test_classes_are_balanced_with_the_papers_counts():
    rng = np.random.default_rng(3)
    subjects, labels = people(CN=rng.integers(1, 9, 245), AD=rng.integers(1, 6, 215))
    share = Counter(labels)["AD"] / len(labels)
    for fold in group_folds(subjects, labels, 5, seed=0):
        here = [labels[i] for i in fold.test]
        assert abs(here.count("AD") / len(here) - share) < 0.01
        assert abs(len(here) - len(labels) / 5) < 0.02 * len(labels)


def test_a_person_who_became_ill_between_visits_is_in_one_fold_with_all_scans():
    subjects, labels = people(CN=[2] * 6, AD=[2] * 6)
    subjects += ["converter"] * 4
    labels += ["CN", "CN", "AD", "AD"]
    for fold in group_folds(subjects, labels, 3, seed=1):
        tested = [subjects[i] for i in fold.test].count("converter")
        assert tested in (0, 4)


def test_equal_seeds_give_equal_folds_and_other_seeds_others():
    subjects, labels = people(CN=[2] * 20, AD=[3] * 20)
    first, again, other = (group_folds(subjects, labels, 5, seed) for seed in (4, 4, 5))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("scans", "n_folds", "said"),
    [
        ({"CN": [9], "AD": [9]}, 5, "2 subjects for 5 folds"),
        ({"CN": [1] * 8, "AD": [5, 5]}, 5, "2 subjects of class AD for 5 folds"),
        ({"CN": [1] * 8}, 5, "one class only (CN)"),
        ({"CN": [1] * 8, "AD": [1] * 8}, 1, "folds: 1; expected 2 or more"),
        ({}, 5, "no scans"),
    ],
)
def test_what_cannot_be_divided_is_told_in_one_line(scans, n_folds, said):
    with pytest.raises(UsageError) as error:
        group_folds(*people(**scans), n_folds, seed=0)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_a_leak_stops_and_names_the_people():
    subjects = ["a", "b", "c", "b", "d", "a"]
    with pytest.raises(LeakError, match="2 subjects in training and in test: a, b; expected"):
        check_no_leak(subjects, Fold(np.array([0, 1, 2]), np.array([3, 4, 5])))
    check_no_leak(subjects, Fold(np.array([0, 5, 1, 3]), np.array([2, 4])))


def test_a_great_leak_is_still_one_readable_line():
    subjects = [f"{i:03d}" for i in range(50)] * 2
    with pytest.raises(LeakError, match="009 and 40 more") as error:
        check_no_leak(subjects, Fold(np.arange(50), np.arange(50, 100)))
    assert len(str(error.value)) < 300
