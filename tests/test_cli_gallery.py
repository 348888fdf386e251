"""The commands that fill a gallery and look after it."""

import io
import json
from pathlib import Path

import pytest

from braincase.gallery import open_gallery
from braincase.images.geometry import HALF_GRID
from braincase.models.model import Model, save_model
from braincase.models.network import build_network
from braincase.models.settings import ModelSettings
from braincase.preprocess.prepare_volume import recipe_of
from gallery_cases import filled_gallery, some_cases
from test_cli import only_line, run
from test_raw_indexing import table  # noqa: F401


@pytest.fixture(scope="module")
def untrained(tiny, tmp_path_factory):
    """A model with random weights: what it says of a brain is of no matter here."""
    folder = tmp_path_factory.mktemp("model") / "m"
    settings = ModelSettings(name="untrained", channels=4)
    network = build_network(settings, HALF_GRID).eval()
    model = Model(network, settings, HALF_GRID, recipe_of(HALF_GRID), {"losses": {}})
    save_model(folder, model, "untrained")
    return folder


def test_a_cohort_and_raw_scans_go_into_one_gallery(tiny, table, untrained, tmp_path, capsys):  # noqa: F811
    words = ("--gallery", tmp_path / "g", "--model", untrained)
    code, out, err = run(capsys, "index", tiny.folder, *words)
    assert code == 0, err
    assert "34 added, 0 updated, 0 unchanged, 0 left out" in out
    code, out, err = run(capsys, "index", table, *words, "--workers", 1, "--json")
    assert code == 0, err
    done = json.loads(out)
    assert (done["added"], len(done["failed"])) == (2, 2)
    assert (tmp_path / "g-cohort" / "quality.html").is_file()
    gallery = open_gallery(tmp_path / "g")
    assert gallery.info().cases == 36
    gallery.close()


def test_a_folder_that_is_neither_is_told_in_one_line(untrained, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    words = ("--gallery", tmp_path / "g", "--model", untrained)
    code, _, err = run(capsys, "index", tmp_path / "empty", *words)
    assert code in (1, 2)
    assert "empty" in only_line(err)
    code, _, err = run(capsys, "index", tmp_path / "nowhere", *words)
    assert code == 2
    assert "no such file or folder" in only_line(err)


def test_a_cohort_needs_no_place_for_a_cohort(tiny, untrained, tmp_path, capsys):
    words = ("--gallery", tmp_path / "g", "--model", untrained, "--cohort", tmp_path / "c")
    code, _, err = run(capsys, "index", tiny.folder, *words)
    assert code == 2
    assert "--cohort: a source that is a cohort already" in only_line(err)


@pytest.fixture
def gallery(tmp_path) -> Path:
    filled_gallery(tmp_path / "g", n_people=30).close()
    return tmp_path / "g"


def test_info_tells_what_is_there(gallery, capsys):
    code, out, _ = run(capsys, "gallery", "info", gallery)
    assert code == 0
    assert "60 scans of 30 people" in out
    assert "columns: subject, session, age, sex, diagnosis" in out
    known = json.loads(run(capsys, "gallery", "info", gallery, "--as-of", 0, "--json")[1])
    assert (known["cases"], known["version"], known["engine"]) == (0, 0, "embedded")


def test_versions_tell_the_history(gallery, capsys):
    run(capsys, "gallery", "remove", gallery, "sub-000_ses-1")
    out = run(capsys, "gallery", "versions", gallery)[1]
    assert [line.split("\t")[0::2] for line in out.splitlines()] == [
        ["0", "created"],
        ["1", "60 added, 0 updated"],
        ["2", "1 removed"],
    ]
    listed = json.loads(run(capsys, "gallery", "versions", gallery, "--json")[1])
    assert listed[1]["what"] == "60 added, 0 updated"


def test_removed_scans_stay_in_earlier_versions(gallery, capsys):
    code, out, _ = run(capsys, "gallery", "remove", gallery, "--subject", "003", "sub-001_ses-1")
    assert (code, out.splitlines()[0]) == (0, "3 removed; the gallery is at version 2")
    assert "indexing the same cohort again adds them again; --erase keeps them out" in out
    held = open_gallery(gallery)
    assert (held.info().cases, held.info(as_of=1).cases) == (57, 60)
    held.close()


def test_erasing_a_person_reaches_what_was_removed_before(gallery, capsys):
    code_of = some_cases(30)[6].code.tobytes()
    run(capsys, "gallery", "remove", gallery, "sub-003_ses-1")
    words = ("gallery", "remove", gallery, "--subject", "003", "--erase", "--yes", "--json")
    code, out, err = run(capsys, *words)
    assert code == 0, err
    assert json.loads(out)["removed"] == ["sub-003_ses-1", "sub-003_ses-2"]
    held = open_gallery(gallery)
    assert held.person("003", as_of=1) == held.person("003", ever=True) == ()
    held.close()
    assert code_of not in b"".join(f.read_bytes() for f in gallery.iterdir() if f.is_file())


@pytest.mark.parametrize(
    ("answer", "version", "said"),
    [("y\n", 2, ""), ("n\n", 1, "--erase: not confirmed"), (None, 1, "--erase: nobody to ask")],
)
def test_erasing_asks_first(gallery, capsys, monkeypatch, answer, version, said):
    keyboard = io.StringIO(answer or "")
    keyboard.isatty = lambda: answer is not None
    monkeypatch.setattr("sys.stdin", keyboard)
    code, _, err = run(capsys, "gallery", "remove", gallery, "sub-003_ses-1", "--erase")
    assert (code, said in err) == (2 if said else 0, True)
    held = open_gallery(gallery)
    assert held.info().version == version
    held.close()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("info", "nowhere"), 1, "no gallery here"),
        (("remove", "GALLERY"), 2, "nothing to remove"),
        (("remove", "GALLERY", "sub-nobody"), 2, "no scan 'sub-nobody'"),
        (("remove", "GALLERY", "--subject", "nobody"), 2, "no scan of 'nobody'"),
        (("info", "GALLERY", "--as-of", 7), 2, "--as-of: version 7; expected 0 to 1"),
        (("sync", "GALLERY"), 2, "has nothing to bring up"),
        (("info", "milvus://host/c"), 2, "an incomplete gallery URL"),
    ],
)
def test_a_mistake_gets_one_clear_line(gallery, capsys, words, code, said):
    found, _, err = run(
        capsys, "gallery", *(gallery if word == "GALLERY" else word for word in words)
    )
    assert found == code
    assert said in only_line(err)


def test_a_gallery_is_spread_and_searched_by_commands(gallery, milvus, capsys):
    url = f"milvus://{milvus}/by_commands?record={gallery}"
    code, out, err = run(capsys, "gallery", "sync", url)
    assert code == 0, err
    assert out.strip() == "Milvus is at version 1: 60 put, 0 deleted"
    code, out, err = run(capsys, "gallery", "info", url)
    assert "(milvus, exact), version 1" in out
    words = ("search", "sub-004_ses-1", "-k", 3, "--json", "--gallery")
    code, out, err = run(capsys, *words, url)
    assert code == 0, err
    there, here = json.loads(out), json.loads(run(capsys, *words, gallery)[1])
    assert there["hits"] == here["hits"]
    assert there["exact"]


def test_every_command_has_help_and_stands_in_the_readme():
    from braincase.cli.gallery import gallery_app

    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for command in gallery_app.registered_commands:
        assert command.callback.__doc__
        assert (command.name or command.callback.__name__) in readme
