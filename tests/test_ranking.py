"""Rankings and their scores, each against the slow and obvious way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braincase.errors import UsageError
from braincase.evaluate.ranking import NO_CASE, rank_by_distance, rank_cases, score_ranking

PEOPLE, CLASSES = "abcdef", ("AD", "CN", "LMCI")


@st.composite
def searches(draw):
    """Queries and a gallery on a coarse lattice, so that equal distances happen."""
    n, m = draw(st.integers(1, 6)), draw(st.integers(1, 9))

    def columns(count):
        codes = draw(st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=count, max_size=count))
        people = draw(st.lists(st.sampled_from(PEOPLE), min_size=count, max_size=count))
        labels = draw(st.lists(st.sampled_from(CLASSES), min_size=count, max_size=count))
        return np.array(codes, np.float32), people, labels

    return columns(n), columns(m), draw(st.integers(1, m))


def slow_ranking(code, person, gallery):
    codes, people, _ = gallery
    others = [row for row in range(len(codes)) if people[row] != person]
    return sorted(others, key=lambda row: sum((code - codes[row]) ** 2))


def slow_scores(ranked, wanted, labels, k):
    hits = [labels[row] == wanted for row in ranked]
    precisions = [sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit]
    near = [labels[row] for row in ranked[:k]]
    return {
        "top1": float(bool(hits and hits[0])),
        "precision_at_k": sum(hits[:k]) / k,
        "average_precision": sum(precisions) / len(precisions) if precisions else 0.0,
        "nearest": near[0] if near else None,
        "vote": max(sorted(set(near), key=near.index), key=near.count) if near else None,
        "without_relevant": not any(hits),
    }


@settings(deadline=None)
@given(searches())
def test_ranking_and_scores_agree_with_the_obvious_way(search):
    (codes, people, labels), gallery, k = search
    order = rank_cases(codes, gallery[0], people, gallery[1])
    scores = score_ranking(order, labels, gallery[2], k)
    for i, row in enumerate(order):
        ranked = slow_ranking(codes[i], people[i], gallery)
        assert list(row) == ranked + [NO_CASE] * (len(row) - len(ranked))
        for name, value in slow_scores(ranked, labels[i], gallery[2], k).items():
            assert getattr(scores, name)[i] == pytest.approx(value), name


def test_a_hand_computed_search():
    # Distances from the query 0: its own other scan 0.1, then CN 1, AD 2, CN 3, AD 4.
    gallery = np.array([[3.0], [0.1], [4.0], [1.0], [2.0]])
    order = rank_cases(np.zeros((1, 1)), gallery, ["me"], ["p", "me", "q", "r", "s"])
    assert order.tolist() == [[3, 4, 0, 2, NO_CASE]]
    scores = score_ranking(order, ["AD"], ["CN", "AD", "AD", "CN", "AD"], k=3)
    assert scores.top1[0] == 0
    assert scores.precision_at_k[0] == pytest.approx(1 / 3)
    assert scores.average_precision[0] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert (scores.nearest[0], scores.vote[0]) == ("CN", "CN")


def test_a_query_without_a_relevant_case_is_a_miss_and_is_counted():
    order = np.array([[0, 1], [1, 0]])
    scores = score_ranking(order, ["LMCI", "CN"], ["CN", "CN"], k=2)
    assert scores.without_relevant.tolist() == [True, False]
    assert scores.average_precision.tolist() == [0, 1]
    assert scores.top1.tolist() == [0, 1]
    assert scores.precision_at_k.tolist() == [0, 1]


def test_a_query_whose_only_company_is_itself_finds_nobody():
    order = rank_cases(np.zeros((1, 2)), np.zeros((2, 2)), ["a"], ["a", "a"])
    scores = score_ranking(order, ["CN"], ["CN", "CN"], k=1)
    assert order.tolist() == [[NO_CASE, NO_CASE]]
    assert (scores.nearest[0], scores.vote[0]) == (None, None)
    assert scores.without_relevant[0]
    assert scores.top1[0] == scores.average_precision[0] == 0


def test_equal_votes_go_to_the_class_of_the_nearest_case():
    labels = ["CN", "AD", "AD", "CN"]
    scores = score_ranking(np.array([[1, 0, 3, 2], [0, 1, 2, 3]]), ["CN", "CN"], labels, k=4)
    assert scores.vote.tolist() == ["AD", "CN"]


def test_far_from_the_origin_near_cases_are_still_told_apart():
    codes = np.array([[1e4], [1e4 + 1e-2], [1e4 + 2e-2]], np.float32)
    order = rank_cases(codes[:1], codes[[2, 1]], ["q"], ["a", "b"])
    assert order.tolist() == [[1, 0]]


@pytest.mark.parametrize("k", [0, 3])
def test_a_k_that_the_gallery_cannot_give_is_refused(k):
    with pytest.raises(UsageError, match=r"k: .; expected 1 to 2"):
        score_ranking(np.array([[0, 1]]), ["CN"], ["CN", "AD"], k)


@pytest.mark.parametrize("label", [None, float("nan")])
def test_a_missing_label_is_refused_and_never_a_class(label):
    with pytest.raises(UsageError, match="1 cases without a label"):
        score_ranking(np.array([[0, 1]]), [label], ["CN", "AD"], 1)
    with pytest.raises(UsageError, match="1 cases without a label"):
        score_ranking(np.array([[0, 1]]), ["CN"], ["CN", label], 1)


def test_codes_that_are_no_numbers_are_refused():
    with pytest.raises(UsageError, match="finite codes"):
        rank_by_distance(np.array([[0, np.nan]]), ["a"], ["b", "c"])
    with pytest.raises(UsageError, match="shape"):
        rank_by_distance(np.zeros((1, 3)), ["a"], ["b", "c"])
