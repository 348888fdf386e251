"""On-disk formats of earlier commits are read: gallery, cohort, model and file of users.

The samples in ``data/formats`` were written by the code of the commits in their names, by
``make.py`` there; a change that cannot read them needs a new format number and a word to the user.
"""

from __future__ import annotations

import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from braincase.cohort.cohort import open_cohort
from braincase.errors import CohortError, GalleryError, ModelError, UsageError
from braincase.gallery import NewCase, open_gallery
from braincase.models.model import load_model
from braincase.web.security.users import add_token, read_users, verified
from braincase.workflows.gallery_upkeep import verify_gallery
from braincase.workflows.relocation import relocate_gallery
from refusals import refused

SAMPLES = sorted((Path(__file__).parent / "data" / "formats").glob("*.zip"))


@pytest.fixture(params=SAMPLES, ids=lambda path: path.stem)
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with zipfile.ZipFile(request.param) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "users.json").chmod(0o600)
    return tmp_path


def test_a_gallery_is_read_relocated_and_grows(sample: Path) -> None:
    with closing(open_gallery(sample / "gallery")) as gallery:
        assert (gallery.info().cases, gallery.info(as_of=2).cases) == (2, 3)
        assert np.array_equal(gallery.get("sub-01").code, np.arange(6))
        assert gallery.get("sub-02").labels == {"age": 62.5}
        earlier = gallery.get("sub-01").cohort
    assert earlier is not None
    relocate_gallery(sample / "gallery", earlier, sample / "cohort")
    with closing(open_gallery(sample / "gallery")) as gallery:
        gallery.add([NewCase("sub-03", "03", np.ones(6))], "f" * 64)
    assert verify_gallery(sample / "gallery").problems == ()


def test_a_cohort_is_read(sample: Path) -> None:
    cohort = open_cohort(sample / "cohort")
    assert list(cohort.table["age"]) == [61.5, 62.5]
    assert cohort.volumes[0].max() == 50
    assert cohort.recipe["chain"] == 3


def test_a_model_is_read_and_is_the_same(sample: Path) -> None:
    about = json.loads((sample / "model" / "model.json").read_text())
    assert load_model(sample / "model").fingerprint == about["fingerprint"]


def test_users_are_read_and_rewritten(sample: Path) -> None:
    users = sample / "users.json"
    for _ in range(2):
        assert verified(read_users(users), "ada", "purple kettle moons 41")
        add_token(users, "ada")  # writes the format of now


def test_a_later_format_is_named_and_not_guessed_at(sample: Path) -> None:
    with closing(sqlite3.connect(sample / "gallery" / "gallery.sqlite3")) as database, database:
        database.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    with refused(GalleryError, "format 99"):
        open_gallery(sample / "gallery")
    for path, key, kind, read in (
        ("model/model.json", "format", ModelError, lambda: load_model(sample / "model")),
        ("cohort/dataset_description.json", "BraincaseFormat", CohortError,
         lambda: open_cohort(sample / "cohort")),
        ("users.json", "format", UsageError, lambda: read_users(sample / "users.json")),
    ):  # fmt: skip
        content = json.loads((sample / path).read_text())
        (sample / path).write_text(json.dumps({**content, key: 99}))
        with refused(kind, "format 99"):
            read()
