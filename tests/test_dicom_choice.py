"""Which series of a DICOM study is taken: contrast medium, MP2RAGE, names in all scripts."""

from __future__ import annotations

import shutil
import sys
from collections import Counter

import numpy as np
import pydicom
import pytest

from braincase.errors import UsageError
from braincase.images.geometry import grid_of_resolution
from braincase.preprocess.quality.scan_result import stat_of
from braincase.search.read_query import read_query
from braincase.sources.dicom import read_dicom
from braincase.sources.dicom_names import tells_contrast
from braincase.sources.find import find_scans
from braincase.sources.read import read_scan
from markers import assert_sides, marker, write_dicom

KEY = b"k" * 32
HEAD = ((20, 22, 42), (4.0, 4.0, 2.5))


@pytest.fixture
def head():
    return marker(*HEAD)


def study(folder, head, *series, **common):
    """Write several series of one study; each is a dict of header fields."""
    uid = pydicom.uid.generate_uid()
    for number, fields in enumerate(series, 3):
        every = {"SeriesNumber": number, "StudyInstanceUID": uid} | common | fields
        every["SpecificCharacterSet"] = every.get("SpecificCharacterSet", "ISO_IR 192")
        write_dicom(folder / f"s{every['SeriesNumber']}", *head, **every)
    return folder


def taken(folder):
    scans, census = read_dicom(folder, key=KEY)
    return [scan.path.name for scan in scans], scans, census


def named(*names, **common):
    return [{"SeriesDescription": name, **common} for name in names]


NAMES = {
    True: "T1 IV+;T1 K+;T1 Gadavist;T1 Vueway;T1 Elucirem;T1 z kontrastem;T1 med kontrast;"
    "T1 dopo mdc;T1 ガドテリドール;T1 マグネビスト;T1 조영증강;T1 с контрастом;T1 μετά σκιαγραφικό",
    False: "T1 IV-;T1 K-;T1 w/o;T1 sem contraste;T1 bez kontrastu;T1 kontrastsız;T1 без контраста;"
    "T1 조영전",
    None: "T1 GRE;T1 phase contrast;T1 postop;T1 w/wo;Sag T1 Cube;T1 pre/post",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given"),
    [(name, how) for how, names in NAMES.items() for name in names.split(";")],
)
def test_names_tell_contrast_in_many_languages(name, given):
    assert tells_contrast(name) is given


