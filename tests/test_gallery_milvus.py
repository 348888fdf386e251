"""What is particular to the distributed engine, against a real Milvus server."""

import itertools
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from braincase.errors import GalleryError, UsageError
from braincase.gallery import Query, create_gallery, open_gallery, sync_gallery
from braincase.gallery.milvus.collection import Collection
from braincase.gallery.url import parse_url
from braincase.search.nearest import search
from gallery_cases import MODEL, N_CELLS, some_cases, some_codes

NUMBERS = itertools.count()


@pytest.fixture
def url(milvus, tmp_path):
    return f"milvus://{milvus}/own_{next(NUMBERS)}?record={tmp_path}/gallery"


@pytest.fixture
def gallery(url):
    filled = filled_at(url)
    yield filled
    filled.close()


def filled_at(url):
    gallery = create_gallery(url, MODEL, 4)
    gallery.add(some_cases(100), MODEL)
    return gallery


def nearest_ids(gallery, code, k=10):
    neighbours = gallery.nearest(np.asarray(code, np.float32), k)
    return [case.scan_id for case in neighbours.cases]


def true_ids(cases, code, k=10):
    far = [np.linalg.norm(np.asarray(case.code, np.float64) - code) for case in cases]
    return [cases[i].scan_id for i in np.argsort(far, kind="stable")[:k]]


def no_record(*args):
    raise AssertionError("the record was searched")


def test_milvus_itself_proves_the_answer(gallery, monkeypatch):
    monkeypatch.setattr(gallery._engine, "_rank_in_record", no_record)
    code = some_codes(1, seed=5)[0]
    weights = np.random.default_rng(0).random(N_CELLS)
    for settings in ({}, {"weights": weights}, {"where": "sex = 'F'"}, {"where": "age > 60"}):
        assert len(gallery.nearest(code, 10, **settings).cases) == 10


def test_a_filter_on_coarse_labels_is_passed_on_as_opaque_numbers(gallery, monkeypatch):
    asked = []
    ask = Collection.nearest

    def spying(self, query, weights, most, condition, *rest):
        asked.append((most, condition))
        return ask(self, query, weights, most, condition, *rest)

    monkeypatch.setattr(Collection, "nearest", spying)
    neighbours = gallery.nearest(some_codes(1)[0], 5, where="diagnosis = 'AD' and sex = 'M'")
    assert len(neighbours.cases) == 5
    ((most, condition),) = asked
    assert most < 40  # the groups leave exactly what the filter leaves
    assert "lot in [" in condition
    assert not any(word in condition for word in ("AD", "sex", "diagnosis"))


def test_only_opaque_fields_go_to_milvus(gallery, url):
    collection = Collection(parse_url(url))
    described = collection._client.describe_collection(collection.url.collection)
    names = [field["name"] for field in described["fields"]]
    assert names == ["key", "added_in", "removed_in", "lot", "checksum", "vector"]
    assert not described.get("enable_dynamic_field")
    assert "sub-" not in str(described)
    rows = collection._client.query(
        collection.url.collection, filter="key >= 0", output_fields=["*"], limit=300,
        consistency_level="Strong",
    )  # fmt: skip
    assert len(rows) == 200
    assert all(isinstance(row[name], int) for row in rows for name in names[:-1])
    lots = {row["lot"] for row in rows}
    assert 6 < len(lots) < 50  # a few people share each
    collection.close()


WRITER = """
import sys
import time
from dataclasses import replace
from braincase.gallery import open_gallery
from gallery_cases import MODEL, some_cases
gallery = open_gallery(sys.argv[1])
{fault}
cases = [replace(case, scan_id="killed-" + case.scan_id) for case in some_cases(500, 1, seed=6)]
for start in range(0, len(cases), 5):
    gallery.add(cases[start : start + 5], MODEL)
    print(*(case.scan_id for case in cases[start : start + 5]), flush=True)
"""
#: Kills the process in its third call of a method of the collection, before or after the call.
FAULT = """
import os, signal
from braincase.gallery.milvus.collection import Collection
def dying(self, *args, method=Collection.{method}, count=[0]):
    count[0] += 1
    answer = method(self, *args) if {after} or count[0] < 3 else None
    if count[0] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
Collection.{method} = dying
"""


