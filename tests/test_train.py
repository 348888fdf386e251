"""Training learns, stops when it must, and goes on where it was killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from braincase.cohort.cohort import Cohort
from braincase.errors import ModelError, TrainingError, UsageError
from braincase.models.card import write_card
from braincase.models.model import WEIGHTS, load_model, save_model, write_tensors
from braincase.models.model_json import ABOUT
from braincase.models.settings import ModelSettings, load_settings, settings_from
from braincase.models.train import learning_rate, train_model

QUICK = ModelSettings("quick", channels=4, epochs=3, batch_size=8)


def rows_of(cohort: Cohort, *diagnoses: str) -> np.ndarray:
    return np.flatnonzero(cohort.table["diagnosis"].isin(diagnoses))


@pytest.mark.parametrize("exemplars", ["random", "mean"])
def test_training_lowers_both_terms_of_the_loss(tiny: Cohort, exemplars: str) -> None:
    rows = rows_of(tiny, "CN", "AD")
    settings = replace(QUICK, exemplars=exemplars, augment=False)
    short = train_model(tiny, rows, replace(settings, epochs=1)).training["losses"]
    long = train_model(tiny, rows, replace(settings, epochs=6)).training["losses"]
    assert long["reconstruction"] < short["reconstruction"]
    assert long["metric"] < short["metric"]


def test_three_classes_can_be_trained(tiny: Cohort) -> None:
    rows = rows_of(tiny, "CN", "AD", "EMCI")
    model = train_model(tiny, rows, replace(QUICK, epochs=1, batch_size=34))
    assert model.training["classes"] == ["AD", "CN", "EMCI"]
    assert model.training["losses"]["metric"] > 0


def test_equal_seeds_train_equal_models(tiny: Cohort) -> None:
    rows = rows_of(tiny, "CN", "AD")
    settings = replace(QUICK, epochs=1)
    a, b = (train_model(tiny, rows, settings) for _ in range(2))
    assert a.fingerprint == b.fingerprint
    assert train_model(tiny, rows, replace(settings, seed=1)).fingerprint != a.fingerprint


def test_a_run_killed_in_the_middle_ends_with_the_same_weights(
    tiny: Cohort, tmp_path: Path
) -> None:
    settings = replace(QUICK, epochs=6)
    script = (
        "import numpy as np, sys\nfrom pathlib import Path\n"
        "from braincase.cohort.cohort import open_cohort\n"
        "from braincase.models.settings import ModelSettings\n"
        "from braincase.models.train import train_model\n"
        f"cohort = open_cohort(Path({str(tiny.folder)!r}))\n"
        "rows = np.flatnonzero(cohort.table['diagnosis'].isin(['CN', 'AD']))\n"
        f"train_model(cohort, rows, {settings!r}, checkpoint=Path({str(tmp_path)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    wait_for_epoch(tmp_path, 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = json.loads((tmp_path / "state.json").read_text())["epochs_done"]
    assert 2 <= done < 6
    rows = rows_of(tiny, "CN", "AD")
    resumed = train_model(tiny, rows, settings, checkpoint=tmp_path)
    whole = train_model(tiny, rows, settings)
    assert resumed.fingerprint == whole.fingerprint
    assert resumed.training["losses"] == whole.training["losses"]


def test_a_run_killed_between_its_last_epoch_and_the_save_keeps_its_losses(
    tiny: Cohort, tmp_path: Path
) -> None:
    rows = rows_of(tiny, "CN", "AD")
    whole = train_model(tiny, rows, replace(QUICK, epochs=1), checkpoint=tmp_path / "checkpoint")
    # Nothing is saved but the checkpoint: the same command finds every epoch done.
    resumed = train_model(tiny, rows, replace(QUICK, epochs=1), checkpoint=tmp_path / "checkpoint")
    assert resumed.fingerprint == whole.fingerprint
    assert resumed.training["losses"] == whole.training["losses"]
    assert resumed.training["seconds"] >= whole.training["seconds"] > 0
    save_model(tmp_path / "model", resumed, write_card(resumed))
    json.loads((tmp_path / "model" / ABOUT).read_text(), parse_constant=pytest.fail)
    assert "nan" not in (tmp_path / "model" / "card.md").read_text()


def wait_for_epoch(folder: Path, epochs: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if json.loads((folder / "state.json").read_text())["epochs_done"] >= epochs:
                return
        except FileNotFoundError:
            pass
        time.sleep(0.01)
    raise AssertionError("the training process never got that far")


def test_a_checkpoint_of_other_settings_is_not_continued(tiny: Cohort, tmp_path: Path) -> None:
    rows = rows_of(tiny, "CN", "AD")
    settings = replace(QUICK, epochs=1)
    train_model(tiny, rows, replace(settings, seed=5), checkpoint=tmp_path)
    resumed = train_model(tiny, rows, settings, checkpoint=tmp_path)
    assert resumed.fingerprint == train_model(tiny, rows, settings).fingerprint


def test_training_stops_at_the_first_loss_that_is_not_finite(tiny: Cohort) -> None:
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf) in epoch"):
        train_model(tiny, rows_of(tiny, "CN", "AD"), replace(QUICK, learning_rate=1e30))


def test_one_class_only_is_refused_unless_the_cae_is_plain(tiny: Cohort) -> None:
    rows = rows_of(tiny, "AD")
    with pytest.raises(TrainingError, match="one class only"):
        train_model(tiny, rows, QUICK)
    model = train_model(tiny, rows, replace(QUICK, alpha=0.0, epochs=1))
    assert model.training["losses"]["metric"] == 0


def test_fewer_scans_than_a_batch_are_refused(tiny: Cohort) -> None:
    with pytest.raises(TrainingError, match="Lower `batch_size`"):
        train_model(tiny, rows_of(tiny, "CN", "AD")[:7], QUICK)


def test_a_saved_model_is_loaded_as_it_was(tiny: Cohort, tmp_path: Path) -> None:
    model = train_model(tiny, rows_of(tiny, "CN", "AD"), replace(QUICK, epochs=1))
    save_model(tmp_path, model, "card")
    loaded = load_model(tmp_path)
    assert loaded.fingerprint == model.fingerprint
    assert loaded.settings == model.settings
    assert sorted(p.name for p in tmp_path.iterdir()) == ["card.md", ABOUT, WEIGHTS]
    with pytest.raises(UsageError, match="exists already"):
        save_model(tmp_path, model, "card")


def test_a_model_says_nothing_of_who_it_was_trained_on(tiny: Cohort, tmp_path: Path) -> None:
    model = train_model(tiny, rows_of(tiny, "CN", "AD"), replace(QUICK, epochs=1))
    save_model(tmp_path, model, "card")
    text = "".join(p.read_text(encoding="utf-8", errors="replace") for p in tmp_path.iterdir())
    for subject in set(tiny.table["subject"]):
        for kind in ("md5", "sha1", "sha256"):
            assert hashlib.new(kind, str(subject).encode()).hexdigest()[:8] not in text
    about = json.loads((tmp_path / ABOUT).read_text())
    assert about["training"]["people"] == len(
        set(tiny.table["subject"].iloc[rows_of(tiny, "CN", "AD")])
    )
    about["training"]["subject_hashes"] = ["0123456789abcdef"]  # as earlier versions wrote it
    (tmp_path / ABOUT).write_text(json.dumps(about))
    loaded = load_model(tmp_path)
    assert loaded.fingerprint == model.fingerprint
    assert "0123456789abcdef" not in json.dumps(loaded.about())


def test_changed_weights_are_noticed(tiny: Cohort, tmp_path: Path) -> None:
    model = train_model(tiny, rows_of(tiny, "CN", "AD"), replace(QUICK, epochs=1))
    save_model(tmp_path, model, "card")
    content = bytearray((tmp_path / WEIGHTS).read_bytes())
    content[-5] ^= 1
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(ModelError, match="do not have the fingerprint"):
        load_model(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(content[:100])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(tmp_path)
    write_tensors(tmp_path / WEIGHTS, {"layer.of.an.earlier.version": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"another network than today's.* Train again"):
        load_model(tmp_path)


def test_a_fingerprint_is_computed_once(tiny: Cohort) -> None:
    model = train_model(tiny, rows_of(tiny, "CN", "AD"), replace(QUICK, epochs=1))
    first = model.fingerprint
    assert model.fingerprint is first


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="braincase train"):
        load_model(tmp_path)


def test_the_rate_rises_then_falls_to_zero() -> None:
    rates = [learning_rate(step, 100, 2.0) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(2.0)
    assert rates[100] == pytest.approx(0, abs=1e-9)
    assert np.argmax(rates) in (9, 10)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"name": "x", "chanels": 3}, "unknown key 'chanels'"),
        ({"name": "x", "channels": "3"}, "a value of type int"),
        ({"name": "x", "architecture": "resnet"}, "paper or paper-mean"),
        ({"name": "x", "epochs": 0}, "more than 0"),
        ({"name": "x", "alpha": -1.0}, "0 or more"),
        ({"name": "x", "batch_size": 2}, "exemplars of each class"),
        ({"channels": 3}, "no key 'name'"),
    ],
)
def test_impossible_settings_are_refused(content: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings_from(content, "settings.toml")


def test_the_experiment_files_are_valid() -> None:
    files = sorted((Path(__file__).parents[1] / "experiments").glob("*.toml"))
    assert files
    for file in files:
        assert load_settings(str(file)).epochs > 0


def test_a_model_reads_no_pickle() -> None:
    sources = Path(__file__).parents[1] / "src" / "braincase"
    for path in sources.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "torch.load" not in text
        if "web" not in path.parts:  # the upload worker is told by its own service what to load
            assert "import pickle" not in text
