"""The benchmark as one job: cohort, contestants, scores, result file and page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from braincase.bench.archive import Archive, open_archive
from braincase.bench.contestant import Contestant, contestant_of_encoders, vectors_of_embedding
from braincase.bench.result import BenchResult, read_result, write_result
from braincase.bench.run import run_bench
from braincase.bench.setting import Truth
from braincase.cohort.region_volumes import REGION_VOLUMES, cohort_region_volumes
from braincase.errors import LeakError, ParameterError
from braincase.json_values import canonical_json
from braincase.labels import USUAL_LABEL
from braincase.models.encoder import Encoder
from braincase.models.model_json import ModelJson, images_digest, read_about
from braincase.models.open_encoder import open_encoder
from braincase.models.settings import PRESETS, ModelSettings, load_settings
from braincase.report.bench_page import write_page
from braincase.simulate.truth import lesion_masks, read_truth
from braincase.workflows.experiment import model_fitter

#: Trained where nothing else is asked for: the preset in batches that hold somebody of each of
#: eleven conditions. In the preset's batches of 16 they hardly ever do, and L never acts.
USUAL = replace(
    PRESETS["braincase"], name="braincase-64", batch_size=64, epochs=30, learning_rate=4e-3
)


def bench_and_write(
    folder: Path,
    size: str = "bench",
    seed: int = 0,
    train: Sequence[str | ModelSettings] = (),
    training_seeds: int = 1,
    models: Sequence[str] = (),
    resolution_mm: int | None = None,
    json: Path | None = None,
    html: Path | None = None,
    workers: int = 0,
) -> tuple[BenchResult, Path]:
    """Simulate the cohort where it is missing, score the contestants, write result file and page.

    Parameters
    ----------
    folder
        Gets ``cohort/``, ``models/``, ``result.json`` and ``board.html``.
    size, seed
        Of the simulated cohort.
    train
        Models to be trained on the benchmark's training people: settings, presets, TOML files.
    training_seeds
        How often each of them is trained; results count the spread.
    models
        Folders of models trained before, ``NAME=FOLDER,FOLDER`` for several seeds of one.
    resolution_mm
        Voxel edge of the cohort; by default that of the size.
    json, html
        Where the result file and the page go, if elsewhere.
    workers
        Processes that simulate; 0 means one a core.

    Returns
    -------
    result, page
        All scores, and the path of the page.
    """
    if training_seeds < 1:
        raise ParameterError("training_seeds", str(training_seeds), "1 or more")
    clock = time.perf_counter()
    loaded = [_load(text) for text in models]  # a wrong path shows before minutes of simulation
    chosen = [load_settings(given) if isinstance(given, str) else given for given in train]
    archive = open_archive(folder / "cohort", size, seed, resolution_mm, workers)
    seconds = {"cohort": time.perf_counter() - clock}
    clock = time.perf_counter()
    contestants = [
        *(_trained(archive, folder / "models", settings, training_seeds) for settings in chosen),
        *(_checked(archive, found) for found in loaded),
    ]
    seconds["training"] = time.perf_counter() - clock
    clock = time.perf_counter()
    file = archive.cohort.folder / REGION_VOLUMES
    regions = cohort_region_volumes(archive.cohort, file, workers)
    truth = Truth(read_truth(archive.cohort), lesion_masks)
    seconds["region volumes"] = time.perf_counter() - clock
    result = run_bench(archive, contestants, truth, regions, seconds)
    page = html or folder / "board.html"
    write_result(json or folder / "result.json", result)
    write_page(page, [result])
    return result, page


def compare_and_write(files: Sequence[Path], html: Path) -> Path:
    """Write one page that compares the result files of several runs."""
    write_page(html, [read_result(path) for path in files], [path.stem for path in files])
    return html


def _trained(archive: Archive, folder: Path, settings: ModelSettings, seeds: int) -> Contestant:
    """Train a model on the training people, once for each seed; what is there already is read."""
    fitted = []
    for seed in range(seeds):
        fit, names = model_fitter([settings], USUAL_LABEL, folder / f"seed{seed}", seed)
        fitted.append(fit(archive.cohort, archive.splits.train, names[0], 0))
    name, grid = settings.name, archive.cohort.grid
    runs = tuple(vectors_of_embedding(name, f.embed, grid) for f in fitted)
    return Contestant(name, "contestant", runs, fingerprints=tuple(f.fingerprint for f in fitted))


@dataclass(frozen=True)
class _Loaded:
    """Encoders of one kind, and what each model's folder says of its training."""

    name: str
    encoders: tuple[Encoder, ...]
    about: tuple[ModelJson, ...]


def _load(text: str) -> _Loaded:
    """Load ``MODEL``, or ``NAME=MODEL,MODEL``: folders or encoder files, which give the name."""
    name, _, places = text.rpartition("=")
    models = [place.strip() for place in places.split(",")]
    encoders = tuple(open_encoder(model) for model in models)
    for model, encoder in zip(models, encoders, strict=True):
        if encoder.is_native:
            expected = "one that takes standard volumes: the benchmark has no raw scans"
            found = f"{model}, which takes scans on their own voxels"
            raise ParameterError("model", found, expected)
    about = tuple(read_about(Path(model)) for model in models if Path(model).is_dir())
    usual = str(about[0]["settings"]["name"]) if about else encoders[0].name or models[0]
    return _Loaded(name.strip() or usual, encoders, about)


def _checked(archive: Archive, loaded: _Loaded) -> Contestant:
    for about in loaded.about:
        check_strangers(archive, loaded.name, about)
    return contestant_of_encoders(loaded.name, loaded.encoders)


def check_strangers(archive: Archive, name: str, about: ModelJson) -> None:
    """Refuse data leakage: a model of this cohort that was not trained on its training people.

    Raises
    ------
    LeakError
        If its training scans are not exactly those of the training people.
    """
    if canonical_json(about["recipe"]) != canonical_json(archive.cohort.recipe):
        return  # other simulated people, whatever they are called
    if not about["training"].get("people"):
        return  # never trained
    own = archive.cohort.table["image_hash"].iloc[archive.splits.train].astype(str)
    if about["training"].get("images") != images_digest(own):
        found = "trained on other scans of this cohort, so perhaps on people who ask"
        advice = "Train it with `--train` of braincase bench."
        raise LeakError(name, found, "a model of the benchmark's training people", advice)
