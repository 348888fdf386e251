import json

import numpy as np
import pytest

from braincase.errors import FingerprintError, GalleryError, UsageError
from braincase.gallery import NewCase, Query, create_gallery, score_of
from braincase.gallery.cases import ClosestPeople
from braincase.gallery.record.closest import closest_pair
from braincase.search.nearest import search
from gallery_cases import MODEL, N_CELLS, filled_gallery, some_cases, some_codes


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    with_cases = filled_gallery(tmp_path_factory.mktemp("search") / "gallery", n_people=60)
    yield with_cases
    with_cases.close()


def query(**settings):
    return Query(**{"code": some_codes(1, seed=5)[0], "fingerprint": MODEL, "k": 5} | settings)


def test_hits_are_the_nearest_of_what_the_filter_leaves(gallery):
    where = "age between 60 and 75 and sex = 'F' and diagnosis in ('CN','AD')"
    result = search(gallery, query(where=where, subject="nobody"))
    passing = [
        case
        for case in some_cases(60)
        if case.labels["age"] is not None
        and 60 <= case.labels["age"] <= 75
        and case.labels["sex"] == "F"
        and case.labels["diagnosis"] in ("CN", "AD")
    ]
    code = some_codes(1, seed=5)[0]
    passing.sort(key=lambda case: np.linalg.norm(np.float64(case.code) - code))
    nearest = {case.subject: case for case in reversed(passing)}  # of each person the nearest
    people = sorted(nearest.values(), key=passing.index)
    assert len(people) < len(passing)
    assert [hit.scan_id for hit in result.hits] == [case.scan_id for case in people[:5]]
    assert [hit.rank for hit in result.hits] == [1, 2, 3, 4, 5]
    assert result.n_selected == result.n_searched == len(passing)
    assert result.n_cases == 120
    for hit, case in zip(result.hits, people, strict=False):
        assert hit.distance == pytest.approx(np.linalg.norm(np.float64(case.code) - code))
        assert hit.score == score_of(hit.distance)


def test_the_querys_own_person_is_set_apart_even_against_the_filter(gallery):
    code = gallery.get("sub-004_ses-1").code
    result = search(gallery, query(code=code, subject="004", where="sex = 'M'"))
    assert {hit.scan_id for hit in result.same_subject} == {"sub-004_ses-1", "sub-004_ses-2"}
    assert all(hit.subject != "004" for hit in result.hits)
    assert not result.subject_detected


def test_an_unnamed_person_is_recognised_when_closer_than_any_two_people(gallery):
    code = gallery.get("sub-004_ses-1").code + np.float32(0.01)
    result = search(gallery, query(code=code))
    assert result.subject_detected
    assert result.own_subject == "004"
    assert all(hit.subject != "004" for hit in result.hits)
    assert "closer to the query than any two people" in result.notes[0]


def test_a_stranger_is_not_taken_for_anyone(gallery):
    result = search(gallery, query())
    assert result.own_subject is None
    assert result.same_subject == ()


@pytest.mark.parametrize("settings", [{}, {"where": "sex = 'F'"}, {"weights": np.arange(N_CELLS)}])
def test_looking_for_the_person_of_a_stranger_changes_no_hit(gallery, settings):
    stranger = search(gallery, query(subject="nobody", **settings))
    unnamed = search(gallery, query(**settings))
    assert unnamed.own_subject is None
    assert unnamed.hits == stranger.hits
    assert (unnamed.n_selected, unnamed.n_searched) == (stranger.n_selected, stranger.n_searched)


def test_a_moved_query_belongs_to_the_person_of_its_own_code(gallery):
    own = gallery.get("sub-004_ses-1").code + np.float32(0.01)
    far = some_codes(1, seed=5)[0]
    result = search(gallery, query(code=far, own_code=own))
    assert result.own_subject == "004"
    assert result.hits == search(gallery, query(code=far, subject="004")).hits


def test_the_very_same_image_is_recognised_in_a_small_gallery_too(tmp_path):
    small = filled_gallery(tmp_path / "gallery", n_people=5)
    case = small.get("sub-002_ses-1")
    assert search(small, query(code=case.code, k=3)).own_subject == "002"
    near = search(small, query(code=case.code + 0.001, image_hash=case.image_hash, k=3))
    assert near.own_subject == "002"
    assert search(small, query(code=case.code + 0.001, k=3)).own_subject is None
    small.close()


def test_fewer_hits_than_asked_are_explained(gallery):
    result = search(gallery, query(k=20, where="age > 84", subject="nobody"))
    assert 0 < len(result.hits) < 20
    assert result.notes == (f"{len(result.hits)} hits, not 20: the filter leaves no more people.",)


def test_cell_weights_search_by_place(gallery):
    weights = np.zeros(N_CELLS)
    weights[7] = 1.0
    code = some_codes(1, seed=5)[0]
    result = search(gallery, query(weights=weights, weights_name="one cell", subject="nobody"))
    best = min(some_cases(60), key=lambda case: abs(np.float64(case.code)[7] - code[7]))
    assert result.hits[0].scan_id == best.scan_id
    assert result.hits[0].distance == pytest.approx(abs(np.float64(best.code)[7] - code[7]))


