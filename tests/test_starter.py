"""The starter model: it ships, is what its fingerprint says, and searches own heads at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest

import braincase
from braincase.errors import ParameterError
from braincase.gallery import NewCase, create_gallery
from braincase.models.check_head import head_on_grid
from braincase.models.open_encoder import encoder_info, open_encoder
from braincase.models.starter import CHECK, FOLDER, STARTER, model_folder, starter_if_its
from braincase.volumetry.code_layout import LONG


def test_it_gives_the_code_that_it_was_published_with() -> None:
    encoder = open_encoder(STARTER)
    code = encoder.embed(head_on_grid(encoder.grid, strip=True)[None])[0]
    with np.load(FOLDER / CHECK) as published:
        np.testing.assert_allclose(code, published["code"], atol=0.02 * np.abs(code).max())
    assert code.shape == (LONG,)


def test_it_is_small_and_says_on_whom_it_was_trained() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 6.1e6
    card = (FOLDER / "card.md").read_text()
    assert "**simulated** scans" in card
    assert "Not evaluated for any clinical use" in card


def test_it_is_known_by_name_and_by_fingerprint(tmp_path, monkeypatch) -> None:
    assert starter_if_its(encoder_info(STARTER).fingerprint) == STARTER
    assert starter_if_its("a" * 64) is None
    monkeypatch.chdir(tmp_path)
    assert model_folder(STARTER) == FOLDER
    (tmp_path / STARTER).mkdir()
    assert model_folder(STARTER) == tmp_path.__class__(STARTER)  # a folder of that name comes first


def test_a_gallery_of_its_codes_is_searched_with_a_scan_without_naming_it(tmp_path) -> None:
    encoder = open_encoder(STARTER)
    volume = head_on_grid(encoder.grid, strip=True)
    own = encoder.embed(volume[None])[0]
    codes = {"sub-a": own, "sub-b": own + 1}
    for place, model in (("its", encoder.fingerprint), ("other", "a" * 64)):
        with closing(create_gallery(tmp_path / place, model, 4, LONG)) as gallery:
            gallery.add([NewCase(name, name, code) for name, code in codes.items()], model)
    with braincase.open_gallery(tmp_path / "its") as gallery:
        assert [hit.scan_id for hit in gallery.search(volume, k=2)] == ["sub-b"]
        assert gallery.ask(volume, k=2).result.own_subject == "sub-a"
    with (
        braincase.open_gallery(tmp_path / "other") as gallery,
        pytest.raises(ParameterError, match="none given"),
    ):
        gallery.search(volume, k=1)


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_models_lists_it(words: list[str], tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "braincase", "models", str(tmp_path), *words],
        capture_output=True,
        text=True,
        check=True,
    )
    if words:
        (told,) = json.loads(done.stdout)
        assert told["fingerprint"] == encoder_info(STARTER).fingerprint
    else:
        assert done.stdout.startswith(
            f"starter: 4 mm, {encoder_info(STARTER).fingerprint[:12]}, simulated"
        )
        assert "MTS-L" in done.stdout


def test_a_model_at_hand_is_found_by_the_gallerys_fingerprint(
    tmp_path, web_gallery, web_model, monkeypatch
) -> None:
    shutil.copytree(web_gallery, tmp_path / "a" / "gallery")
    grid = open_encoder(web_model).grid
    volume = head_on_grid(grid, strip=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with braincase.open_gallery(tmp_path / "a" / "gallery") as gallery:
        short = gallery.gallery.fingerprint[:12]
        wanted = f"the gallery's model, {short}, to embed the scan. `braincase models FOLDER`"
        with pytest.raises(ParameterError, match=wanted):
            gallery.search(volume, k=1)
    broken = tmp_path / "a" / "broken"
    broken.mkdir()
    (broken / "model.json").write_text("{")
    for folder in (tmp_path / "a" / "mine", tmp_path / "elsewhere" / "mine"):
        shutil.copytree(web_model, folder)
        with braincase.open_gallery(tmp_path / "a" / "gallery") as gallery:
            assert len(gallery.search(volume, k=1)) == 1
        shutil.rmtree(folder)
