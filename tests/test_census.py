from __future__ import annotations

import json
from pathlib import Path

import pytest

from braincase.sources.census import census_from_json, take_census
from braincase.sources.choose import image_marks, one_a_session
from braincase.sources.scan import Scan
from braincase.sources.table import read_table


def scan(subject, session=None, path=None, **labels):
    return Scan(Path(path or f"/data/{subject}{session}.nii"), subject, session, labels)


def test_people_scans_and_labels_are_counted():
    scans = [scan("1", "a", diagnosis="AD"), scan("1", "b", diagnosis="AD"), scan("2")]
    census = take_census(scans)
    assert (census.people, census.scans) == (2, 3)
    assert census.labels == {"AD": 2, "no label": 1}


def test_two_sexes_of_a_person_and_two_labels_of_a_visit_are_conflicts():
    scans = [
        scan("1", "a", sex="F", diagnosis="CN"),
        scan("1", "b", sex="M", diagnosis="AD"),
        scan("2", "a", "/x", diagnosis="CN"),
        scan("2", "a", "/y", diagnosis="AD"),
    ]
    conflicts = take_census(scans).conflicts
    assert conflicts == ("sub-1: sex is F and M", "sub-2_ses-a: diagnosis is AD and CN")


def test_a_diagnosis_that_changes_between_visits_is_no_conflict():
    assert not take_census(
        [scan("1", "a", diagnosis="CN"), scan("1", "b", diagnosis="AD")]
    ).conflicts


def test_the_same_image_under_two_names_is_found(tmp_path):
    for name, content in {"a": b"x" * 300_000, "b": b"x" * 300_000, "c": b"y" * 300_000}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "d").write_bytes(b"x" * 150_000 + b"z" + b"x" * 149_999)
    scans = [scan(name, path=tmp_path / name) for name in "abcd"]
    assert take_census(scans, hashes=image_marks(scans)).duplicates == (("sub-a", "sub-b"),)


def test_images_alike_in_all_samples_but_not_in_between_differ(tmp_path):
    content = bytearray(1_000_000)
    (tmp_path / "a").write_bytes(content)
    content[200_000] = 1
    (tmp_path / "b").write_bytes(content)
    marks = image_marks([scan(name, path=tmp_path / name) for name in "ab"])
    assert marks[0] != marks[1]


def test_one_scan_a_session_keeps_the_best_rank_and_names_it():
    ranked = [
        ((2,), scan("1", "a", "/x/late")),
        ((1,), scan("1", "a", "/x/best")),
        ((5,), scan("2")),
    ]
    best, dropped = one_a_session(ranked)
    assert [s.path.name for s in best] == ["best", "2None.nii"]
    assert dropped == [("/x/late", "another T1w of the same visit is used (best)")]


def test_the_choice_does_not_depend_on_the_order_of_files():
    ranked = [((1,), scan("1", "a", f"/x/{name}")) for name in "cab"]
    assert [best.path.name for best in one_a_session(ranked)[0]] == ["a"]
    assert one_a_session(ranked[::-1])[0] == one_a_session(ranked)[0]


def test_a_census_prints_counts_reasons_and_notes_and_is_json():
    dropped = [(f"/x/{n}", "no T1w") for n in range(3)]
    census = take_census([scan("1", diagnosis="AD")], dropped, notes=["look here"])
    lines = "\n".join(census.lines())
    for words in ("1 person, 1 scan; diagnosis: AD 1", "look here", "left out: 3", "3 x no T1w"):
        assert words in lines
    assert census_from_json(json.loads(json.dumps(census.to_json()))) == census


def test_a_person_in_two_label_groups_is_named() -> None:
    scans = [
        Scan(Path("a"), "p1", "1", {"diagnosis": "CN"}),
        Scan(Path("b"), "p1", "2", {"diagnosis": "AD"}),
        Scan(Path("c"), "p2", "1", {"diagnosis": "AD"}),
        Scan(Path("d"), "p2", "2", {"diagnosis": "AD"}),
    ]
    census = take_census(scans)
    line = "1 person has scans of several labels in diagnosis: p1 (AD, CN)"
    assert census.notes == (line,)
    assert line in census.lines()


def test_spellings_of_one_label_are_named_and_never_merged() -> None:
    named = ["AD", "ad", "Alzheimer", "CN", "control", "MCI", "amyloid+", "amyloid-"]
    census = take_census([scan(str(i), diagnosis=name) for i, name in enumerate(named)])
    assert len(census.labels) == len(named)
    assert census.notes == (
        "diagnosis: 'AD' and 'ad' differ only in case: counted as 2",
        "diagnosis: 'CN' and 'control' may mean the same: counted as 2",
        "diagnosis: 'AD' and 'Alzheimer' may mean the same: counted as 2",
    )


def test_columns_that_may_be_the_label_are_named_where_none_is_found(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.nii.gz").write_bytes(b"x")
    table = tmp_path / "scans.csv"
    table.write_text("path,subject,age,sex,condition\na.nii.gz,a,60,F,AD\nb.nii.gz,b,61,M,CN\n")
    (note,) = read_table(table)[1].notes
    assert note == (
        "no column diagnosis; text columns: condition; name one with --label (`label_column`)"
    )
    assert read_table(table, "condition")[1].notes == ()


@pytest.mark.parametrize("header", ["DX_GROUP", "Dx Group", "dx_group"])
def test_the_label_column_of_abide_is_found(tmp_path, header) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"x")
    table = tmp_path / "scans.csv"
    table.write_text(f"path,subject,{header}\na.nii.gz,a,1\n")
    census = read_table(table)[1]
    assert (census.label_column, census.labels) == ("dx_group", {"1": 1})