def killed_writer(url, fault="", batches=None):
    """Start a writer, kill it after some batches if it does not do so itself.

    Returns what it had acknowledged.
    """
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER.format(fault=fault), url],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    lines = [writer.stdout.readline() for _ in range(batches or 0)]
    if batches:
        writer.kill()
    lines += writer.stdout.readlines()
    writer.stdout.close()
    assert writer.wait() == -signal.SIGKILL
    return [scan_id for line in lines if line.endswith("\n") for scan_id in line.split()]


def assert_whole(url, acknowledged):
    gallery = open_gallery(url)
    expected = some_cases(100) + [
        replace(case, scan_id="killed-" + case.scan_id) for case in some_cases(500, 1, seed=6)
    ]
    assert set(gallery.find(acknowledged)) == set(acknowledged)
    there = [case for case in expected if case.scan_id in gallery.find([case.scan_id])]
    assert len(there) == gallery.info().cases
    gallery._engine._rank_in_record = no_record
    for scan_id in acknowledged[-5:]:
        code = np.asarray(gallery.get(scan_id).code)
        assert nearest_ids(gallery, code) == true_ids(there, code)
    gallery.close()


@pytest.mark.parametrize(("method", "after"), [("put", False), ("put", True), ("checksums", True)])
def test_killed_between_record_and_milvus_nothing_acknowledged_is_lost(gallery, url, method, after):
    acknowledged = killed_writer(url, FAULT.format(method=method, after=after))
    assert len(acknowledged) in (5, 10)
    assert_whole(url, acknowledged)


@pytest.mark.parametrize("batches", [7])
def test_killed_at_any_moment_nothing_acknowledged_is_lost(gallery, url, batches):
    acknowledged = killed_writer(url, batches=batches)
    assert len(acknowledged) >= 5 * batches
    assert_whole(url, acknowledged)


def test_what_was_written_a_while_ago_needs_no_wait(gallery, monkeypatch):
    monkeypatch.setattr("braincase.gallery.milvus.collection.SKEW_S", 0.5)
    time.sleep(0.6)
    monkeypatch.setattr(gallery._engine, "_rank_in_record", no_record)
    for case in some_cases(100)[::20]:  # each seen, though nothing is 'strong'
        assert nearest_ids(gallery, case.code, 1) == [case.scan_id]


def test_what_milvus_did_not_follow_it_follows_at_the_next_use(gallery, monkeypatch, caplog):
    def failing(self, entities):
        raise GalleryError("milvus", "no answer")

    code = some_codes(1, seed=3)[0]
    new = replace(some_cases(1)[0], scan_id="sub-new", subject="new", code=code)
    with monkeypatch.context() as patch:
        patch.setattr(Collection, "put", failing)
        assert gallery.add([new], MODEL).added == ("sub-new",)
        assert "Milvus did not follow yet" in caplog.text
        with pytest.raises(GalleryError, match="no answer"):  # no old answer as if it were new
            gallery.nearest(code, 1)
    assert nearest_ids(gallery, code, 1) == ["sub-new"]


def test_a_collection_that_lost_cases_is_noticed_and_brought_up(gallery, url):
    gallery.close()
    collection = Collection(parse_url(url))
    lost = list(collection.checksums("key < 20"))
    collection.delete(lost)
    collection.close()
    with pytest.raises(GalleryError, match="lacks cases; expected a copy of the record"):
        open_gallery(url)
    assert sync_gallery(url).put == len(lost) > 0
    again = open_gallery(url)
    code = np.asarray(some_cases(100)[0].code)
    assert nearest_ids(again, code) == true_ids(some_cases(100), code)
    again.close()
    assert (sync_gallery(url).put, sync_gallery(url).deleted) == (0, 0)


def test_a_record_put_back_in_time_is_noticed_and_its_collection_follows(gallery, url, tmp_path):
    gallery.close()
    shutil.copytree(tmp_path / "gallery", tmp_path / "copy")
    later = open_gallery(url)
    later.add(
        [replace(case, scan_id="later-" + case.scan_id) for case in some_cases(9, seed=3)], MODEL
    )
    later.remove(["sub-000_ses-1"])
    later.close()
    shutil.rmtree(tmp_path / "gallery")
    shutil.move(tmp_path / "copy", tmp_path / "gallery")
    with pytest.raises(GalleryError, match="ahead of its record"):
        open_gallery(url)
    done = sync_gallery(url)
    assert (done.put, done.deleted) == (1, 19)
    again = open_gallery(url)
    code = np.asarray(some_cases(100)[0].code)
    assert nearest_ids(again, code) == true_ids(some_cases(100), code)
    again.close()


