"""View volumes: the scan as it was, beside its standard volume, from the cohort to the gallery."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import re
import shutil
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from braincase.cohort.cohort import Cohort, open_cohort
from braincase.cohort.derivatives import list_files
from braincase.cohort.view import (
    SLOPE,
    ViewChoice,
    ViewVolume,
    decode_view,
    find_view,
    pack_view,
    view_choice,
    voxel_hash,
    write_packed,
)
from braincase.errors import ParameterError, ScanError
from braincase.gallery import NewCase, open_gallery
from braincase.images.geometry import HALF_GRID, VIEW_GRIDS, mean_of_blocks
from braincase.images.volume import write_volume
from braincase.population.volumes import view_of_case
from braincase.preprocess.prepare_cohort import Plan, prepare_cohort
from braincase.simulate.cohort import recipe_of, write_visits
from braincase.simulate.head import Scanning, simulate_head
from braincase.simulate.people import Size, draw_visits
from braincase.sources.scan import Scan
from braincase.workflows.gallery_upkeep import verify_gallery
from braincase.workflows.index_cohort import index_cohort
from braincase.workflows.left_files import files_left
from gallery_cases import MODEL, filled_gallery, some_codes
from hostile_image import NAME, hostile, packed_image
from web_service import API, fill, serving, settings_for, untrained_model

COARSE = VIEW_GRIDS[2]
VIEW = NAME.replace("res-4_desc-brain", "res-2_desc-view")


def some_view(seed: int = 0) -> ViewVolume:
    voxels = np.random.default_rng(seed).integers(0, 255, COARSE.shape, dtype=np.uint8)
    return ViewVolume(voxels, COARSE)


def in_the_standard_field(voxels: np.ndarray, mm: int) -> np.ndarray:
    """The part of a view at `mm` that the 4 mm grid covers, in means, in grey levels of it."""
    around = 16 // mm
    return SLOPE * mean_of_blocks(voxels[(slice(around, -around),) * 3], 4 // mm)


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Cohort:
    """Two simulated people at 4 mm with views of 2 mm."""
    visits = draw_visits(Size({"CN": (1, 1), "AD": (1, 1)}, 4), 3)
    folder = tmp_path_factory.mktemp("views") / "cohort"
    return write_visits(folder, HALF_GRID, visits, recipe_of("few", 3, 0), 1, ViewChoice(2))


@pytest.fixture(scope="module")
def head(tmp_path_factory) -> Path:
    """A whole head of 3 mm voxels: quick to make and to prepare."""
    made = simulate_head(1, scanning=Scanning(zooms_mm=(3, 3, 3)))
    path = tmp_path_factory.mktemp("head") / "a.nii.gz"
    write_volume(path, made.data, made.affine)
    return path


@pytest.fixture(scope="module")
def prepared(head, tmp_path_factory) -> Plan:
    """One head with a view of its brain only at 1 mm; do not write into it."""
    plan = Plan(tmp_path_factory.mktemp("head") / "cohort", HALF_GRID, view=ViewChoice(1, True))
    prepare_cohort([Scan(head, "a")], plan, workers=1)
    return plan


def image_of(cohort: Cohort, row: int) -> Path:
    return cohort.folder / cohort.table["image"][row]


def test_a_simulated_view_lies_where_the_standard_volume_does(people):
    for row in range(len(people)):
        volume = people.volumes[np.array([row])][0]
        view = nibabel.load(find_view(image_of(people, row)).path)
        assert np.allclose(view.affine, COARSE.affine)
        coarse = in_the_standard_field(np.asarray(view.dataobj.get_unscaled()), 2)
        brain = volume > 0
        assert np.corrcoef(coarse[brain], volume[brain])[0, 1] > 0.95
        assert np.corrcoef(coarse[::-1][brain], volume[brain])[0, 1] < 0.9  # mirrored is another
        # The grey levels of any viewer are those of the standard volume; the head goes beyond it.
        assert 0.95 < view.get_fdata()[8:-8, 8:-8, 8:-8].mean() / coarse.mean() < 1.05
        assert 0.9 < coarse[brain].mean() / volume[brain].mean() < 1.1
        assert (coarse[~brain] > 60).sum() > 5000


def test_views_change_no_volume_and_no_table(people, tmp_path):
    visits = draw_visits(Size({"CN": (1, 1), "AD": (1, 1)}, 4), 3)
    plain = write_visits(tmp_path / "c", HALF_GRID, visits, recipe_of("few", 3, 0), 1)
    assert list(plain.table["image_hash"]) == list(people.table["image_hash"])
    assert [f[0] for f in list_files(plain.folder)] == [f[0] for f in list_files(people.folder)]
    assert not list(plain.folder.rglob("*desc-view*"))


def test_a_view_is_private_as_all_of_a_cohort(people):
    files = [*people.folder.rglob("*desc-view*")]
    assert len(files) == 2 * len(people)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_view_of_the_brain_only_shows_nothing_else(prepared):
    (image,) = prepared.folder.rglob("*_desc-brain_T1w.nii.gz")
    view = find_view(image)
    assert view.choice == ViewChoice(1, brain_only=True)
    voxels = decode_view(view.path.read_bytes(), view.path, VIEW_GRIDS[1])
    volume = np.asarray(nibabel.load(image).dataobj)
    brain = volume > 0
    coarse = in_the_standard_field(voxels, 1)
    assert np.corrcoef(coarse[brain], volume[brain])[0, 1] > 0.95
    assert not coarse[~brain].any() or coarse[~brain].mean() < 3  # voxels cut by the mask's edge
    outside = np.ones(voxels.shape, bool)
    outside[(slice(16, -16),) * 3] = False
    assert not voxels[outside].any()


def test_views_of_scans_done_before_stay_unless_all_are_asked_for(prepared, head, tmp_path):
    plan = replace(prepared, folder=tmp_path / "cohort")
    shutil.copytree(prepared.folder, plan.folder)
    (image,) = plan.folder.rglob("*_desc-brain_T1w.nii.gz")
    other = replace(plan, view=ViewChoice(2))
    assert prepare_cohort([Scan(head, "a")], other, workers=1).done_before == 1
    assert find_view(image).choice == ViewChoice(1, True)
    none = replace(plan, view=None, views_of_all=True)
    assert prepare_cohort([Scan(head, "a")], none, workers=1).done_before == 1
    assert not list(plan.folder.rglob("*desc-view*"))


def test_what_is_no_choice_is_refused_by_name():
    assert view_choice("none") is None
    assert view_choice("2mm", True) == ViewChoice(2, True)
    with pytest.raises(ParameterError, match="'3mm'; expected 1mm or 2mm or none"):
        view_choice("3mm")
    with pytest.raises(ParameterError, match="expected 1mm or 2mm"):
        view_choice("none", True)


def test_a_packed_view_is_read_again_and_any_other_file_is_refused():
    view, path = some_view(), Path("x.nii.gz")
    packed = pack_view(view)
    np.testing.assert_array_equal(decode_view(packed, path, COARSE), view.voxels)
    assert pack_view(view) == packed
    content = bytearray(gzip.decompress(packed))
    content[280 + 15] ^= 64  # where the affine says how far to the right the first voxel is
    moved, constant = gzip.compress(bytes(content), 1), replace(view, voxels=0 * view.voxels)
    bomb = packed_image(2**28, COARSE.shape)
    bad_files = (packed[: len(packed) // 2], b"root:x:0:0", packed + packed, bomb, moved)
    for bad in (*bad_files, pack_view(constant)):
        with pytest.raises(ScanError):
            decode_view(bad, path, COARSE)


def report_as_scanned(client, query):
    """The report shows both as scanned, and the key images that the reader chose at their place."""
    told = client.post(f"{API}/searches", json={"case": query, "k": 1}).json()
    hit = told["hits"][0]["scan_id"]
    url = f"{API}/searches/{told['search']}/report.html"
    plain = client.get(url).text
    others = [scan for scan in told["same_subject"] if scan["scan_id"] != query]
    assert plain.count("(as scanned)") == 2 + len(others)
    assert "Key images" not in plain
    keys = {"key": [f"{hit}@30,-20,-14", f"{hit}@-26.0,-20.0,12.0"]}
    page = client.get(url, params=keys).text
    assert "MNI x 30, y -20, z -14 mm" in page
    pictures = re.findall(r"base64,([^\"]+)", page)
    sagittal = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0]))))
    assert (sagittal > 0).mean() > 0.2
    assert (sagittal == 255).mean() < 0.05  # grey and no silhouette
    # The query's and the hit's planes: at the first place, at the usual one, and in the cards.
    assert pictures[3:6] != pictures[9:12]
    assert pictures[0:3] == pictures[9:12]
    assert pictures[6:9] != pictures[12:15] == pictures[15:18]
    for bad, status in ((f"{hit}@1,2", 400), (f"{hit}@1,2,3;x", 400), ("sub-none@1,2,3", 404)):
        assert client.get(url, params={"key": bad}).status_code == status
    assert client.get(url, params={"key": [keys["key"][0]] * 13}).status_code == 400


def test_a_gallery_keeps_the_view_and_the_service_sends_it(people, tmp_path):
    cohort = tmp_path / "cohort"
    shutil.copytree(people.folder, cohort)
    model = untrained_model(tmp_path / "model", people)
    url = fill(tmp_path / "g", open_cohort(cohort), model)
    first = people.table["scan_id"][0]
    with contextlib.closing(open_gallery(url)) as gallery:
        case = gallery.get(first)
        assert view_of_case(case).volume.shape == COARSE.shape
        version = gallery.info().version
    assert verify_gallery(url).problems == ()
    with serving(settings_for(url, tmp_path / "audit.jsonl")) as client:
        assert client.get(f"{API}/cases/{first}").json()["view_mm"] == 2
        sent = client.get(f"{API}/cases/{first}/view.nii.gz")
        assert sent.content == find_view(image_of(people, 0)).path.read_bytes()
        assert client.get(f"{API}/cases/{first}/view/slices/axial/60.png").status_code == 200
        report_as_scanned(client, first)
    # Without the view the case is another state; the code stays.
    for path in cohort.glob(f"sub-{case.subject}/**/*desc-view*"):
        path.unlink()
    assert any("view_T1w" in line for line in verify_gallery(url).problems)
    done = index_cohort(url, open_cohort(cohort), model)
    assert (done.version, done.updated, done.unchanged) == (version + 1, 1, 1)
    with serving(settings_for(url, tmp_path / "audit.jsonl")) as client:
        assert client.get(f"{API}/cases/{first}").json()["view_mm"] is None
        assert client.get(f"{API}/cases/{first}/view.nii.gz").status_code == 404
        assert client.get(f"{API}/cases/{first}/volume.nii.gz").status_code == 200
        assert client.get(f"{API}/cases/{first}/view.nii.gz?as_of={version}").status_code == 404


def test_a_gallery_from_before_there_were_views_is_read_and_takes_them(people, tmp_path):
    model = untrained_model(tmp_path / "model", people)
    url = fill(tmp_path / "g", people, model)
    with contextlib.closing(sqlite3.connect(url / "gallery.sqlite3")) as connection, connection:
        connection.execute("DROP TABLE views")
    with contextlib.closing(open_gallery(url)) as gallery:
        cases = gallery.find(list(people.table["scan_id"]))
        assert [case.view for case in cases.values()] == [None] * len(people)
        assert gallery.info().version == 1
    assert verify_gallery(url).problems == ()
    done = index_cohort(url, people, model)
    assert (done.version, done.updated) == (2, len(people))
    with contextlib.closing(open_gallery(url)) as gallery:
        assert gallery.get(people.table["scan_id"][1]).view is not None


def test_the_erased_leave_no_view_in_the_gallery_and_its_file_is_listed(people, tmp_path):
    url = fill(tmp_path / "g", people, untrained_model(tmp_path / "model", people))
    scan = people.table["scan_id"][0]
    with contextlib.closing(open_gallery(url)) as gallery:
        case = gallery.get(scan)
        gallery.remove([scan], erase=True)
    left = files_left([case], {case.subject})
    assert {case.view, case.view.with_suffix("").with_suffix(".json")} <= set(left)
    with contextlib.closing(sqlite3.connect(url / "gallery.sqlite3")) as connection:
        assert connection.execute("SELECT count(*) FROM views").fetchone() == (len(people) - 1,)
    for name in ("gallery.sqlite3", "gallery.sqlite3-wal"):
        if (url / name).is_file():
            assert case.view.name.encode() not in (url / name).read_bytes()


KINDS = [
    "absolute", "above", "above in between", "other name", "link out", "folder link out", "circle",
    "pipe", "device", "folder", "no image", "other image", "missing",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_else_a_foreign_gallery_calls_a_view_is_neither_opened_nor_sent(tmp_path, kind):
    cohort, view = tmp_path / "cohort", some_view()
    for folder, seed in ((cohort, 0), (tmp_path / "other", 1)):
        write_packed(folder / VIEW, pack_view(some_view(seed)))
    folder, name = hostile(kind, tmp_path, cohort, VIEW)
    gallery = filled_gallery(tmp_path / "g", n_people=2)
    case = NewCase("sub-x", "x", some_codes(1)[0], cohort=cohort, view=VIEW, view_hash="-")
    gallery.add([case], MODEL)
    gallery.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "g/gallery.sqlite3")) as db, db:
        known = voxel_hash(view.voxels)
        db.execute("UPDATE cohorts SET folder = ?", [str(folder)])
        db.execute("UPDATE views SET view = ?, view_hash = ?", [str(name), known])
        db.execute("UPDATE cases SET full_checksum = NULL")
    with contextlib.closing(open_gallery(tmp_path / "g")) as opened, pytest.raises(ScanError):
        view_of_case(opened.get("sub-x"))
    if kind in ("absolute", "link out", "pipe", "no image"):
        with serving(settings_for(tmp_path / "g", tmp_path / "audit.jsonl")) as client:
            for path in ("view.nii.gz", "view/slices/axial/20.png"):
                answer = client.get(f"{API}/cases/sub-x/{path}", timeout=10)
                assert answer.status_code == 404
                assert b"root:" not in answer.content