class TestContrast:
    @pytest.mark.parametrize(
        ("plain", "enhanced"),
        [
            ("t1_mprage_sag", "t1_mprage_sag_GD"),
            ("3D T1 TFE", "3D T1 TFE +C"),
            ("SAG BRAVO", "SAG BRAVO POST GAD"),
            ("T1 MPRAGE", "T1 MPRAGE mit KM"),
            ("T1 MPRAGE nativ", "T1 MPRAGE"),
            ("t1_mprage", "t1_mprage_KM"),
            ("t1_mprage", "t1_mprage nach KM"),
            ("t1_mprage vor KM", "t1_mprage nach KM"),
            ("T1 MPRAGE", "CE T1 MPRAGE"),
            ("T1 MPRAGE", "T1CE MPRAGE"),
            ("T1w 3D", "T1c 3D"),
            ("3D T1", "3D T1 après injection"),
            ("3D T1 sans injection", "3D T1 apres inj"),
            ("3D T1", "3D T1 c/ contraste"),
            ("3D T1 sin contraste", "3D T1 con contraste"),
            ("3D T1 senza mdc", "3D T1 con mdc"),
            ("頭部T1強調3D", "頭部T1強調3D造影"),
            ("頭部T1強調3D造影なし", "頭部T1強調3D造影後"),
            ("T1 3D 平扫", "T1 3D 增强"),
            ("MPRAGE pre", "MPRAGE post"),
            ("MPRAGE", "MPRAGEpostGd"),
            ("MPRAGE w/o contrast", "MPRAGE with contrast"),
            ("T1 -C", "T1 +C"),
            ("T1 C-", "T1 C+"),
        ],
    )
    def test_the_plain_one_is_taken(self, tmp_path, head, plain, enhanced):
        order = (3, 9) if len(plain) % 2 else (9, 3)
        first, second = ({"SeriesNumber": n} for n in order)
        names = named(plain)[0] | first, named(enhanced)[0] | second
        if plain.endswith("nativ"):  # then nothing tells that the other is enhanced but the medium
            names[1]["ContrastBolusAgent"] = "Gadovist"
        study(tmp_path, head, *names)
        places, scans, census = taken(tmp_path)
        assert places == [f"s{order[0]}"]
        if order == (3, 9):
            assert "contrast_medium" not in scans[0].labels
            assert "no contrast medium" in census.dropped[0][1]

    @pytest.mark.parametrize(
        "name",
        [
            "t1_mprage_posterior",
            "T1 MPRAGE postop",
            "t1_mpr_ns_sag_p2_iso_CAIPI",
            "T1_MPRAGE_SAG_ISO",
            "t1 mprage mixed",
            "T1 phase contrast corrected",
            "T1 C-spine and head",
        ],
    )
    def test_words_that_only_look_alike_are_no_contrast(self, tmp_path, head, name):
        study(tmp_path, head, *named(name))
        _, (scan,), census = taken(tmp_path)
        assert "contrast_medium" not in scan.labels
        assert not census.notes

    @pytest.mark.parametrize("agent", ["NO", "none", "ohne KM", "0", "no contrast"])
    def test_a_medium_that_was_not_given(self, tmp_path, head, agent):
        study(tmp_path, head, *named("t1_mprage"), ContrastBolusAgent=agent)
        assert "contrast_medium" not in taken(tmp_path)[1][0].labels

    def test_a_protocol_of_the_whole_study_is_not_the_series(self, tmp_path, head):
        series = named("T1 MPRAGE", "T1 MPRAGE POST", ProtocolName="BRAIN W WO CONTRAST")
        study(tmp_path, head, *series)
        assert taken(tmp_path)[0] == ["s3"]

    def test_what_follows_the_medium_is_after_it(self, tmp_path, head):
        names = ("t1_mprage", "ep2d_perf_dsc", "t1_mprage")
        study(tmp_path, head, *named(*names))
        assert taken(tmp_path)[0] == ["s3"]

    def test_arterial_spin_labelling_needs_no_medium(self, tmp_path, head):
        study(tmp_path, head, *named("t1_mprage", "asl_perfusion", "t1_mprage"))
        assert taken(tmp_path)[0] == ["s5"]  # repeated: made last

    def test_where_only_the_enhanced_one_is_there_it_is_taken_and_told(self, tmp_path, head):
        study(tmp_path, head, *named("t1_mprage_KM"))
        _, (scan,), census = taken(tmp_path)
        assert scan.labels["contrast_medium"] == "yes"
        assert "after contrast medium; no plain T1w" in census.notes[0]


class TestMp2rage:
    PARTS = ("INV1", "INV2", "T1_Images")

    @pytest.mark.parametrize("clean", ["UNI-DEN", "UNI_DEN", "UNIDEN", "UNI denoised"])
    def test_the_denoised_one_is_taken(self, tmp_path, head, clean):
        names = [f"t1_mp2rage_sag_{part}" for part in (*self.PARTS, clean, "UNI_Images")]
        study(tmp_path, head, *named(*names, ImageType=["DERIVED", "PRIMARY", "M", "UNI"]))
        assert taken(tmp_path)[0] == ["s6"]

    def test_an_mprage_is_better_than_a_raw_uni(self, tmp_path, head):
        study(tmp_path, head, *named("t1_mprage", "t1_mp2rage_UNI_Images"))
        assert taken(tmp_path)[0] == ["s3"]

    def test_a_raw_uni_alone_is_taken_and_told(self, tmp_path, head):
        study(tmp_path, head, *named("mp2rage_inv-1", "mp2rage_inv_2", "mp2rage_UNI_Images"))
        places, _, census = taken(tmp_path)
        assert places == ["s5"]
        assert "the air around is noise" in census.notes[0]