def test_an_embedded_gallery_is_spread_by_sync(milvus, tmp_path):
    local = create_gallery(tmp_path / "g", MODEL, 4)
    local.add(some_cases(100), MODEL)
    local.remove(["sub-000_ses-1"])
    url = f"milvus://{milvus}/spread?record={tmp_path}/g"
    with pytest.raises(GalleryError, match="no such collection"):
        open_gallery(url)
    assert sync_gallery(url).put == 200
    spread = open_gallery(url)
    query = Query(some_codes(1, seed=5)[0], MODEL, k=10, where="age > 60")
    assert search(spread, query).hits == search(local, query).hits
    spread.close()
    local.close()
    with pytest.raises(UsageError, match="nothing to bring up"):
        sync_gallery(tmp_path / "g")


def test_a_collection_of_another_gallery_or_program_is_left_alone(gallery, url, milvus, tmp_path):
    collection = parse_url(url).collection
    create_gallery(tmp_path / "other", MODEL, 4).close()
    foreign = f"milvus://{milvus}/{collection}?record={tmp_path}/other"
    for attempt in (open_gallery, sync_gallery):
        with pytest.raises(GalleryError, match="the collection of another gallery"):
            attempt(foreign)
    client = gallery._engine._collection._client
    client.create_collection("strange", dimension=4)
    strange = f"milvus://{milvus}/strange?record={tmp_path}/other"
    for attempt in (open_gallery, sync_gallery):
        with pytest.raises(GalleryError, match="a collection of another program"):
            attempt(strange)
    with pytest.raises(GalleryError, match="another program"):
        create_gallery(f"milvus://{milvus}/strange?record={tmp_path}/new", MODEL, 4)
    assert not (tmp_path / "new").exists()
    assert set(client.list_collections()) >= {"strange", collection}


def test_a_graph_is_only_by_choice_and_the_answer_says_so(milvus, tmp_path):
    plain = f"milvus://{milvus}/graph?record={tmp_path}/g"
    gallery = filled_at(f"{plain}&index=hnsw")
    query = Query(some_codes(1, seed=5)[0], MODEL, k=10, subject="nobody")
    result = search(gallery, query)
    assert not result.exact
    assert "The search was approximate: nearer cases may have been missed." in result.notes
    truth = {case.scan_id: np.asarray(case.code, np.float64) for case in some_cases(100)}
    for hit in result.hits:  # the distances are true, whatever was missed
        assert hit.distance == pytest.approx(np.linalg.norm(truth[hit.scan_id] - query.code))
    by_region = search(gallery, replace(query, weights=np.arange(N_CELLS, dtype=float)))
    assert by_region.exact  # a graph knows one distance: the record answers
    gallery.close()
    with pytest.raises(GalleryError, match="index hnsw; expected flat"):
        open_gallery(f"{plain}&index=flat")
    sync_gallery(f"{plain}&index=flat")
    exact = open_gallery(plain)
    assert search(exact, query).exact
    exact.close()


def test_numbers_beyond_float32_squares_are_refused_before_anything_is_written(gallery):
    huge = replace(some_cases(1)[0], scan_id="sub-huge", code=np.full(N_CELLS, 1e20))
    with pytest.raises(UsageError, match="too large for Milvus"):
        gallery.add([huge], MODEL)
    assert gallery.info().cases == 200


def test_what_a_retry_does_not_mend_is_told_at_once(milvus, tmp_path, caplog):
    for name in ("lost", "no-name"):
        collection = Collection(parse_url(f"milvus://{milvus}/lost?record={tmp_path}"))
        collection.url = replace(collection.url, collection=name)  # `parse_url` refuses bad names
        with pytest.raises(GalleryError, match="Milvus says"):
            collection.count()
        collection.close()
    assert "asking Milvus again" not in caplog.text


def test_a_server_that_is_not_there_is_told_in_one_line(milvus, tmp_path):
    url = f"milvus://127.0.0.1:1/none?record={tmp_path}/g"
    with pytest.raises(GalleryError, match=r"Is Milvus running at 127\.0\.0\.1:1") as error:
        create_gallery(url, MODEL, 4)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "g").exists()
