from __future__ import annotations

import io
import shutil
import struct
import zipfile

import numpy as np
import pydicom
import pytest

from braincase.errors import ScanError, UsageError
from braincase.sources.dicom import read_dicom, read_series
from braincase.sources.dicom_files import open_files, read_headers
from braincase.sources.dicom_series import classify, group_series, series_mark
from braincase.sources.find import find_scans, recognise
from braincase.sources.read import read_scan
from braincase.sources.scan import Scan
from markers import ORIENTATIONS, assert_sides, marker, reoriented, write_dicom
from refusals import refused

KEY = b"k" * 32
SMALL = (20, 22, 24)
SMALL_ZOOMS = (4.0, 4.0, 4.0)
#: Large enough to be a head: 105 mm of slices.
HEAD = (20, 22, 42)
HEAD_ZOOMS = (4.0, 4.0, 2.5)


@pytest.fixture
def head():
    return marker(HEAD, HEAD_ZOOMS)


def series_of(folder):
    with open_files(folder) as files:
        return group_series(read_headers(files)[0])


def classified(folder):
    (series,) = series_of(folder)
    return classify(series)


def reasons(folder):
    return "; ".join(classified(folder).reasons)


def edit(path, **fields):
    header = pydicom.dcmread(path)
    for keyword, value in fields.items():
        setattr(header, keyword, value)
    header.save_as(path)


def zipped(folder, target, prefix=""):
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + str(path.relative_to(folder)))
    return target


class TestSides:
    @pytest.mark.parametrize("turn", ORIENTATIONS, ids=str)
    def test_left_stays_left_in_all_48_orientations(self, tmp_path, turn):
        folder = write_dicom(tmp_path / "s", *reoriented(*marker(SMALL, SMALL_ZOOMS), turn))
        (series,) = series_of(folder)
        assert_sides(read_series(folder, series.mark), tolerance_mm=2)

    def test_left_stays_left_from_a_zip_to_the_volume(self, tmp_path, head):
        path = zipped(write_dicom(tmp_path / "s", *head), tmp_path / "study.zip")
        (scan,), _ = find_scans(path)
        volume = read_scan(scan)
        assert_sides(volume)
        assert volume.shape == HEAD


