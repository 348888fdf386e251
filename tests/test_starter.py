"""The starter model: it ships, is what its fingerprint says, and searches own heads at once."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from braincase.models.check_head import head_on_grid
from braincase.models.encoder_check import fingerprint_of, open_encoder
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
    assert starter_if_its(fingerprint_of(STARTER)) == STARTER
    assert starter_if_its("a" * 64) is None
    monkeypatch.chdir(tmp_path)
    assert model_folder(STARTER) == FOLDER
    (tmp_path / STARTER).mkdir()
    assert model_folder(STARTER) == tmp_path.__class__(STARTER)  # a folder of that name comes first


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
        assert told["fingerprint"] == fingerprint_of(STARTER)
    else:
        assert done.stdout.startswith(f"starter: 4 mm, {fingerprint_of(STARTER)[:12]}, simulated")
        assert "MTS-L" in done.stdout
