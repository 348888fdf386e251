"""The commands that show where scans come from: census --why, prepare --dry-run, saved hits."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from braincase.cli.main import app
from braincase.cohort.cohort import Cohort, class_names
from braincase.errors import UsageError
from braincase.models.training_set import rows_of_classes
from source_files import bids, text


@pytest.fixture
def source(tmp_path):
    for person in ("01", "02"):
        bids(tmp_path / "source", f"sub-{person}_T1w.nii.gz")
    bids(tmp_path / "source", "sub-02_UNIT1.nii.gz")
    rows = "participant_id\tage\tdiagnosis\nsub-01\t89+\tCN\nsub-02\t70\tAD\nsub-09\t60\tAD\n"
    text(tmp_path / "source" / "participants.tsv", rows)
    return tmp_path / "source"


def run(capsys, *words):
    app([str(word) for word in words], standalone_mode=False)
    return capsys.readouterr().out


def test_a_census_of_a_source_shows_the_evidence(source, capsys):
    out = run(capsys, "census", source, "--why")
    for words in (
        "2 people, 2 scans; diagnosis: AD 1, CN 1",
        "files: 2 used, 1 left out, 1 no image (.tsv 1)",
        "participants.tsv: 1 row fits no scan (sub-09)",
        "participants.tsv: 2 of 3 rows read, 1 fit no scan",
        "participants.tsv: columns: participant_id: who and where; age: label age",
        "'89+': an age of at least that, read as 90",
        "sub-02_UNIT1.nii.gz: an MP2RAGE's UNIT1",
        "subject 01 from the folder sub-01",
        "labels from line 2 of participants.tsv",
    ):
        assert words in out
    assert "labels from line 2" not in run(capsys, "census", source)


def test_a_dry_run_shows_the_plan_and_writes_nothing(source, tmp_path, capsys):
    out = run(capsys, "prepare", source, tmp_path / "cohort", "--dry-run")
    assert "2 scans to prepare (nothing is done now)" in out
    assert "subject 02 from the folder sub-02" in out
    assert not (tmp_path / "cohort").exists()
    told = json.loads(run(capsys, "prepare", source, tmp_path / "c", "--dry-run", "--json"))
    assert (told["todo"], told["done_before"]) == (2, 0)


def test_a_table_of_hits_is_a_source(source, tmp_path, capsys):
    image = source / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    header = "path\tsubject\tsession\trank\tdistance\tscore\tscan_id\tdiagnosis\tnote"
    rows = [header, f'{image}\t01\t\t1\t0.5\t0.6\tsub-01\tAD\t"a ""b"""', "n/a\t02\t" + "\tx" * 6]
    table = text(tmp_path / "hits.tsv", "\n".join(rows) + "\n")
    told = json.loads(run(capsys, "prepare", table, tmp_path / "c", "--dry-run", "--json"))
    assert told["todo"] == 1
    assert told["source"]["labels"] == {"AD": 1}
    assert [why for _, why in told["source"]["dropped"]] == ["no path"]


@pytest.mark.parametrize("values", [[0, 1, 1], [0, 1, None], [0.0, 1.0, 1.0], ["0", "1", "1"]])
def test_classes_that_are_numbers_are_found_by_their_names(tiny: Cohort, values):
    table = tiny.table.iloc[:3].copy()
    table["diagnosis"] = pd.Series(values, index=table.index)
    cohort = Cohort(tiny.folder, tiny.grid, tiny.recipe, table, tiny.volumes)
    assert list(class_names(cohort.column("diagnosis")).dropna().unique()) == ["0", "1"]
    assert list(rows_of_classes(cohort, "diagnosis", ["0"])) == [0]
    with pytest.raises(UsageError, match="no scan with diagnosis '2'; expected some of 0, 1"):
        rows_of_classes(cohort, "diagnosis", ["2"])