class TestChoice:
    def test_a_mixed_study_gives_its_t1w_and_the_reasons_against_the_others(self, tmp_path, head):
        study = pydicom.uid.generate_uid()
        for number, name, fields in [
            (1, "localizer", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
            (2, "t1_mprage_sag", {}),
            (3, "t2_space_sag", {"EchoTime": 408}),
            (4, "ep2d_bold", {"MRAcquisitionType": "2D"}),
            (5, "t1_mprage_sag_MPR", {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}),
            (6, "t1_mprage_gd", {"ContrastBolusAgent": "Gd"}),
        ]:
            fields = {"SeriesDescription": name, "SeriesNumber": number} | fields
            write_dicom(tmp_path / name, *head, StudyInstanceUID=study, **fields)
        (tmp_path / "report.pdf").write_text("no DICOM")
        (scan,), census = read_dicom(tmp_path, key=KEY)
        assert scan.path == tmp_path / "t1_mprage_sag"
        assert scan.labels["t1w"] == "yes"
        assert_sides(read_scan(scan))
        said = dict(census.dropped)
        assert len(said) == 5
        for words, why in {
            "localizer": "LOCALIZER",
            "t2_space": "408 ms",
            "ep2d_bold": "2-D acquisition",
            "sag_MPR": "(MPR)",
            "gd": "series 2 't1_mprage_sag' is the better T1w",
        }.items():
            assert any(words in where and why in reason for where, reason in said.items()), words

    @pytest.mark.parametrize(
        ("fields", "answer"),
        [
            ({}, "yes"),
            ({"SeriesDescription": "3D_TFE", "EchoTime": 4.6}, "yes"),
            ({"SeriesDescription": "", "MagneticFieldStrength": None}, "not sure"),
            ({"SeriesDescription": "vol", "MRAcquisitionType": None}, "not sure"),
            (
                {
                    "SeriesDescription": "vol",
                    "ScanningSequence": ["GR", "IR"],
                    "EchoTime": 3,
                    "InversionTime": 900,
                },
                "yes",
            ),
            (
                {
                    "SeriesDescription": "vol",
                    "ScanningSequence": "GR",
                    "EchoTime": 3,
                    "RepetitionTime": 12,
                    "FlipAngle": 20,
                },
                "yes",
            ),
            ({"SeriesDescription": "t1 flair"}, "not sure"),
            ({"SeriesDescription": "FLAIR"}, "no"),
            ({"SeriesDescription": "t1w", "EchoTime": 90}, "no"),
            ({"SeriesDescription": "mp2rage_INV2"}, "no"),
            ({"SeriesDescription": "mp2rage_UNI"}, "yes"),
            ({"SeriesDescription": "mp2rage_T1_Images"}, "no"),
            ({"Modality": "CT"}, "no"),
            ({"Modality": None}, "no"),
            ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "no"),
            ({"EchoTime": None, "RepetitionTime": None, "Manufacturer": None}, "yes"),
        ],
    )
    def test_names_and_settings_decide(self, tmp_path, head, fields, answer):
        found = classified(write_dicom(tmp_path / "s", *head, **fields))
        assert found.answer == answer, found.reasons

    def test_the_only_volume_of_a_study_is_taken_as_not_sure(self, tmp_path, head):
        write_dicom(tmp_path / "s", *head, SeriesDescription="vol")
        (scan,), census = read_dicom(tmp_path, key=KEY)
        assert scan.labels["t1w"] == "not sure"
        assert "not sure that it is a T1w" in census.notes[0]

    def test_of_several_unsure_volumes_none_is_taken_but_one_can_be_named(self, tmp_path, head):
        study = pydicom.uid.generate_uid()
        for number in (1, 2):
            fields = {"SeriesDescription": "vol", "SeriesNumber": number}
            write_dicom(tmp_path / f"s{number}", *head, StudyInstanceUID=study, **fields)
        scans, census = read_dicom(tmp_path, key=KEY)
        assert not scans
        assert all("choose one by its number" in why for _, why in census.dropped)
        (scan,), _ = read_dicom(tmp_path, series=2, key=KEY)
        assert scan.path == tmp_path / "s2"

    def test_series_mixed_in_one_folder_are_told_apart(self, tmp_path, head):
        study = pydicom.uid.generate_uid()
        for number, name in [(1, "t1_mprage"), (2, "t2_space")]:
            fields = {"SeriesDescription": name, "SeriesNumber": number}
            write_dicom(tmp_path / name, *head, StudyInstanceUID=study, **fields)
        mixed = tmp_path / "mixed"
        mixed.mkdir()
        for number, path in enumerate(sorted(tmp_path.glob("t*/*.dcm"))):
            shutil.copy(path, mixed / f"{number % 7}{number:05d}")
        (scan,), _ = read_dicom(mixed, key=KEY)
        assert_sides(read_scan(scan))
        kept = str((scan.subject, scan.session, scan.labels))
        assert scan.series not in kept  # a hash without a key of its PatientID and UIDs

    def test_a_folder_of_zips_gives_one_scan_a_study(self, tmp_path, head):
        for patient in ("A", "B"):
            write_dicom(tmp_path / "s", *head, PatientID=patient)
            zipped(tmp_path / "s", tmp_path / f"{patient}.zip")
            shutil.rmtree(tmp_path / "s")
        (tmp_path / "C.zip").write_bytes(b"PK\x03\x04 torn")
        scans, census = find_scans(tmp_path)
        assert len({scan.subject for scan in scans}) == 2
        assert "a damaged zip" in census.dropped[0][1]


