"""Who a DICOM study is of, how old they are, and what is told where that is not sure."""

from __future__ import annotations

import pytest

from braincase.sources.dicom import read_dicom
from braincase.sources.dicom_identity import is_placeholder
from markers import marker, write_dicom

KEY = b"k" * 32
HEAD = ((20, 22, 42), (4.0, 4.0, 2.5))


@pytest.fixture
def head():
    return marker(*HEAD)


def people(folder):
    scans, census = read_dicom(folder, key=KEY)
    return len({scan.subject for scan in scans}), census


def text(census):
    return "\n".join(census.lines())


PLACEHOLDERS = [
    "ANONYMOUS",
    "anon",
    "Anonymized",
    "ANONYM^^",
    "UNKNOWN",
    "TEST",
    "Test Patient",
    "0",
    "00000000",
    "99999999",
    "123456",
    "REMOVED",
    "[removed]",
    "PATIENT",
    "ANON0000",
    "XXXXXXXX",
    "N/A",
    "none",
    "---",
    "De-Identified",
    "Anonymisé",
    "匿名",
    "ＡＮＯＮＹＭＯＵＳ",
    "",
    None,
]


@pytest.mark.parametrize("text", ["PATIENT^ANON", "Test^Patient", "ZZZZ", "aaa"])
def test_words_of_placeholders_and_one_letter_again_and_again_are_nobody(text):
    assert is_placeholder(text)


@pytest.mark.parametrize("text", ["Li^Na", "Test^Maria", "Null^Peter", "Anon^17", "Lee", "AB"])
def test_a_name_with_a_word_of_a_placeholder_is_somebody(text):
    assert not is_placeholder(text)


class TestPlaceholders:
    @pytest.mark.parametrize("patient", PLACEHOLDERS)
    def test_a_placeholder_joins_nobody(self, tmp_path, head, patient):
        for name, age in (("a", "034Y"), ("b", "071Y")):
            fields = {"PatientID": patient, "PatientAge": age, "PatientSex": "M"}
            fields |= {"PatientName": "Anonymous", "SpecificCharacterSet": "ISO_IR 192"}
            write_dicom(tmp_path / name, *head, **fields)
        found, census = people(tmp_path)
        assert found == 2
        assert "2 studies: PatientID is" in text(census)

    @pytest.mark.parametrize("patient", ["ANON-0017", "test7", "P001", "X12", "4711", "PATIENT 3"])
    def test_a_number_is_an_identity(self, tmp_path, head, patient):
        for name in "ab":
            write_dicom(tmp_path / name, *head, PatientID=patient)
        found, census = people(tmp_path)
        assert found == 1
        assert not census.notes
        assert not census.conflicts

    def test_the_number_of_the_study_is_no_person(self, tmp_path, head):
        for name, age in (("a", "034Y"), ("b", "071Y")):
            fields = {"PatientID": "S4711", "StudyID": "S4711", "PatientAge": age}
            write_dicom(tmp_path / name, *head, **fields)
        found, census = people(tmp_path)
        assert found == 2
        assert "PatientID is the study's number" in text(census)

    def test_name_birth_date_and_sex_join_the_visits_of_a_person(self, tmp_path, head):
        for name, day in (("a", "20110203"), ("b", "20110403")):
            write_dicom(tmp_path / name, *head, PatientID="ANON", StudyDate=day)
        write_dicom(tmp_path / "c", *head, PatientID="ANON", PatientName="Another^Name")
        found, census = people(tmp_path)
        assert found == 2
        assert "told apart by name, birth date and sex" in text(census)
        assert "Secret" not in text(census)

    def test_nothing_at_all_tells_two_folders_apart_by_their_series(self, tmp_path, head):
        for name in "ab":
            fields = {"PatientID": None, "PatientName": None, "StudyInstanceUID": None}
            write_dicom(tmp_path / name, *head, **fields)
        scans, _ = read_dicom(tmp_path / "a", key=KEY)
        others, _ = read_dicom(tmp_path / "b", key=KEY)
        assert scans[0].subject != others[0].subject


class TestContradictions:
    @pytest.mark.parametrize(
        ("first", "second", "words"),
        [
            ({"PatientAge": "034Y"}, {"PatientAge": "071Y"}, "ages differ by 37 years"),
            ({"PatientSex": "M"}, {"PatientSex": "F"}, "sex is F and M"),
            ({"PatientBirthDate": "19400101"}, {"PatientBirthDate": "19410505"}, "2 birth dates"),
        ],
    )
    def test_one_number_of_two_people_is_told(self, tmp_path, head, first, second, words):
        write_dicom(tmp_path / "a", *head, **first)
        write_dicom(tmp_path / "b", *head, **second)
        _, census = people(tmp_path)
        assert any(words in line for line in census.conflicts), census.conflicts
        assert not any("19" in line.split(":", 1)[1] for line in census.conflicts)

    def test_a_person_who_grew_older_is_no_contradiction(self, tmp_path, head):
        write_dicom(tmp_path / "a", *head)
        write_dicom(tmp_path / "b", *head, PatientAge="081Y", StudyDate="20210203")
        assert not people(tmp_path)[1].conflicts


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
class TestAges:
    @pytest.mark.parametrize(
        ("fields", "age", "words"),
        [
            ({"PatientAge": "999Y"}, None, "nobody has"),
            ({"PatientAge": "200Y"}, None, "nobody has"),
            ({"PatientAge": "000Y", "PatientBirthDate": None}, None, "nobody has"),
            ({"PatientAge": "unknown"}, None, "is no age"),
            ({"PatientAge": None, "PatientBirthDate": "19000101"}, None, "a placeholder"),
            ({"PatientAge": None, "PatientBirthDate": "19700101"}, None, "a placeholder"),
            ({"PatientAge": None, "PatientBirthDate": "18001231"}, None, "nobody has"),
            ({"PatientAge": None, "PatientBirthDate": "20120101"}, None, "not before the study"),
            ({"PatientAge": None, "PatientBirthDate": "00000000"}, None, "a placeholder"),
            ({"PatientAge": "104Y", "PatientBirthDate": None}, 90, "90 and above"),
            ({"PatientAge": "50"}, 50, "contradict each other"),
            ({"PatientAge": "030Y"}, 30, "contradict each other"),
            ({"PatientAge": "070Y"}, 70, None),
            ({"PatientAge": None, "PatientBirthDate": "1941.02.04"}, 69, None),
        ],
    )
    def test_an_age_nobody_has_is_no_age_and_told(self, tmp_path, head, fields, age, words):
        write_dicom(tmp_path / "s", *head, **fields)
        (scan,), census = read_dicom(tmp_path, key=KEY)
        assert scan.labels.get("age") == age
        assert words in text(census) if words else not census.notes
