import json

import numpy as np
import pytest

from braincase.answer.follow_up import follow_up
from braincase.errors import TooFewPeopleError, UsageError
from braincase.gallery import Hit, NewCase, Query, create_gallery
from braincase.population.direction import learn_direction
from braincase.population.neighbour_labels import calibrate, neighbour_labels
from braincase.population.typicality import nearest_distances, typicality
from braincase.report.hits_table import write_hits
from braincase.search.nearest import search
from braincase.search.refine import refined_code
from braincase.sources.table import read_table
from gallery_cases import MODEL, N_CELLS


def hit(rank, subject, diagnosis=None, session="1", **labels):
    labels = labels if diagnosis is None else {"diagnosis": diagnosis, **labels}
    return Hit(rank, f"sub-{subject}_ses-{session}", subject, session, rank / 10, 0.5, labels)


def population(n_people, seed=0, spread=1.0):
    """Two classes whose codes overlap, ages that move the codes; one or two scans a person."""
    rng = np.random.default_rng(seed)
    disease = np.zeros(N_CELLS)
    disease[:6] = 1.2
    ageing = np.zeros(N_CELLS)
    ageing[6:12] = 0.1
    cases = []
    for person in range(n_people):
        ill = person % 2
        age = float(rng.uniform(60, 80))
        own = spread * rng.normal(size=N_CELLS) * 0.3 + ill * disease + (age - 70) * ageing
        own[:6] += rng.normal(size=6)
        for session in range(1 + person % 2):
            labels = {
                "diagnosis": ("CN", "AD")[ill],
                "age": age + session,
                "sex": "FM"[person // 2 % 2],
            }
            cases.append(
                NewCase(
                    f"sub-{seed}x{person}_ses-{session}", f"{seed}x{person}",
                    own + 0.02 * rng.normal(size=N_CELLS), str(session), labels,
                )
            )  # fmt: skip
    return cases


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    filled = create_gallery(tmp_path_factory.mktemp("neighbours") / "g", MODEL, 4)
    filled.add(population(300), MODEL)
    yield filled
    filled.close()


def test_many_scans_of_one_person_are_one_voice(gallery):
    ill = next(case for case in population(300) if case.labels["diagnosis"] == "AD")
    result = search(gallery, Query(ill.code, MODEL, k=10, subject="nobody"))
    assert [hit.subject for hit in result.hits].count(ill.subject) == 1
    assert len(gallery.person(ill.subject)) == 2
    assert neighbour_labels(result.hits, "diagnosis").people == 10


def test_intervals_are_wilsons_for_the_number_of_people():
    hits = [hit(i, str(i), "AD" if i < 8 else "CN") for i in range(10)]
    share = neighbour_labels([*hits, hit(11, "x")], "diagnosis").shares[0]
    assert (share.label, share.share) == ("AD", 0.8)
    # Wilson 1927 for 8 of 10: 0.490 to 0.943 (Brown, Cai & DasGupta 2001 print these).
    assert (share.low, share.high) == (
        pytest.approx(0.490, abs=1e-3),
        pytest.approx(0.943, abs=1e-3),
    )


def test_people_without_the_label_are_counted_apart():
    labels = neighbour_labels([hit(1, "a", "AD"), hit(2, "b"), hit(3, "c")], "diagnosis")
    assert (labels.people, labels.unknown) == (1, 2)
    nobody = neighbour_labels([hit(1, "a")], "diagnosis")
    assert (nobody.people, nobody.unknown, nobody.shares) == (0, 1, ())


def test_calibrated_probabilities_are_right_about_people_never_seen(gallery):
    calibration = calibrate(gallery, "diagnosis", 10)
    assert calibration.classes == ("AD", "CN")
    assert calibration.brier_after <= calibration.brier_before + 0.01
    probabilities, ill = [], []
    queries = [case for case in population(300, seed=5) if case.session == "0"]
    for case in queries:
        result = search(gallery, Query(case.code, MODEL, k=10, subject=case.subject))
        labels = neighbour_labels(result.hits, "diagnosis", calibration)
        assert sum(labels.probabilities.values()) == pytest.approx(1.0)
        probabilities.append(labels.probabilities["AD"])
        ill.append(case.labels["diagnosis"] == "AD")
    probabilities, ill = np.array(probabilities), np.array(ill)
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.01)):
        inside = (probabilities >= low) & (probabilities < high)
        if inside.sum() >= 20:
            assert abs(probabilities[inside].mean() - ill[inside].mean()) < 0.15
    json.dumps(labels.to_json())
    assert "calibrated on this gallery" in labels.lines()[-1]


def test_a_calibration_needs_two_labels_with_people(gallery):
    with pytest.raises(UsageError, match="no case has this label"):
        calibrate(gallery, "height", 5)
    with pytest.raises(TooFewPeopleError, match="two labels of 10 people or more"):
        calibrate(gallery, "diagnosis", 5, most_people=6)


def test_a_new_person_of_the_same_kind_falls_out_as_often_as_promised(gallery):
    distances = nearest_distances(gallery, most_people=300)
    queries = [case for case in population(1500, seed=9) if case.scan_id.endswith("ses-0")]
    p_values = np.array(
        [
            typicality(
                float(gallery.nearest(np.float32(c.code), 1).distances[0]), distances
            ).p_value
            for c in queries
        ]
    )
    for level in (0.05, 0.1, 0.2):
        assert abs((p_values <= level).mean() - level) < 0.02 + 2.0 * np.sqrt(level / 300)


