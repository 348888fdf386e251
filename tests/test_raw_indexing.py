"""Raw scans into a gallery: prepared by the model's recipe, resumable, no scan stops it."""

import shutil
from contextlib import closing
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from braincase.cohort.derivatives import is_cohort
from braincase.cohort.view import ViewChoice
from braincase.errors import CohortError, ParameterError, ScanError
from braincase.gallery import open_gallery
from braincase.images.geometry import HALF_GRID
from braincase.images.volume import write_volume
from braincase.models.encoder import Encoder
from braincase.preprocess.prepare_volume import recipe_of
from braincase.report.case_picture import picture_of_query
from braincase.report.search_page import draw
from braincase.search.options import SearchOptions
from braincase.simulate.head import Scanning, simulate_head
from braincase.workflows.index_scans import ScanSource, cohort_beside, index_scans
from braincase.workflows.searchable_gallery import SearchableGallery
from gallery_cases import MODEL
from test_indexing import Counting, cell_means

#: Small enough to be prepared in about two seconds each.
SMALL = Scanning(zooms_mm=(3, 3, 3), stripped=True, noise=0.02)
ENCODER = Encoder(cell_means, HALF_GRID, recipe_of(HALF_GRID), MODEL)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of two small raw heads, one CT and one broken file."""
    folder = tmp_path_factory.mktemp("raw")
    for seed, name in enumerate(["a", "b", "ct"], start=1):
        scanning = replace(SMALL, contrast="CT", stripped=False) if name == "ct" else SMALL
        head = simulate_head(seed, scanning=scanning)
        write_volume(folder / f"{name}.nii.gz", head.data, head.affine)
    (folder / "broken.nii.gz").write_bytes((folder / "a.nii.gz").read_bytes()[:5000])
    rows = ["path\tsubject\tdiagnosis\tage"]
    rows += [
        f"{name}.nii.gz\t{name}\t{'AD' if name == 'a' else 'CN'}\t70" for name in
        ("a", "b", "ct", "broken")
    ]  # fmt: skip
    (folder / "scans.tsv").write_text("\n".join(rows) + "\n")
    return folder / "scans.tsv"


@pytest.fixture(scope="module")
def indexed(table, tmp_path_factory):
    url = tmp_path_factory.mktemp("indexed") / "gallery"
    return url, index_scans(url, ScanSource(table, cohort_beside(url)), ENCODER, workers=1)


def test_good_scans_are_in_the_gallery_and_the_others_are_listed_with_their_reason(indexed):
    url, (done, notes) = indexed
    assert (done.added, done.version) == (2, 1)
    reasons = {where.rsplit("/")[-1]: why for where, why in done.failed}
    assert set(reasons) == {"ct.nii.gz", "broken.nii.gz"}
    assert "CT" in reasons["ct.nii.gz"]
    gallery = open_gallery(url, MODEL)
    case = gallery.get("sub-a")
    assert case.labels["diagnosis"] == "AD"
    assert case.image.is_file()
    assert case.image.is_relative_to(cohort_beside(url))
    assert gallery.thumbnail("sub-a")
    gallery.close()
    assert notes == (f"the standard volumes are in {cohort_beside(url)}",)


def test_an_image_in_memory_is_what_its_file_is(indexed, table, tmp_path):
    image = nibabel.load(table.parent / "a.nii.gz")
    with SearchableGallery(open_gallery(indexed[0], MODEL), ENCODER) as gallery:
        found = gallery.ask(image, k=1)
        assert found.result.own_subject == "a"
        assert found.result.same_subject[0].distance == 0
        volumes = nibabel.Nifti1Image(np.zeros((4, 4, 4, 2)), np.eye(4))
        with pytest.raises(ScanError, match=r"^scan: .*volumes"):
            gallery.search(volumes)
        with pytest.raises(ParameterError, match=r"^scan: a value of type int"):
            gallery.search(3)
    again = tmp_path / "g"
    source = ScanSource(image, str(cohort_beside(again)), subject="x")
    assert index_scans(str(again), source, ENCODER, workers=1)[0].added == 1
    with closing(open_gallery(again)) as one, closing(open_gallery(indexed[0])) as other:
        assert one.get("sub-x").image_hash == other.get("sub-a").image_hash


def test_the_size_of_the_brain_is_kept_told_and_filtered_by(indexed, table):
    with SearchableGallery(open_gallery(indexed[0], MODEL), ENCODER) as gallery:
        sizes = {c.subject: c.labels["brain_ml"] for c in gallery.gallery.cases()}
        assert all(900 < size < 2200 for size in sizes.values())
        assert sizes["a"] != sizes["b"]
        between = sum(sizes.values()) / 2
        larger = max(sizes, key=sizes.get)
        assert [c.subject for c in gallery.gallery.cases(f"brain_ml > {between}")] == [larger]
        found = gallery.finished_search(table.parent / "a.nii.gz", SearchOptions(k=1))
        assert found.query.labels["brain_ml"] == sizes["a"]


def test_pictures_show_a_raw_scan_as_it_was_scanned(indexed, table, tmp_path):
    with SearchableGallery(open_gallery(indexed[0], MODEL), ENCODER) as gallery:
        options = SearchOptions(k=1)
        plain = gallery.finished_search(table.parent / "a.nii.gz", options)
        seen = gallery.finished_search(table.parent / "a.nii.gz", options, ViewChoice(2))
        assert picture_of_query(plain, as_scanned=True).note == ""
        assert picture_of_query(seen, as_scanned=True).note == "as scanned"
        draw(seen, None, tmp_path / "hits.html")
    page = (tmp_path / "hits.html").read_text()
    assert page.count("(as scanned)") == 1  # the cases of this gallery have no view volumes


def test_a_second_run_prepares_and_embeds_nothing_again(indexed, table):
    url, (first, _) = indexed
    counting = Counting()
    images = sorted(cohort_beside(url).rglob("*_T1w.nii.gz"))
    written = [path.stat().st_mtime_ns for path in images]
    source = ScanSource(table, cohort_beside(url))
    done, _ = index_scans(url, source, replace(ENCODER, embed=counting), workers=1)
    assert (done.version, done.unchanged, counting.embedded) == (first.version, 2, 0)
    assert {why for _, why in done.failed} == {why for _, why in first.failed}
    assert [path.stat().st_mtime_ns for path in images] == written


def test_a_run_stopped_while_it_indexes_goes_on(indexed, table, tmp_path):
    source = ScanSource(table, cohort_beside(indexed[0]))
    with pytest.raises(KeyboardInterrupt):
        index_scans(tmp_path / "g", source, replace(ENCODER, embed=Counting(stop_at=1)), workers=1)
    done, _ = index_scans(tmp_path / "g", source, ENCODER, workers=1)
    assert done.added == 2


def test_a_model_of_another_recipe_is_told(indexed, table, tmp_path):
    other = replace(ENCODER, recipe={"Name": "simulated"})
    source = ScanSource(table, cohort_beside(indexed[0]))
    _, notes = index_scans(tmp_path / "g", source, other, workers=1)
    assert "the model learned from volumes made otherwise (simulated)" in notes


def test_a_source_without_a_usable_scan_makes_no_gallery(table, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.nii.gz").write_bytes(b"no image")
    with pytest.raises(CohortError):
        index_scans(
            tmp_path / "g", ScanSource(tmp_path / "empty", tmp_path / "c"), ENCODER, workers=1
        )
    assert not (tmp_path / "g").exists()


def test_a_cohort_is_told_from_a_source(tiny, indexed, table):
    url, _ = indexed
    assert is_cohort(tiny.folder)
    assert is_cohort(cohort_beside(url))
    assert not is_cohort(table.parent)
    assert not is_cohort(table)
    assert str(cohort_beside("milvus://h:1/c?record=/x/g")) == "/x/g-cohort"


def test_a_bids_source_is_not_taken_for_a_cohort(shared_data):
    assert not is_cohort(shared_data / "heads-bids")


def test_a_site_put_before_its_subjects_keeps_its_people_apart(indexed, table, tmp_path):
    gallery = tmp_path / "g"
    shutil.copytree(indexed[0], gallery)
    cohort = tmp_path / "cohort"
    shutil.copytree(cohort_beside(indexed[0]), cohort)
    other = tmp_path / "raw"
    shutil.copytree(table.parent, other)
    (other / "scans.tsv").write_text("path\tsubject\tage\nb.nii.gz\ta\t60\n")
    source = ScanSource(other / "scans.tsv", cohort)
    done, _ = index_scans(gallery, source, ENCODER, workers=1)
    reason = dict(done.failed)[str(other / "b.nii.gz")]
    assert "the cohort's sub-a is" in reason
    assert "--site NAME (`site`)" in reason
    done, _ = index_scans(gallery, replace(source, site="B"), ENCODER, workers=1)
    assert done.added == 1
    with closing(open_gallery(gallery, MODEL)) as opened:
        assert opened.get("sub-Ba").labels["site"] == "B"
        assert opened.get("sub-a").labels["age"] == 70
    with pytest.raises(ParameterError, match="site"):
        index_scans(gallery, replace(source, site="B-1"), ENCODER, workers=1)
