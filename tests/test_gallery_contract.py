"""What every engine promises, once on the embedded engine and once on a real Milvus server."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from braincase.errors import FingerprintError, GalleryError, UsageError
from braincase.gallery import NewCase, Query, create_gallery, open_gallery
from braincase.search.nearest import search
from gallery_cases import MODEL, N_CELLS, some_cases, some_codes

ENGINES = ["embedded", "milvus"]
NUMBERS = itertools.count()


def url_for(engine, folder, address):
    if engine == "embedded":
        return str(folder / "gallery")
    return f"milvus://{address}/contract_{next(NUMBERS)}?record={folder}/gallery"


@pytest.fixture(params=ENGINES)
def url(request, tmp_path):
    """A place where a gallery can be made."""
    address = request.getfixturevalue("milvus") if request.param == "milvus" else None
    return url_for(request.param, tmp_path, address)


@pytest.fixture
def gallery(url):
    """A gallery of 60 cases of 30 people, that a test may change."""
    with_cases = create_gallery(url, MODEL, 4)
    with_cases.add(some_cases(30), MODEL)
    yield with_cases
    with_cases.close()


def test_codes_of_any_length_and_the_name_of_their_encoder_are_kept(url):
    made = create_gallery(url, MODEL, 4, n_dimensions=768, encoder="anatcl")
    codes = np.random.default_rng(0).standard_normal((4, 768)).astype(np.float32)
    made.add([NewCase(f"sub-{i}", str(i), code) for i, code in enumerate(codes)], MODEL)
    made.close()
    again = open_gallery(url, MODEL)
    assert (again.info().n_dimensions, again.info().encoder) == (768, "anatcl")
    near = again.nearest(codes[2], 4)
    assert near.cases[0].scan_id == "sub-2"
    expected = np.sort(np.linalg.norm(codes - codes[2], axis=1))
    np.testing.assert_allclose(near.distances, expected, rtol=1e-6)
    again.close()


def test_a_collection_is_not_begun_for_codes_too_long_for_it(tmp_path):
    url = f"milvus://127.0.0.1:1/long?record={tmp_path / 'gallery'}"
    with pytest.raises(UsageError, match="codes of 16385 numbers; expected at most 16384"):
        create_gallery(url, MODEL, 4, n_dimensions=16_385)
    assert not (tmp_path / "gallery").exists()


@pytest.fixture(scope="module", params=ENGINES)
def large(request, tmp_path_factory):
    """A gallery of 800 cases of 400 people with ends and updates behind it, only to be read."""
    folder = tmp_path_factory.mktemp("contract")
    if request.param == "embedded":
        filled = changed_gallery(url_for("embedded", folder, None))
        yield filled
    else:
        with request.getfixturevalue("milvus_server").reachable() as address:
            filled = changed_gallery(url_for("milvus", folder, address))
            yield filled
    filled.close()


def changed_gallery(url):
    gallery = create_gallery(url, MODEL, 4)
    gallery.add(some_cases(400)[:500], MODEL)
    gallery.add([*some_cases(400)[500:], left_out()], MODEL)
    gallery.update([moved(case) for case in some_cases(400)[:9]], MODEL)
    gallery.update(some_cases(400)[:9], MODEL)
    gallery.remove(["sub-gone"])
    return gallery


def moved(case):
    return replace(case, code=np.asarray(case.code) + 5, image_hash=f"moved {case.scan_id}")


def left_out():
    return NewCase("sub-gone", "gone", some_codes(1, seed=5)[0])


def brute_force(query, cases):
    """Oracle: scan_ids and distances of the nearest people by float64, filter, person applied."""
    centre = np.asarray(query.code, np.float64)
    weights = np.ones(N_CELLS) if query.weights is None else np.asarray(query.weights)
    nearest = {}
    for case in cases:
        far = np.sqrt((weights * (np.asarray(case.code, np.float64) - centre) ** 2).sum())
        if case.subject != query.subject and far < nearest.get(case.subject, ("", np.inf))[1]:
            nearest[case.subject] = (case.scan_id, far)
    found = sorted(nearest.values(), key=lambda pair: pair[1])[: query.k]
    return [scan_id for scan_id, _ in found], [far for _, far in found]


def some_weights(seed):
    rng = np.random.default_rng(seed)
    return rng.random(N_CELLS) * (rng.random(N_CELLS) < 0.1)


def old_women(case):
    return case.labels["sex"] == "F" and (case.labels["age"] or 0) > 70


def rare(case):
    return case.labels["age"] == 57.0 and case.labels["diagnosis"] == "AD"


SEARCHES = {
    "plain": ({}, None),
    "filter": ({"where": "sex = 'F' and age > 70"}, old_women),
    "narrow": ({"where": "age = 57 and diagnosis = 'AD'", "k": 20}, rare),
    "nothing": ({"where": "age > 500"}, lambda case: False),
    "negated": ({"where": "not age <= 70 and sex = 'F'"}, old_women),
    "region": ({"weights": some_weights(0)}, None),
    "region and filter": ({"weights": some_weights(1), "where": "sex='F' and age>70"}, old_women),
    "all": ({"k": 400}, None),
    "person": ({"subject": "007", "code": some_codes(400)[7]}, None),
    "far away": ({"code": np.full(N_CELLS, 1000.0)}, None),
    "at the origin": ({"code": np.zeros(N_CELLS)}, None),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_every_search_is_that_of_a_brute_force(large, name):
    settings, passes = SEARCHES[name]
    start = {"code": some_codes(1, seed=5)[0], "fingerprint": MODEL, "k": 10, "subject": "nobody"}
    query = Query(**(start | settings))
    result = search(large, query)
    selected = [case for case in some_cases(400) if passes is None or passes(case)]
    expected, distances = brute_force(query, selected)
    assert [hit.scan_id for hit in result.hits] == expected
    np.testing.assert_allclose([h.distance for h in result.hits], distances, rtol=1e-12)
    assert (result.n_cases, result.n_selected) == (800, len(selected))
    assert result.exact
    own = {case.scan_id for case in some_cases(400) if case.subject == query.subject}
    assert {hit.scan_id for hit in result.same_subject} == own


def test_each_person_is_found_once_however_many_scans_lie_nearest(url):
    # Ten scans of one person are nearer than anybody else's: the first look sees that one alone.
    codes = some_codes(8)
    crowd = [NewCase(f"sub-0_ses-{i}", "0", codes[0] + 0.01 * i) for i in range(10)]
    gallery = create_gallery(url, MODEL, 4)
    gallery.add(crowd + [NewCase(f"sub-{i}", str(i), codes[i]) for i in range(1, 8)], MODEL)
    for k in (1, 3, 7):
        query = Query(codes[0] + 0.021, MODEL, k=k, subject="nobody")
        hits = search(gallery, query).hits
        expected, distances = brute_force(query, gallery.cases())
        assert ([hit.scan_id for hit in hits], expected[0]) == (expected, "sub-0_ses-2")
        np.testing.assert_allclose([hit.distance for hit in hits], distances, rtol=1e-9)
    assert len(gallery.nearest(np.asarray(query.code), 12).cases) == 12
    gallery.close()


def test_an_earlier_version_is_searched_as_it_was(large):
    query = Query(some_codes(1, seed=5)[0], MODEL, k=1, subject="nobody")
    now, then = search(large, query), search(large, replace(query, as_of=2))
    assert then.hits[0].scan_id == "sub-gone"
    assert then.hits[0].distance == 0.0
    assert now.hits[0].scan_id != "sub-gone"
    aside = Query(moved(some_cases(400)[3]).code, MODEL, k=1, subject="nobody")
    assert search(large, replace(aside, as_of=3)).hits[0].distance == 0.0
    assert search(large, aside).hits[0].distance > 10


def test_equal_distances_come_in_the_order_they_were_added(url):
    gallery = create_gallery(url, MODEL, 4)
    code = some_codes(1)[0]
    gallery.add([NewCase(f"sub-{i}", str(i), code) for i in range(40)], MODEL)
    result = search(gallery, Query(code, MODEL, k=5, subject="3"))
    assert [hit.scan_id for hit in result.hits] == ["sub-0", "sub-1", "sub-2", "sub-4", "sub-5"]
    gallery.close()


def test_people_are_found(large):
    assert [case.scan_id for case in large.person("012")] == ["sub-012_ses-1", "sub-012_ses-2"]
    each = large.one_scan_each(50, seed=1)
    assert len({case.subject for case in each}) == len(each) == 50
    assert set(large.find(["sub-001_ses-1", "nobody"])) == {"sub-001_ses-1"}
    codes = np.stack([np.asarray(case.code, np.float64) for case in some_cases(400)])
    people = np.repeat(np.arange(400), 2)
    nearest = [np.linalg.norm(codes[people != p] - codes[2 * p], axis=1).min() for p in range(400)]
    nearest += [
        np.linalg.norm(codes[people != p] - codes[2 * p + 1], axis=1).min() for p in range(400)
    ]
    closest = large.closest_people()
    assert closest.distance == pytest.approx(min(nearest))
    assert closest.people == 400


def test_a_case_comes_back_as_it_went_in(gallery, url, tmp_path):
    case = NewCase(
        "sub-x_ses-2", "x", np.arange(N_CELLS), "2", {"age": np.float64(70.5), "note": np.nan},
        cohort=tmp_path / "cohort", image="sub-x/x.nii.gz", image_hash="h", thumbnail=b"small",
    )  # fmt: skip
    gallery.add([case], MODEL)
    again = open_gallery(url)
    stored = again.get("sub-x_ses-2")
    assert (stored.subject, stored.session, stored.image_hash) == ("x", "2", "h")
    assert stored.labels == {"age": 70.5, "note": None}
    assert stored.image == tmp_path / "cohort" / "sub-x" / "x.nii.gz"
    np.testing.assert_array_equal(stored.code, np.arange(N_CELLS, dtype=np.float32))
    assert again.thumbnail("sub-x_ses-2") == b"small"
    assert again.thumbnail("sub-000_ses-1") is None
    again.close()


def test_an_add_is_idempotent_and_whole_or_not_at_all(gallery):
    before = gallery.info()
    assert len(gallery.add(some_cases(30), MODEL).unchanged) == before.cases == 60
    fresh = [replace(case, scan_id=f"new-{i}") for i, case in enumerate(some_cases(3))]
    broken = replace(fresh[2], code=np.full(N_CELLS, np.nan))
    with pytest.raises(UsageError, match="not finite"):
        gallery.add([*fresh[:2], broken], MODEL)
    assert gallery.info() == before


def test_a_changed_case_needs_update_and_the_old_state_stays_in_its_version(gallery):
    case = some_cases(30)[4]
    changed = replace(case, labels={**case.labels, "diagnosis": "AD"})
    with pytest.raises(GalleryError, match="is there, but differs"):
        gallery.add([changed], MODEL)
    change = gallery.update([changed], MODEL)
    assert (change.version, change.updated) == (2, (case.scan_id,))
    assert gallery.get(case.scan_id).labels["diagnosis"] == "AD"
    assert gallery.get(case.scan_id, as_of=1).labels["diagnosis"] == case.labels["diagnosis"]
    assert gallery.info().cases == gallery.info(as_of=1).cases == 60
    ill = gallery.nearest(np.asarray(case.code), 60, where="diagnosis = 'AD'")
    assert ill.cases[0].scan_id == case.scan_id
    assert len(ill.cases) == 21


def test_removed_is_gone_now_but_not_then_and_erased_is_gone_always(gallery):
    name = "sub-003_ses-1"
    code = gallery.get(name).code
    gallery.remove([name])
    assert gallery.nearest(code, 1).cases[0].scan_id != name
    assert gallery.nearest(code, 1, as_of=1).cases[0].scan_id == name
    assert gallery.remove([name], erase=True).version == 3
    then = gallery.nearest(code, 1, as_of=1)
    assert then.cases[0].scan_id != name
    assert then.notes == ("1 case(s) of this version have since been erased.",)
    gallery.close()
    whole = b"".join(file.read_bytes() for file in gallery.folder.iterdir())
    assert code.tobytes() not in whole


def test_what_cannot_be_done_changes_nothing(gallery, url):
    before = gallery.info()
    with pytest.raises(UsageError, match="no scan 'sub-nobody'"):
        gallery.remove(["sub-000_ses-1", "sub-nobody"])
    with pytest.raises(FingerprintError, match="Codes of two models cannot be compared"):
        gallery.add(some_cases(1), "b" * 64)
    with pytest.raises(FingerprintError):
        open_gallery(url, "b" * 64)
    with pytest.raises(UsageError, match="as_of: version 9; expected 0 to 1"):
        gallery.nearest(np.zeros(N_CELLS, np.float32), 1, as_of=9)
    with pytest.raises(GalleryError, match="is here already"):
        create_gallery(url, MODEL, 4)
    assert gallery.info() == before


def test_the_same_image_under_a_second_name_is_reported(gallery):
    copy = replace(some_cases(30)[0], scan_id="sub-copy", subject="copy")
    assert gallery.add([copy], MODEL).duplicates == (("sub-copy", "sub-000_ses-1"),)


def test_another_object_sees_what_was_changed_since(gallery, url):
    other = open_gallery(url)
    assert other.info().cases == 60
    fresh = [replace(case, scan_id="new-" + case.scan_id) for case in some_cases(2)]
    gallery.add(fresh, MODEL)
    gallery.remove(["sub-001_ses-1"])
    assert (other.info().version, other.info().cases) == (3, 63)
    assert other.nearest(np.asarray(fresh[0].code), 2).distances.tolist() == [0.0, 0.0]
    other.close()


def test_an_old_answer_comes_again_from_its_version(gallery, url):
    query = Query(some_codes(1, seed=8)[0], MODEL, k=10, where="age > 60", subject="004")
    before = search(gallery, query)
    gallery.update([replace(c, labels={"age": 99.0}) for c in some_cases(30)[:20]], MODEL)
    gallery.remove([hit.scan_id for hit in before.hits[:3]])
    gallery.add([replace(c, scan_id="new" + c.scan_id) for c in some_cases(9, seed=4)], MODEL)
    assert search(gallery, query).hits != before.hits
    again = replace(query, as_of=before.gallery_version)
    assert json.dumps(search(gallery, again).to_json()) == json.dumps(before.to_json())
    fresh = open_gallery(url)  # also by one that never saw the old state
    assert json.dumps(search(fresh, again).to_json()) == json.dumps(before.to_json())
    assert [version.what for version in fresh.versions()] == [
        "created",
        "60 added, 0 updated",
        "0 added, 20 updated",
        "3 removed",
        "18 added, 0 updated",
    ]
    fresh.close()