class TestBadSeries:
    def test_missing_slices(self, tmp_path, head):
        folder = write_dicom(tmp_path / "s", *head)
        for number in (20, 21, 39):
            (folder / f"{number:04d}.dcm").unlink()
        assert "missing slices: 3 (a gap of 7.5 mm where slices are 2.5 mm apart)" in reasons(
            folder
        )
        with refused(ScanError, "missing slices: 3"):
            read_series(folder)

    def test_uneven_slices(self, tmp_path, head):
        folder = write_dicom(tmp_path / "s", *head)
        place = pydicom.dcmread(folder / "0010.dcm").ImagePositionPatient
        edit(folder / "0010.dcm", ImagePositionPatient=[place[0], place[1], place[2] + 0.6])
        assert "uneven distances, 1.9 to 3.1 mm" in reasons(folder)

    def test_gantry_tilt(self, tmp_path, head):
        data, affine = head
        affine = affine.copy()
        affine[1, 2] = 0.625  # each slice is shifted by a quarter of its distance
        assert "gantry tilt of 14 degrees" in reasons(write_dicom(tmp_path / "s", data, affine))

    def test_two_series_under_one_number_in_different_orientations(self, tmp_path, head):
        uid = {"SeriesInstanceUID": "1.2.3", "StudyInstanceUID": "1.2", "PatientID": "x"}
        folder = write_dicom(tmp_path / "s", *head, **uid)
        turned = reoriented(*head, ORIENTATIONS[20])
        for path in write_dicom(tmp_path / "t", *turned, **uid).iterdir():
            shutil.copy(path, folder / f"t{path.name}")
        assert "different orientations: two series mixed" in reasons(folder)

    def test_two_series_under_one_number_of_different_sizes(self, tmp_path, head):
        uid = {"SeriesInstanceUID": "1.2.3", "StudyInstanceUID": "1.2", "PatientID": "x"}
        folder = write_dicom(tmp_path / "s", *head, **uid)
        for path in write_dicom(tmp_path / "t", *marker((20, 20, 42)), **uid).iterdir():
            shutil.copy(path, folder / f"t{path.name}")
        assert "different sizes: two series mixed" in reasons(folder)

    def test_several_volumes_and_doubled_slices(self, tmp_path, head):
        uid = {"SeriesInstanceUID": "1.2.3", "StudyInstanceUID": "1.2", "PatientID": "x"}
        folder = write_dicom(tmp_path / "s", *head, **uid)
        again = write_dicom(tmp_path / "t", *head, **uid)
        for path in sorted(again.iterdir())[:9]:
            shutil.copy(path, folder / f"t{path.name}")
        assert "some slices twice" in reasons(folder)
        for path in again.iterdir():
            shutil.copy(path, folder / f"t{path.name}")
        assert "2 volumes in one series" in reasons(folder)

    def test_an_image_type_of_a_single_word_is_a_word_and_not_its_letters(self, tmp_path, head):
        (series,) = series_of(write_dicom(tmp_path / "s", *head, ImageType="NORM"))
        assert series.image_type == {"NORM"}

    def test_copies_of_files_do_no_harm(self, tmp_path, head):
        folder = write_dicom(tmp_path / "s", *head)
        for path in sorted(folder.iterdir())[3:20:5]:
            shutil.copy(path, folder / f"copy of {path.name}")
        (scan,), census = read_dicom(folder, key=KEY)
        assert [why for _, why in census.dropped] == ["4 copies of other files"]
        assert read_scan(scan).shape == HEAD

    def test_a_series_of_two_patients_is_nobodys(self, tmp_path, head):
        folder = write_dicom(tmp_path / "s", *head)
        for path in sorted(folder.iterdir())[::2]:
            edit(path, PatientID="somebody else")
        scans, census = read_dicom(folder, key=KEY)
        assert scans == []
        assert all("several patients" in why for _, why in census.dropped)
        assert len(census.dropped) == 2

    def test_slices_without_a_place(self, tmp_path, head):
        fields = {"ImageOrientationPatient": None}
        assert "without position" in reasons(write_dicom(tmp_path / "s", *head, **fields))

    def test_a_damaged_file_among_good_ones_is_named(self, tmp_path, head):
        folder = write_dicom(tmp_path / "s", *head)
        content = (folder / "0005.dcm").read_bytes()
        (folder / "0005.dcm").write_bytes(content[:300])
        _, census = read_dicom(folder, key=KEY)
        assert any("missing slices: 1" in why for _, why in census.dropped)

    @pytest.mark.parametrize("seed", range(20))
    def test_random_damage_gives_a_scan_or_a_reason(self, tmp_path, head, seed):
        rng = np.random.default_rng(seed)
        folder = write_dicom(tmp_path / "s", head[0][:, :, :4], head[1])
        for path in folder.iterdir():
            content = bytearray(path.read_bytes())
            for place in rng.integers(132, 1200, 12):
                content[place] = rng.integers(256)
            path.write_bytes(content[: rng.integers(200, len(content))])
        scans, census = read_dicom(folder, key=KEY)
        assert scans or census.dropped

    def test_a_value_of_an_impossible_type_in_a_later_slice_is_damage(self, tmp_path, head):
        folder = write_dicom(tmp_path / "series", *head)
        later = sorted(folder.iterdir())[20]
        tag_and_type = b"\x08\x00\x3e\x10LO"  # (0008,103E), the series description
        assert tag_and_type in later.read_bytes()
        later.write_bytes(later.read_bytes().replace(tag_and_type, b"\x08\x00\x3e\x10L\x00"))
        _, census = find_scans(folder)
        assert any("damaged DICOM file" in reason for _, reason in census.dropped)

    def test_no_dicom_at_all(self, tmp_path):
        (tmp_path / "a.txt").write_text("text")
        with refused(ScanError, "no DICOM file"):
            read_dicom(tmp_path)

    def test_a_series_that_is_gone(self, tmp_path, head):
        folder = write_dicom(tmp_path / "s", *head)
        with refused(ScanError, "the series is gone"):
            read_scan(Scan(folder, "x", series="0123456789ab"))


