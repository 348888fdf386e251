"""The command line on one's own data: names as people type them, no labels, few cases, a pipe."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI

from braincase.cli.main import app
from braincase.cohort.cohort import Cohort
from braincase.errors import UsageError
from braincase.gallery import create_gallery, open_gallery
from braincase.models.embed import encoder_of
from braincase.models.model import load_model
from braincase.models.settings import ModelSettings
from braincase.progress import _duration, _plain
from braincase.sources.find import find_scans
from braincase.web.run import server_config
from braincase.web.service_settings import ServiceSettings
from braincase.workflows.training import train_and_save
from gallery_cases import MODEL, filled_gallery, some_cases
from test_cli import run


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "g"
    filled_gallery(folder, n_people=4).close()
    return folder


def test_the_help_is_in_sections_and_short_for_h(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "-h")
    assert code == 0
    places = [out.index(f"\n{title}:") for title in ("Data", "Model", "Search", "Serve", "Try")]
    assert places == sorted(places)
    assert "Other:" not in out  # each command stands in a section
    assert "..." not in out.partition("Data:")[2]
    assert run(capsys, "search", "-h")[0] == 0
    assert app._add_completion


def test_a_small_gallery_is_searched_without_k_and_an_explicit_k_may_fail(
    gallery: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINCASE_GALLERY", str(gallery))
    code, out, err = run(capsys, "search", "sub-000_ses-1", "--json")
    assert code == 0, err
    assert len(json.loads(out)["hits"]) == 3
    code, _, err = run(capsys, "search", "sub-000_ses-1", "-k", 20)
    assert (code, "-k: 20; expected at most the 4 people" in err) == (2, True)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("000_ses-1", ""),
        ("sub-000", "'sub-000' has 2 scans: sub-000_ses-1, sub-000_ses-2"),
        ("sub-000_ses1", "Did you mean sub-000_ses-1"),
        ("conftset.py", "Did you mean conftest.py?"),
        ("nowhere/x.nii.gz", "check the path"),
        ("dtaa/nothing_alike.nii.gz", "check the path"),
        ("../tets/conftset.py", "Did you mean ../tests/conftest.py?"),
    ],
)
def test_a_name_is_understood_or_the_nearest_one_is_told(
    gallery: Path,
    typed: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    code, _, err = run(capsys, "search", typed, "--gallery", gallery, "--json")
    assert code == (2 if said else 0), err
    assert said in err


@pytest.mark.parametrize(
    "words",
    [
        ("census", "datta"), ("find", "datta"), ("train", "datta", "--out", "m"),
        ("gallery", "info", "datta"), ("serve", "datta"), ("prepare", "datta", "out"),
        ("index", "datta", "--gallery", "g"), ("evaluate", "datta", "--out", "r"),
        ("index", "data", "--gallery", "g", "--model", "datta"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_command_tells_the_path_that_was_perhaps_meant(
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    if words[0] == "find":
        with pytest.raises(UsageError, match=r"Did you mean data\?$"):
            find_scans("datta")
        return
    code, _, err = run(capsys, *words)
    assert code in (1, 2)
    assert err.splitlines()[-1].endswith("Did you mean data?"), err


def test_what_is_missing_is_named_and_the_environment_may_give_it(
    gallery: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, said in (
        (("gallery", "list"), "Missing argument 'url'"),
        (("search", "x"), "Missing option '--gallery' (env var: 'BRAINCASE_GALLERY')"),
    ):
        code, _, err = run(capsys, *words)
        assert (code, said in err) == (2, True), err
    monkeypatch.setenv("BRAINCASE_GALLERY", str(gallery))
    for command in ("info", "list", "versions", "verify"):
        assert run(capsys, "gallery", command)[0] == 0


def test_the_help_of_a_group_tells_all_of_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    for group in ("gallery", "pacs", "user", "audit", "encoder", "bench"):
        code, out, _ = run(capsys, group, "-h")
        assert code == 0
        assert "..." not in out.partition("Commands:")[2]


def test_cases_are_listed_and_removed_by_the_name_that_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled_gallery(tmp_path / "g", n_people=4).close()
    listed = ("gallery", "list", tmp_path / "g", "--where", "sex = 'F'", "--columns", "sex,age")
    code, out, _ = run(capsys, *listed)
    assert code == 0
    header, *lines = out.splitlines()
    assert header.split("\t") == ["scan_id", "subject", "session", "sex", "age"]
    assert [line.split("\t")[0] for line in lines] == [
        "sub-000_ses-1", "sub-000_ses-2", "sub-002_ses-1", "sub-002_ses-2",
    ]  # fmt: skip
    code, _, err = run(capsys, "gallery", "list", tmp_path / "g", "--columns", "site")
    assert (code, "--columns: no label 'site'" in err) == (2, True)
    assert run(capsys, "gallery", "remove", tmp_path / "g", "--subject", "sub-002")[0] == 0
    assert len(run(capsys, *listed)[1].splitlines()) == 3


def test_a_plain_model_is_trained_without_labels_and_others_say_what_they_need(
    tiny: Cohort, tmp_path: Path
) -> None:
    unlabelled = replace(tiny, table=tiny.table.drop(columns="diagnosis"))
    plain = ModelSettings("plain", channels=1, alpha=0.0, epochs=1, batch_size=16)
    model = train_and_save(unlabelled, str(tmp_path / "m"), plain, device="cpu")
    assert model.training["classes"] == ["unlabelled"]
    encoder_of(load_model(tmp_path / "m"))
    with pytest.raises(UsageError, match=r"no column 'diagnosis'.*there are: .*sex.*plain"):
        train_and_save(unlabelled, tmp_path / "n", replace(plain, alpha=1.0))
    with pytest.raises(UsageError, match="device: 'tpu'; expected one of auto, cpu"):
        train_and_save(unlabelled, tmp_path / "n", plain, device="tpu")


def test_in_a_pipe_progress_is_told_now_and_then_with_the_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    advance = _plain("preparing", 3, every_s=0.0)
    for _ in range(3):
        advance()
    first, _, last = capsys.readouterr().err.splitlines()
    assert first == "preparing: 1/3, 0 s left"
    assert last == "preparing: 3/3"
    often = _plain("preparing", 1000)
    for _ in range(999):
        often()
    assert capsys.readouterr().err == ""
    assert [_duration(s) for s in (40, 720, 12600)] == ["40 s", "12 min", "3.5 h"]


def test_an_erased_person_stays_out_and_what_remains_of_them_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort = tmp_path / "cohort"
    image = cohort / "sub-000" / "anat" / "sub-000_T1w.nii.gz"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"image")
    (cohort / "sub-0001.txt").write_text("another person's")
    (cohort / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "braincase"}]}')
    cases = [replace(case, cohort=cohort, image="x.nii.gz") for case in some_cases(3)]
    gallery = create_gallery(tmp_path / "g", MODEL, 4)
    gallery.add(cases, MODEL)
    gallery.close()
    erase = ("gallery", "remove", tmp_path / "g", "--erase", "--yes")
    other = cohort / "sub-001_ses-1.txt"
    other.write_text("of one scan")
    (cohort / "sub-001_ses-2.txt").write_text("of a scan that stays")
    assert run(capsys, *erase, "sub-001_ses-1", "--delete-files")[0] == 0
    assert (other.exists(), (cohort / "sub-001_ses-2.txt").exists()) == (False, True)
    _, out, _ = run(capsys, *erase, "--subject", "sub-000")
    assert "2 erased" in out
    assert str(image) in out
    assert "sub-0001.txt" not in out
    with closing(open_gallery(tmp_path / "g")) as opened:
        later = replace(cases[0], scan_id="sub-000_ses-3", image_hash="a new image")
        assert opened.add([later], MODEL).erased_before == ("sub-000_ses-3",)
        opened.readmit(["sub-000_ses-1"])
        assert opened.add([later], MODEL).added == ("sub-000_ses-3",)
        assert opened.add([cases[1]], MODEL).erased_before == ("sub-000_ses-2",)
    code, out, err = run(capsys, *erase, "sub-000_ses-3", "--delete-files")
    assert code == 0, err
    assert not image.exists()
    assert (cohort / "sub-0001.txt").exists()


def test_a_service_writes_as_much_as_it_is_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ServiceSettings("g")
    quiet, told = (
        server_config(FastAPI(), s) for s in (settings, replace(settings, access_log=True))
    )
    assert (quiet.log_level, quiet.access_log) == ("warning", False)
    assert (told.log_level, told.access_log) == ("info", True)
    code, _, err = run(capsys, "serve", "g", "--log-level", "loud")
    assert (code, "'debug', 'info', 'warning', 'error'" in err) == (2, True)
