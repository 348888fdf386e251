from __future__ import annotations

import zipfile

import pytest

from braincase.errors import ParameterError, UsageError
from braincase.sources.find import find_scans, recognise
from braincase.sources.image_folder import read_image_file, read_image_folder
from refusals import refused


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_names_tell_t1w_from_other_images(tmp_path):
    kept = [
        "anna_T1.nii.gz",
        "bert.nii",
        "mprage_7.mgz",
        "pt10.nii",
        "Fielding_T1w.nii",
        "sub-5_T1w.nii",
    ]
    left = [
        "anna_T2.nii.gz",
        "anna_brainmask.nii",
        "bert_seg.nii",
        "x_FLAIR.nii",
        "pd_9.nii",
        "c_dwi.nii",
    ]
    put(tmp_path, *kept, *left, "notes.txt", "bert.img")
    scans, census = read_image_folder(tmp_path)
    assert sorted(scan.path.name for scan in scans) == sorted(kept)
    assert sorted(where.rpartition("/")[2] for where, _ in census.dropped) == sorted(left)
    assert {scan.subject for scan in scans} >= {"annaT1", "bert", "5"}


def test_a_freesurfer_subject_gives_its_original_under_the_subjects_name(tmp_path):
    put(
        tmp_path,
        "anna/mri/orig.mgz",
        "anna/mri/brainmask.mgz",
        "anna/mri/aseg.mgz",
        "bob/mri/T1.mgz",
    )
    scans, census = read_image_folder(tmp_path)
    assert {(s.subject, s.path.name) for s in scans} == {("anna", "orig.mgz"), ("bob", "T1.mgz")}
    assert ("FreeSurfer's orig.mgz is used") in [why for _, why in census.dropped]


def test_a_table_beside_the_images_joins_by_the_beginning_of_their_names(tmp_path):
    put(tmp_path, "P1-T1.nii", "P10-T1.nii", "P12-T1.nii")
    (tmp_path / "people.csv").write_text("ID,Age,Sex\nP1,30,F\nP10,40,M\n")
    scans, _ = read_image_folder(tmp_path)
    assert {s.subject: s.labels for s in scans} == {
        "P1": {"age": 30, "sex": "F"},
        "P10": {"age": 40, "sex": "M"},
        "P12T1": {},
    }


def test_names_that_would_merge_two_people_are_refused(tmp_path):
    put(tmp_path, "a_1.nii", "a1.nii")
    with refused(UsageError, "the same in letters and digits"):
        read_image_folder(tmp_path)


def test_a_folder_without_images_is_a_usage_error(tmp_path):
    with refused(UsageError, "no image"):
        read_image_folder(tmp_path)
    with refused(UsageError, "a folder with none of them"):
        find_scans(tmp_path)


def test_one_file_is_one_scan(tmp_path):
    put(tmp_path, "sub-07_ses-2_T1w.nii.gz", "My Head.nii")
    (scan,), census = read_image_file(tmp_path / "sub-07_ses-2_T1w.nii.gz")
    assert scan.scan_id == "sub-07_ses-2"
    assert census.scans == 1
    assert read_image_file(tmp_path / "My Head.nii")[0][0].subject == "MyHead"
    assert read_image_file(tmp_path / "My Head.nii", "p-1")[0][0].subject == "p1"


def test_the_shared_heads(shared_data):
    scans, census = find_scans(shared_data / "heads-ixi2mm")
    assert recognise(shared_data / "heads-ixi2mm") == "images"
    assert len(scans) == 6
    assert {s.subject: s.labels for s in scans}["IXI015HH1258"] == {"age": 24.28, "sex": "M"}
    assert len(census.dropped) == 6
    scans, _ = find_scans(shared_data / "heads-other")
    assert {s.subject for s in scans} == {"T1w2mm", "christ1", "aomicsub0001"}


@pytest.mark.parametrize("source", ["nonsense", "", "BIDS"])
def test_an_unknown_source_names_the_known_ones(tmp_path, source):
    with pytest.raises(UsageError, match="one of auto, image, images, table"):
        find_scans(tmp_path, source)


def test_a_missing_path_and_a_foreign_file_are_usage_errors(tmp_path):
    put(tmp_path, "a.txt")
    with refused(UsageError, "no such file"):
        find_scans(tmp_path / "b")
    with refused(UsageError, "a file of another kind"):
        find_scans(tmp_path / "a.txt")


def test_options_that_do_not_fit_the_kind_are_usage_errors(tmp_path):
    put(tmp_path, "a.nii")
    assert find_scans(tmp_path / "a.nii", subject="x-1")[0][0].subject == "x1"
    with refused(ParameterError, "x for images") as error:
        find_scans(tmp_path, subject="x")
    assert error.value.where == "subject"
    with refused(ParameterError, "3 for image") as error:
        find_scans(tmp_path / "a.nii", series=3)
    assert error.value.where == "series"


def test_links_that_lead_nowhere_or_in_circles_do_no_harm(tmp_path):
    put(tmp_path, "a_T1w.nii.gz")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    scans, _ = find_scans(tmp_path)
    assert [scan.path.name for scan in scans] == ["a_T1w.nii.gz"]


def test_a_zip_beside_images_does_not_hide_them(tmp_path):
    put(tmp_path, "a_T1w.nii.gz")
    with zipfile.ZipFile(tmp_path / "Supplement.zip", "w") as archive:
        archive.writestr("readme.txt", "tables")
    assert recognise(tmp_path) == "images"
    (tmp_path / "a_T1w.nii.gz").unlink()
    assert recognise(tmp_path) == "dicom"