def test_something_else_than_a_brain_has_no_similar_case(gallery):
    distances = nearest_distances(gallery, most_people=200)
    for strange in (np.zeros(N_CELLS) + 3, 5 * np.random.default_rng(0).normal(size=N_CELLS)):
        near = gallery.nearest(strange.astype(np.float32), 1).distances[0]
        judged = typicality(float(near), distances)
        assert not judged.similar
        assert judged.p_value == pytest.approx(1 / 201)
        assert "No similar case in this gallery" in judged.line()


def test_too_few_people_give_no_p_value(tmp_path):
    small = create_gallery(tmp_path / "g", MODEL, 4)
    small.add(population(10), MODEL)
    with pytest.raises(TooFewPeopleError, match="10 people; expected 20 or more"):
        nearest_distances(small)
    small.close()


def test_one_scan_each_is_one_scan_of_every_person(gallery):
    people = gallery.one_scan_each(1000)
    assert len(people) == len({case.subject for case in people}) == 300
    assert {case.session for case in people} == {"0", "1"}
    few = gallery.one_scan_each(7, seed=1)
    assert len(few) == 7
    assert [case.scan_id for case in few] == [c.scan_id for c in gallery.one_scan_each(7, seed=1)]


@pytest.fixture
def visits(tmp_path):
    gallery = create_gallery(tmp_path / "g", MODEL, 4)
    course = [("bl", 70.0, "CN"), ("m12", 71.0, "MCI"), ("m6", 70.5, "CN"), ("m24", 72.1, "AD")]
    gallery.add(
        [
            NewCase(f"sub-a_ses-{s}", "a", np.zeros(N_CELLS), s, {"age": age, "diagnosis": d})
            for s, age, d in course
        ]
        + [
            NewCase(f"sub-b_ses-{s}", "b", np.ones(N_CELLS), s, {"diagnosis": d})
            for s, d in (("m12", "AD"), ("m6", "CN"), ("m0", "CN"))
        ],
        MODEL,
    )
    yield gallery
    gallery.close()


def test_what_became_of_a_neighbour_is_told_in_order(visits):
    first = follow_up(visits, hit(1, "a", "CN", "m6", age=70.5))
    second = follow_up(visits, hit(2, "b", "CN", "m6"))
    assert [visit.labels["diagnosis"] for visit in first] == ["MCI", "AD"]
    assert [visit.years for visit in first] == [0.5, 1.6]
    assert [visit.labels["diagnosis"] for visit in second] == ["AD"]
    assert second[0].years is None


def test_marked_hits_pull_the_query_and_push_it_away():
    query, good, bad = np.zeros(3), np.array([4.0, 0, 0]), np.array([0, 4.0, 0])
    np.testing.assert_allclose(refined_code([query], [good], [bad]), [3, -1, 0])
    np.testing.assert_allclose(refined_code([query, good]), [2, 0, 0])
    np.testing.assert_allclose(refined_code([query]), query)
    with pytest.raises(UsageError):
        refined_code([])


def test_relevance_feedback_brings_more_of_what_was_marked(gallery):
    query = np.zeros(N_CELLS, np.float32)
    query[:6] = 0.6  # halfway between the classes
    before = search(gallery, Query(query, MODEL, k=20, subject="no"))
    plus = [gallery.get(h.scan_id).code for h in before.hits if h.labels["diagnosis"] == "AD"]
    minus = [gallery.get(h.scan_id).code for h in before.hits if h.labels["diagnosis"] == "CN"]
    after = search(gallery, Query(refined_code([query], plus, minus), MODEL, k=20, subject="no"))

    def ill(result):
        return sum(h.labels["diagnosis"] == "AD" for h in result.hits)

    assert ill(after) > ill(before)


def test_the_same_but_older_finds_older_people(gallery):
    older = learn_direction(gallery, "age")
    code = gallery.one_scan_each(1, seed=3)[0].code
    np.testing.assert_allclose(older.slope[6:12], 0.1, atol=0.03)

    def mean_age(moved):
        hits = search(gallery, Query(older.moved(code, moved), MODEL, k=20, subject="no")).hits
        return np.mean([h.labels["age"] for h in hits])

    assert mean_age(8) > mean_age(0) + 2 > mean_age(-8) + 4


def test_a_direction_needs_numbers_and_people(gallery):
    with pytest.raises(UsageError, match="no case has a number there"):
        learn_direction(gallery, "diagnosis")
    with pytest.raises(TooFewPeopleError):
        learn_direction(gallery, "age", most_people=6)


def test_saved_hits_are_a_table_that_braincase_reads(tmp_path):
    gallery = create_gallery(tmp_path / "g", MODEL, 4)
    images = tmp_path / "c"
    images.mkdir()
    for name in ("a", "b"):
        (images / f"{name}.nii.gz").write_bytes(name.encode())
    labels = {"diagnosis": "AD", "age": 70.25, "remark": "=1+2", "change": -1.5}
    gallery.add(
        [
            NewCase(
                f"sub-{n}",
                n,
                np.full(N_CELLS, i),
                labels=labels,
                cohort=images,
                image=f"{n}.nii.gz",
            )
            for i, n in enumerate("ab")
        ],
        MODEL,
    )
    result = search(gallery, Query(np.zeros(N_CELLS), MODEL, k=2, subject="x"))
    scans, _ = read_table(write_hits(result, gallery, tmp_path / "hits.tsv"))
    assert [scan.scan_id for scan in scans] == ["sub-a", "sub-b"]
    assert scans[0].path == images / "a.nii.gz"
    assert scans[0].labels["diagnosis"] == "AD"
    assert float(scans[0].labels["age"]) == 70.25
    assert int(scans[1].labels["rank"]) == 2
    assert scans[0].labels["remark"] == "=1+2"
    table = (tmp_path / "hits.tsv").read_text().splitlines()
    assert "'=1+2" in table[1].split("\t")  # no formula for a spreadsheet
    assert "-1.5" in table[1].split("\t")
    gallery.close()
