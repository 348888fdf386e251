from __future__ import annotations

import json
import time

import pytest

from braincase.errors import UsageError
from braincase.sources.bids import read_bids
from braincase.sources.find import find_scans, recognise
from refusals import refused


def touch(path, content=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def image(root, name, **_):
    """Put an image where its name says."""
    parts = name.split("_")
    folders = [part for part in parts if part.startswith(("sub-", "ses-"))]
    return touch(root.joinpath(*folders, "anat", name), name)


@pytest.fixture
def dataset(tmp_path):
    touch(tmp_path / "dataset_description.json", '{"Name": "x", "BIDSVersion": "1.8.0"}')
    return tmp_path


def test_only_raw_t1w_images_are_taken(dataset):
    image(dataset, "sub-01_T1w.nii.gz")
    for name in (
        "sub-01_T2w.nii.gz",
        "sub-01_inplaneT2.nii.gz",
        "sub-01_T1w.json",
        "sub-01_T1w.nii~",
    ):
        image(dataset, name)
    image(dataset, "sub-02_space-MNI_desc-preproc_T1w.nii.gz")
    image(dataset / "derivatives" / "fmriprep", "sub-03_T1w.nii.gz")
    touch(dataset / "sub-01" / "func" / "sub-01_T1w.nii.gz")
    scans, census = read_bids(dataset)
    assert [scan.scan_id for scan in scans] == ["sub-01"]
    assert [why for _, why in census.dropped] == ["a processed image (desc-preproc, space-MNI)"]


def test_labels_come_from_all_tables_the_nearer_winning(dataset):
    touch(
        dataset / "participants.tsv",
        "participant_id\tage\tgender\tgroup\nsub-01\t70\tmale\tCN\n02\t55\tF\tn/a\n",
    )
    touch(dataset / "sub-01" / "sub-01_sessions.tsv", "session_id\tage\tgroup\nses-b\t72\tAD\n")
    for name in ("sub-01_ses-a_T1w.nii.gz", "sub-01_ses-b_T1w.nii.gz", "sub-02_T1w.nii.gz"):
        image(dataset, name)
    first, second, other = read_bids(dataset)[0]
    assert first.labels == {"age": 70, "sex": "M", "group": "CN"}
    assert second.labels == {"age": 72, "sex": "M", "group": "AD"}
    assert other.labels == {"age": 55, "sex": "F"}
    assert read_bids(dataset)[1].labels == {"AD": 1, "CN": 1, "no label": 1}


def test_sidecars_are_inherited_the_nearer_and_more_special_winning(dataset):
    touch(
        dataset / "T1w.json",
        json.dumps({"Manufacturer": "GE", "MagneticFieldStrength": 1.5, "InstitutionName": "A"}),
    )
    touch(dataset / "acq-fast_T1w.json", json.dumps({"MagneticFieldStrength": 3}))
    image(dataset, "sub-01_T1w.nii.gz")
    image(dataset, "sub-02_acq-fast_T1w.nii.gz")
    image(dataset, "sub-03_T1w.nii.gz")
    near = {"Manufacturer": "Siemens", "ManufacturersModelName": "Trio"}
    touch(dataset / "sub-03" / "anat" / "sub-03_T1w.json", json.dumps(near))
    touch(dataset / "sub-01" / "anat" / "sub-01_T1w.json", "{broken")
    one, two, three = (scan.labels for scan in read_bids(dataset)[0])
    assert one == {"scanner": "GE", "field_strength": 1.5, "site": "A"}
    assert two["field_strength"] == 3
    assert three["scanner"] == "Siemens Trio"


def test_of_several_images_a_visit_the_plain_first_run_is_taken(dataset):
    names = ["run-10", "run-2", "acq-x_run-1", "run-2_rec-y"]
    for name in names:
        image(dataset, f"sub-01_{name}_T1w.nii.gz")
    scans, census = read_bids(dataset)
    assert [scan.path.name for scan in scans] == ["sub-01_run-2_T1w.nii.gz"]
    assert len(census.dropped) == 3
    assert "sub-01_run-2_T1w.nii.gz" in census.dropped[0][1]


def test_misfiled_and_phase_images_are_dropped_with_the_reason(dataset):
    image(dataset, "sub-01_part-phase_T1w.nii.gz")
    touch(dataset / "sub-01" / "anat" / "sub-02_T1w.nii.gz")
    scans, census = read_bids(dataset)
    assert not scans
    reasons = sorted(why for _, why in census.dropped)
    assert reasons == ["its name does not fit its folder", "no magnitude image (part-phase)"]


def test_the_same_image_of_two_people_is_reported(dataset):
    for subject in ("01", "02"):
        touch(dataset / f"sub-{subject}" / "anat" / f"sub-{subject}_T1w.nii.gz", b"same")
    assert read_bids(dataset)[1].duplicates == (("sub-01", "sub-02"),)


def test_a_participants_table_without_its_key_is_a_usage_error(dataset):
    touch(dataset / "participants.tsv", "id\tage\n01\t3\n")
    image(dataset, "sub-01_T1w.nii.gz")
    with refused(UsageError, "no column participant_id"):
        read_bids(dataset)


def test_a_folder_without_subjects_is_a_usage_error(tmp_path):
    with refused(UsageError, "no sub-"):
        read_bids(tmp_path)


def test_thousands_of_files_take_well_under_a_second_of_processor_time(dataset):
    rows = "".join(f"sub-{n:04d}\t{n % 60 + 20}\n" for n in range(900))
    touch(dataset / "participants.tsv", "participant_id\tage\n" + rows)
    for n in range(900):
        for name in ("T1w.nii.gz", "T1w.json", "T2w.nii.gz", "FLAIR.nii.gz"):
            image(dataset, f"sub-{n:04d}_{name}")
    start = time.process_time()
    scans, _ = read_bids(dataset)
    assert time.process_time() - start < 1.0
    assert len(scans) == 900


def test_the_shared_data_sets(shared_data):
    scans, census = find_scans(shared_data / "heads-bids")
    assert recognise(shared_data / "heads-bids") == "bids"
    assert len(scans) == 10
    assert all(scan.path.name.endswith("_T1w.nii.gz") for scan in scans)
    assert scans[0].labels == {"sex": "M", "age": 35}
    assert not census.duplicates
    _, census = find_scans(shared_data / "brains-ds002748-2mm")
    assert census.labels == {"control": 14, "depr": 34}
    assert census.label_column == "group"
