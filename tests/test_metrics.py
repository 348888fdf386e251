"""Every metric against a slow and obvious way, or a case computed by hand."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braincase.errors import UsageError
from braincase.evaluate.metrics import (
    bootstrap_interval,
    clustering_accuracy,
    kmeans_clusters,
    mean_squared_errors,
)

CLASSES = ("AD", "CN", "LMCI")


# Clustering


def slow_clustering_accuracy(clusters, labels):
    """Try every assignment of classes (and 'no class') to clusters."""
    names = sorted(set(clusters))
    classes = [*sorted(set(labels)), *[None] * len(names)]
    pairs = list(zip(clusters, labels, strict=True))
    return max(
        sum(dict(zip(names, chosen, strict=True))[cluster] == label for cluster, label in pairs)
        for chosen in set(permutations(classes, len(names)))
    ) / len(pairs)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(CLASSES)), min_size=1, max_size=20))
def test_clustering_accuracy_is_that_of_the_best_of_all_matchings(cases):
    clusters, labels = zip(*cases, strict=True)
    expected = slow_clustering_accuracy(clusters, labels)
    assert clustering_accuracy(clusters, labels) == pytest.approx(expected)


def test_two_clusters_cannot_both_be_the_same_class():
    # Majority vote ('purity') would say 1.0 here.
    assert clustering_accuracy([0, 0, 1, 1, 2], ["CN", "CN", "CN", "CN", "AD"]) == 0.6


def test_a_missing_class_is_refused():
    with pytest.raises(UsageError, match="without a label"):
        clustering_accuracy([0, 1], ["AD", None])


def kmeans_accuracy(codes, labels, seed, n_init=10):
    """One cluster a class, as the paper has it."""
    return clustering_accuracy(kmeans_clusters(codes, len(set(labels)), seed, n_init), labels)


def test_kmeans_finds_separate_groups_whatever_their_names():
    rng = np.random.default_rng(0)
    labels = np.repeat(["CN", "AD", "LMCI"], 30)
    codes = rng.normal(size=(90, 150)) + np.repeat([0, 5, 10], 30)[:, None]
    assert kmeans_accuracy(codes, labels, seed=0) == 1.0
    some = kmeans_accuracy(rng.normal(size=(90, 150)), labels, seed=0)
    assert some < 0.6


def test_kmeans_with_equal_seeds_gives_equal_scores_and_with_others_others():
    rng = np.random.default_rng(0)
    codes, labels = rng.normal(size=(120, 5)), rng.integers(0, 8, 120).astype(str)
    scores = [kmeans_accuracy(codes, labels, seed, n_init=1) for seed in (3, 3, 3, 1, 2, 4)]
    assert scores[0] == scores[1] == scores[2]
    assert len(set(scores)) > 1


def test_a_collapsed_code_scores_the_larger_class_without_a_warning():
    labels = ["CN"] * 6 + ["AD"] * 4
    assert kmeans_accuracy(np.ones((10, 150), np.float32), labels, seed=0) == 0.6


# Reconstruction


def test_the_error_is_the_mean_square_of_each_volume():
    a = np.zeros((2, 4, 4, 4))
    b = np.zeros((2, 4, 4, 4))
    b[0] = 0.3
    np.testing.assert_allclose(mean_squared_errors(a, b), [0.09, 0])


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_errors_in_batches_are_those_of_everything(batch):
    rng = np.random.default_rng(1)
    a = rng.integers(0, 256, (5, 6, 7, 8), dtype=np.uint8)
    b = rng.random((5, 6, 7, 8), dtype=np.float32)
    expected = ((a.astype(np.float64) / 255 - b) ** 2).mean(axis=(1, 2, 3))
    assert mean_squared_errors(a, b, batch) == pytest.approx(expected, rel=1e-6)


def test_the_intensity_range_is_one_for_8_bit_and_for_real_volumes():
    dark = np.zeros((1, 2, 2, 2), np.uint8)
    assert mean_squared_errors(dark, np.full_like(dark, 255)) == pytest.approx(1)
    assert mean_squared_errors(dark, np.ones((1, 2, 2, 2))) == pytest.approx(1)


def test_errors_of_volumes_that_do_not_belong_together_are_refused():
    with pytest.raises(UsageError, match="2 and 3 cases"):
        mean_squared_errors(np.zeros((2, 4)), np.zeros((3, 4)))
    with pytest.raises(UsageError, match="shape"):
        mean_squared_errors(np.zeros((2, 4)), np.zeros((2, 1)))
    with pytest.raises(UsageError, match="0 and 0 cases"):
        mean_squared_errors(np.zeros((0, 4)), np.zeros((0, 4)))


# Bootstrap


def mean_of(values):
    return lambda rows: values[rows].mean()


def test_the_interval_resamples_people_and_not_scans():
    # 10 people, each with 100 equal scans: only the 10 count.
    rng = np.random.default_rng(0)
    of_person = rng.normal(size=10)
    values, subjects = np.repeat(of_person, 100), np.repeat([f"p{i}" for i in range(10)], 100)
    low, high = bootstrap_interval(mean_of(values), subjects, seed=1)
    once = bootstrap_interval(mean_of(of_person), range(10), seed=1)
    assert (low, high) == pytest.approx(once)
    by_scans = bootstrap_interval(mean_of(values), range(1000), seed=1)
    assert high - low > 5 * (by_scans[1] - by_scans[0])


def test_all_scans_of_a_drawn_person_are_drawn_wherever_they_stand():
    subjects = np.array(["a", "b", "c", "a", "b", "a"])
    seen = []

    def note(rows):
        seen.append(sorted(subjects[rows]))
        return 0.0

    bootstrap_interval(note, subjects, seed=0, n_resamples=50)
    for drawn in seen:
        people = [drawn.count("a") // 3, drawn.count("b") // 2, drawn.count("c")]
        assert sorted("aaa" * people[0] + "bb" * people[1] + "c" * people[2]) == drawn
        assert sum(people) == 3
    assert len({tuple(drawn) for drawn in seen}) > 5


def test_equal_seeds_give_equal_intervals_and_more_confidence_wider_ones():
    values = np.random.default_rng(2).random(40)
    subjects = np.arange(40) // 2
    plain = bootstrap_interval(mean_of(values), subjects, seed=5)
    assert plain == bootstrap_interval(mean_of(values), subjects, seed=5)
    assert plain != bootstrap_interval(mean_of(values), subjects, seed=6)
    assert plain[0] < values.mean() < plain[1]
    narrow = bootstrap_interval(mean_of(values), subjects, seed=5, confidence=0.5)
    assert plain[0] < narrow[0] < narrow[1] < plain[1]


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(7)
    covered = 0
    for seed in range(60):
        people = rng.normal(size=40)
        values = np.repeat(people, 3) + 0.3 * rng.normal(size=120)
        low, high = bootstrap_interval(
            mean_of(values), np.repeat(range(40), 3), seed, n_resamples=200
        )
        covered += low <= 0 <= high
    assert 51 <= covered <= 59


def test_undefined_resamples_are_left_out_and_too_many_of_them_are_refused():
    def first_row(undefined):
        return lambda rows: np.nan if rows[0] in undefined else float(rows[0])

    low, high = bootstrap_interval(first_row({0, 1}), range(6), seed=0)
    assert (low, high) == (2, 5)
    with pytest.raises(UsageError, match="undefined"):
        bootstrap_interval(first_row({0, 1, 2, 3}), range(6), seed=0)