def test_the_answer_is_plain_json_and_a_table(gallery):
    result = search(gallery, query(labels={"age": 70.0}, scan_id="sub-q"))
    again = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert again["hits"][0]["scan_id"] == result.hits[0].scan_id
    assert again["gallery_version"] == 1
    header, rows = result.rows()
    assert header == ["rank", "scan", "distance", "score", "diagnosis", "age", "sex"]
    assert len(rows) == 5
    assert all(isinstance(cell, str) for row in rows for cell in row)


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"k": 0}, UsageError, "k: 0; expected at least 1"),
        ({"k": 61}, UsageError, "k: 61; expected at most the 60 people"),
        ({"where": "height > 2"}, UsageError, "no column 'height'"),
        ({"where": "age >"}, UsageError, "where: the end"),
        ({"fingerprint": "b" * 64}, FingerprintError, "Codes of two models"),
        ({"code": np.zeros(7)}, UsageError, "a code of 7; expected 150 numbers"),
        ({"code": np.full(N_CELLS, np.nan)}, UsageError, "not finite"),
        ({"weights": np.zeros(N_CELLS)}, UsageError, "weights"),
        ({"weights": -np.ones(N_CELLS)}, UsageError, "weights"),
        ({"weights": np.ones(3)}, UsageError, "3 numbers; expected 150, one a cell"),
        ({"as_of": 99}, UsageError, "as_of: version 99"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(gallery, settings, error, said):
    with pytest.raises(error) as raised:
        search(gallery, query(**settings))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_empty_gallery_is_told(tmp_path):
    empty = create_gallery(tmp_path / "gallery", MODEL, 4)
    with pytest.raises(GalleryError, match="the gallery is empty"):
        search(empty, query())
    empty.close()


@pytest.mark.parametrize(("people", "compared"), [(60, 60), (300, 30), (600, 60)])
def test_the_chance_that_a_stranger_is_taken_for_somebody_is_the_one_stated(people, compared):
    random, mistaken, tries = np.random.default_rng(people), 0, 800
    sample = np.linspace(0, people - 1, compared).astype(int)
    for _ in range(tries):
        codes = random.normal(size=(people + 1, 12)).astype(np.float32)
        threshold = closest_pair(codes[sample], np.arange(compared, dtype=np.int32))
        mistaken += np.linalg.norm(codes[:people] - codes[people], axis=1).min() < threshold
    stated = ClosestPeople(threshold, compared).chance_of_stranger(people)
    assert stated / 2 < mistaken / tries < stated + 3 * np.sqrt(stated / tries)
    if compared < people:  # what was stated once, from the number of people alone
        assert mistaken / tries > 5 * 2 / (people + 1)


def test_above_ten_thousand_cases_the_chance_counts_those_compared(tmp_path):
    gallery = create_gallery(tmp_path / "large", MODEL, 4)
    codes = np.random.default_rng(0).normal(size=(12_000, N_CELLS)).astype(np.float32)
    gallery.add([NewCase(f"sub-{i}", str(i), code) for i, code in enumerate(codes)], MODEL)
    closest = gallery.closest_people()
    assert closest.people == 10_000
    assert closest.chance_of_stranger(12_000) == pytest.approx(
        12_000 / (12_000 + 10_000 * 9_999 / 2)
    )
    again = search(gallery, Query(codes[0] + np.float32(1e-3), MODEL, k=2))
    assert "of 10,000 compared" in again.notes[0]
    assert "with probability 0.0002" in again.notes[0]  # 0.000 once
    gallery.close()


@pytest.mark.parametrize(
    ("where", "note"),
    [
        ("sex = 'f'", "No case has sex 'f'; there are F, M. Did you mean 'F'?"),
        (
            "age > 60 and diagnosis in ('ad', 'mci')",
            "No case has diagnosis 'ad' or 'mci'; there are AD, CN, MCI."
            " Did you mean 'AD' or 'MCI'?",
        ),
        ("sex = 'F' and diagnosis = 'XYZ'", "No case has diagnosis 'XYZ'; there are AD, CN, MCI."),
        ("age = 7", "No case has age 7; there are 31, from 56 to 86."),
    ],
)
def test_a_value_that_no_case_has_is_named_where_nothing_passes(gallery, where, note):
    result = search(gallery, query(where=where, subject="nobody"))
    assert not result.hits
    assert note in result.notes
    assert note in result.to_json()["notes"]


@pytest.mark.parametrize(
    "where", ["sex = 'f' or sex = 'F'", "not sex = 'f'", "age > 200", "sex in ('f', 'F')"]
)
def test_values_are_not_corrected_where_something_passes_or_the_filter_says_why(gallery, where):
    result = search(gallery, query(where=where, subject="nobody"))
    assert not [note for note in result.notes if note.startswith("No case has")]