class TestNames:
    @pytest.mark.parametrize(
        ("name", "charset"),
        [
            ("頭部T1強調3D", "ISO_IR 192"),
            ("頭部T1強調3D", ["", "ISO 2022 IR 87"]),
            ("Ｔ１強調３Ｄ", ["", "ISO 2022 IR 87"]),
            ("头部T1加权", "GB18030"),
            ("뇌T1강조", ["", "ISO 2022 IR 149"]),
            ("pondéréT1", "ISO_IR 100"),
        ],
    )
    def test_t1_in_any_script_is_t1(self, tmp_path, head, name, charset):
        unlike = {"SeriesDescription": "3D vol", "ScanningSequence": "RM"}
        first = {"SeriesDescription": name, "ScanningSequence": "RM"}
        study(tmp_path, head, first, unlike, SpecificCharacterSet=charset)
        places, (scan,), _ = taken(tmp_path)
        assert places == ["s3"]
        assert scan.labels["t1w"] == "yes"

    @pytest.mark.parametrize("name", ["頭部T2強調", "Ｔ２強調", "拡散強調", "位置決め"])
    def test_other_kinds_in_japanese(self, tmp_path, head, name):
        study(tmp_path, head, *named(name))
        assert not taken(tmp_path)[0]

    def test_settings_tell_where_the_maker_writes_rm(self, tmp_path, head):
        settings = {"ScanningSequence": "RM", "EchoTime": 3.5, "InversionTime": 900}
        study(tmp_path, head, *named("頭部ルーチン", "頭部ルーチン２"), ProtocolName=None)
        assert not taken(tmp_path)[0]
        series = named("頭部ルーチン", "頭部ルーチン２")
        study(tmp_path / "told", head, series[0] | settings, series[1])
        assert taken(tmp_path / "told")[0] == ["s3"]

    def test_where_it_is_not_sure_names_and_numbers_are_listed(self, tmp_path, head):
        study(tmp_path, head, *named("頭部３Ｄその１", "頭部３Ｄその２"))
        _, scans, census = taken(tmp_path)
        assert not scans
        listed = "\n".join(census.lines())
        assert "series 3 '頭部３Ｄその１', series 4 '頭部３Ｄその２'" in listed
        assert "choose one by its number (--series N, `series`)" in listed
        with pytest.raises(UsageError) as caught:
            read_query(tmp_path, grid_of_resolution(4), {})
        assert str(caught.value).count("series 4 '頭部３Ｄその２'") == 1


class TestGeometry:
    @pytest.mark.parametrize("spacing", [None, [0, 0], [1, 0], "1"])
    def test_no_voxel_size_no_volume(self, tmp_path, head, spacing):
        study(tmp_path, head, {"PixelSpacing": spacing})
        _, scans, census = taken(tmp_path)
        assert not scans
        assert "the size of the voxels is not known" in census.dropped[0][1]

    def test_one_slice_without_its_spacing(self, tmp_path, head):
        study(tmp_path, head, {})
        path = tmp_path / "s3" / "0007.dcm"
        header = pydicom.dcmread(path)
        del header.PixelSpacing
        header.save_as(path)
        assert not taken(tmp_path)[0]

    def test_one_identifier_for_all_slices(self, tmp_path, head):
        study(tmp_path, head, {})
        for path in (tmp_path / "s3").iterdir():
            header = pydicom.dcmread(path)
            header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
            header.save_as(path)
        for path in sorted((tmp_path / "s3").iterdir())[:5]:  # and true copies
            shutil.copy(path, tmp_path / "s3" / f"copy-{path.name}")
        assert taken(tmp_path)[0] == ["s3"]

    def test_copies_that_got_identifiers_of_their_own(self, tmp_path, head):
        study(tmp_path, head, {})
        for path in sorted((tmp_path / "s3").iterdir())[:7]:
            header = pydicom.dcmread(path)
            header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = (
                pydicom.uid.generate_uid()
            )
            header.save_as(tmp_path / "s3" / f"again-{path.name}")
        places, scans, _ = taken(tmp_path)
        assert places == ["s3"]
        assert len(scans[0].files) == HEAD[0][2]

    def test_other_pixels_at_one_place_are_no_copies(self, tmp_path, head):
        study(tmp_path, head, {})
        for path in sorted((tmp_path / "s3").iterdir())[:7]:
            header = pydicom.dcmread(path)
            header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = (
                pydicom.uid.generate_uid()
            )
            pixels = np.frombuffer(header.PixelData, np.int16) + 1
            header.PixelData = pixels.astype(np.int16).tobytes()
            header.save_as(tmp_path / "s3" / f"again-{path.name}")
        assert "some slices twice" in taken(tmp_path)[2].dropped[0][1]

    def test_an_orientation_that_jitters_by_rounding_is_one(self, tmp_path, head):
        study(tmp_path, head, {})
        for number, path in enumerate(sorted((tmp_path / "s3").iterdir())):
            header = pydicom.dcmread(path)
            header.ImageOrientationPatient = [
                float(x) + 1e-4 * (number % 3 - 1) for x in header.ImageOrientationPatient
            ]
            header.save_as(path)
        assert taken(tmp_path)[0] == ["s3"]