class TestZips:
    def test_names_that_climb_out_of_the_folder_do_no_harm(self, tmp_path, head):
        folder = write_dicom(tmp_path / "s", *head)
        path = zipped(folder, tmp_path / "evil.zip", "../../../../tmp/evil-")
        (scan,), _ = read_dicom(path, key=KEY)
        assert_sides(read_scan(scan))
        assert not list(tmp_path.parent.glob("evil-*"))

    @pytest.mark.parametrize(
        ("break_it", "words"),
        [
            (lambda content: content[: len(content) // 2], "a damaged zip"),
            (lambda content: content[:4], "a damaged zip"),
        ],
    )
    def test_a_damaged_zip(self, tmp_path, head, break_it, words):
        path = zipped(write_dicom(tmp_path / "s", *head), tmp_path / "a.zip")
        path.write_bytes(break_it(path.read_bytes()))
        with refused(ScanError, words):
            read_dicom(path)

    def test_an_encrypted_zip(self, tmp_path):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.dcm", b"x")
        content = bytearray(path.read_bytes())
        directory = content.index(b"PK\x01\x02")
        struct.pack_into("<H", content, directory + 8, 1)
        path.write_bytes(content)
        with refused(ScanError, "encrypted"):
            read_dicom(path)

    def test_a_zip_that_shrinks_as_no_scan_does(self, tmp_path):
        path = tmp_path / "bomb.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for number in range(11):
                archive.writestr(f"{number}.dcm", bytes(100 << 20))
        with refused(ScanError, "promises 1.2 GB"):
            find_scans(path)

    def test_a_zip_of_nifti_says_what_to_do(self, tmp_path):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("head.nii.gz", "x")
        with refused(ScanError, "no DICOM file") as caught:
            find_scans(path)
        assert "a.zip holds head.nii.gz: unpack it" in caught.value.advice

    def test_a_zip_bomb_is_refused_by_what_it_declares(self, tmp_path, monkeypatch):
        monkeypatch.setattr("braincase.sources.dicom_files.MAX_ZIP_BYTES", 10 << 20)
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.dcm", bytes(20 << 20))
        with refused(ScanError, "a zip that promises 1 files"):
            read_dicom(tmp_path / "a.zip")


class TestPrivacy:
    SECRETS = ("Secret", "HOSPITAL", "4711", "1940", "20110203")

    def test_no_identifier_is_left_in_a_scan_or_census(self, tmp_path, head):
        study = "1.2.826.0.1.3680043.8.498.99999"
        write_dicom(tmp_path / "s", *head, StudyInstanceUID=study)
        (scan,), census = read_dicom(tmp_path, key=KEY)
        text = f"{scan} {census.to_json()}"
        assert not [word for word in (*self.SECRETS, study) if word in text]
        assert scan.labels["age"] == 71
        assert scan.labels["sex"] == "F"

    def test_the_same_patient_has_the_same_pseudonym_under_one_key_only(self, tmp_path, head):
        write_dicom(tmp_path / "s", *head)
        subjects = {read_dicom(tmp_path, key=key)[0][0].subject for key in (KEY, KEY, b"q" * 32)}
        assert len(subjects) == 2

    def test_a_subject_can_be_given_for_one_patient_only(self, tmp_path, head):
        write_dicom(tmp_path / "s", *head)
        assert read_dicom(tmp_path, subject="trial-7", key=KEY)[0][0].subject == "trial7"
        write_dicom(tmp_path / "t", *head, PatientID="other")
        with refused(UsageError, "several patients"):
            read_dicom(tmp_path, subject="trial-7", key=KEY)

    @pytest.mark.parametrize(
        ("fields", "age"),
        [
            ({"PatientAge": "095Y"}, 90),
            ({"PatientAge": None}, 71),
            ({"PatientAge": "018M"}, 1),
            ({"PatientAge": None, "PatientBirthDate": None}, None),
        ],
    )
    def test_ages(self, tmp_path, head, fields, age):
        write_dicom(tmp_path / "s", *head, **fields)
        assert read_dicom(tmp_path, key=KEY)[0][0].labels.get("age") == age


class TestSharedSeries:
    def test_a_real_t1_series_in_a_zip(self, shared_data):
        path = shared_data / "dicom" / "trio_t1_mprage.zip"
        assert recognise(path) == "dicom"
        (scan,), census = read_dicom(path, key=KEY)
        assert not census.dropped
        volume = read_scan(scan)
        assert volume.shape == (176, 256, 256)
        assert np.allclose(volume.zooms_mm, 1, atol=1e-4)
        assert scan.labels["scanner"] == "SIEMENS TrioTim"
        assert (scan.labels["age"], scan.labels["sex"]) == (39, "M")

    @pytest.mark.parametrize(
        ("folder", "words"),
        [
            ("broken/gantrytilting", "gantry tilt of 14 degrees"),
            ("broken/notavolume", "all slices lie at one place"),
            ("broken/slicecount", "only 2 slices"),
            ("broken/sliceincrement/001", "missing slices: 1"),
            ("broken/sliceincrement/002", "missing slices: 1"),
            ("broken/sliceorientation", "2-D acquisition"),
            ("trio_not_t1_field_map", "gre_field"),
            ("siemens_multiframe", "only 8 slices"),
            ("hyperfine", "echo time of 194.4 ms"),
        ],
    )
    def test_every_other_series_is_refused_with_its_reason(self, shared_data, folder, words):
        scans, census = read_dicom(shared_data / "dicom" / folder, key=KEY)
        assert not scans
        assert any(words in why for _, why in census.dropped)

    def test_enhanced_files_convert(self, shared_data):
        folder = shared_data / "dicom" / "siemens_multiframe"
        (series,) = series_of(folder)
        assert series.places.shape == (8, 9)
        volume = read_series(folder, series.mark)
        assert sorted(volume.shape) == [8, 256, 256]
        assert np.allclose(sorted(volume.zooms_mm), [0.9, 0.9375, 0.9375], atol=1e-3)

    def test_missing_slices_of_a_real_series(self, shared_data, tmp_path):
        with zipfile.ZipFile(shared_data / "dicom" / "trio_t1_mprage.zip") as archive:
            for name in archive.namelist():
                if name.endswith(".dcm") and not name.endswith(("00080.dcm", "00081.dcm")):
                    (tmp_path / name.rpartition("/")[2]).write_bytes(archive.read(name))
        scans, census = read_dicom(tmp_path, key=KEY)
        assert not scans
        assert "missing slices: 2 (a gap of 3 mm" in census.dropped[0][1]


def test_a_mark_is_the_same_however_much_of_the_header_was_read(tmp_path, head):
    folder = write_dicom(tmp_path / "s", *head)
    whole = pydicom.dcmread(io.BytesIO((folder / "0003.dcm").read_bytes()))
    (series,) = series_of(folder)
    assert series.mark == series_mark(whole)