class TestFlatFolders:
    N = 6

    @pytest.fixture
    def flat(self, tmp_path, head):
        """The files of several people in one folder, their names mixed."""
        for person in range(self.N):
            write_dicom(tmp_path / f"p{person}", *head, PatientID=f"F{person}")
        (tmp_path / "flat").mkdir()
        for number, path in enumerate(sorted(tmp_path.glob("p*/*.dcm"))):
            path.rename(tmp_path / "flat" / f"{number % 7}-{number:04d}.dcm")
        return tmp_path / "flat"

    def test_files_are_opened_a_fixed_number_of_times_however_many_people(self, flat):
        opened = Counter()

        def count(event, arguments):
            if event == "open" and str(arguments[0]).startswith(str(flat)):
                opened[str(arguments[0])] += 1

        sys.addaudithook(count)  # stays for good, and counts nothing but this folder
        scans, census = find_scans(flat, "dicom")
        for scan in scans:
            assert_sides(read_scan(scan), tolerance_mm=2)
        assert len(scans) == self.N
        assert census.duplicates == ()
        assert len(opened) == self.N * HEAD[0][2]
        assert max(opened.values()) <= 3  # is it a zip, its header, its pixels

    def test_one_persons_new_file_changes_nobody_elses_scan(self, flat):
        scans, _ = find_scans(flat, "dicom")
        before = [stat_of(scan) for scan in scans]
        (flat / scans[0].files[0]).touch()
        after = [stat_of(scan) for scan in scans]
        assert before[1:] == after[1:]
        assert before[0] != after[0]


class TestCompactDiscs:
    def test_what_lies_beside_the_images_does_not_hide_them(self, tmp_path, head):
        """A CD with autorun, a report, pictures, DICOMDIR and files without suffix."""
        inside = tmp_path / "DICOM" / "PA000001" / "SE000001"
        for path in write_dicom(inside, *head).iterdir():
            path.rename(inside / f"IM{path.stem}")
        (tmp_path / "AUTORUN.INF").write_text("x")
        (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(400))
        (tmp_path / "REPORT.PDF").write_bytes(b"%PDF-1.4")
        for number in range(60):
            (tmp_path / f"picture{number}.jpg").write_bytes(b"\xff\xd8\xff")
        scans, census = find_scans(tmp_path, "dicom")
        assert len(scans) == 1
        assert not [why for _, why in census.dropped if "damaged" in why]


def test_every_file_of_a_source_has_its_end_in_the_census(tmp_path, head):
    """A CD: two series, a copy of a file, a damaged one, a viewer, a report and a hidden file."""
    folder = study(
        tmp_path / "cd", head, {"SeriesDescription": "t1_mprage"}, {"SeriesDescription": "t2_tse"}
    )
    first = sorted(folder.rglob("*.dcm"))[0]
    shutil.copyfile(first, folder / "again.dcm")
    (folder / "cut.dcm").write_bytes(first.read_bytes()[:300])
    (folder / "viewer.exe").write_bytes(b"MZ")
    (folder / "report.pdf").write_bytes(b"%PDF")
    (folder / ".DS_Store").write_bytes(b"x")
    (scan,), census = find_scans(folder)
    every = sum(path.is_file() and path.name[0] != "." for path in folder.rglob("*"))
    assert census.files["used"] == len(scan.files)
    assert census.files["hidden (skipped)"] == 1
    assert sum(census.files.values()) == every + 1
    (others,) = (what for what in census.files if what.startswith("no image"))
    assert ".exe 1" in others
    assert ".pdf 1" in others
    assert any("1 copy of other files" in why for _, why in census.dropped)
