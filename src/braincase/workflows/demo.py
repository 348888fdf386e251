"""The whole system on simulated people: simulate, train, evaluate, index, search, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from braincase.answer.compose import answer
from braincase.cohort.cohort import Cohort
from braincase.cohort.derivatives import image_path
from braincase.cohort.view import ViewChoice
from braincase.evaluate import Study, open_study
from braincase.gallery import SearchResult
from braincase.models.embed import encoder_of
from braincase.models.model import load_model
from braincase.models.settings import PRESETS
from braincase.report.evaluation import ReportPicture, first_line, write_report
from braincase.report.search_page import draw
from braincase.report.wording import text_of
from braincase.search.options import SearchOptions
from braincase.simulate.cohort import simulate_cohort
from braincase.sources.scan import Scan
from braincase.workflows.experiment import model_fitter, run_protocols
from braincase.workflows.index_cohort import index_cohort
from braincase.workflows.searchable_gallery import open_gallery

HITS = 5
#: What the reading room shows of the simulated people.
VIEW = ViewChoice(2)


def run_demo(
    folder: Path,
    run_folds: int = 1,
    seed: int = 0,
    size: str = "small",
    settings: Sequence[str] = tuple(PRESETS),
    view: ViewChoice | None = VIEW,
) -> None:
    """Carry out the demo in `folder`; what an interrupted run finished is not done again.

    Parameters
    ----------
    folder
        Gets ``cohort/``, ``report/``, ``gallery/`` and pictures of one search.
    run_folds
        How many of the five folds are held out in turn.
    seed
        Of simulation, folds and training.
    size
        Of the simulated cohort.
    settings
        Presets or TOML files; the last model is searched with.
    view
        Which view volumes the people get, for the reading room.
    """
    started = time.perf_counter()
    _say("1/4 simulating people (nothing here is a real person)")
    cohort = simulate_cohort(folder / "cohort", size, seed, view=view)
    study = open_study(cohort, "diagnosis", ("CN", "AD"), 5, run_folds, seed)
    _say(
        "2/4 training the plain CAE, the paper's loss and braincase; evaluating on held-out people"
    )
    fit, models = model_fitter(settings, "diagnosis", folder / "models", seed)
    results = run_protocols(study, fit, models, ["paper", "honest"], None)
    _say("3/4 indexing the training people; searching with one the model has never seen")
    model_folder = folder / "models" / f"{models[-1]}-fold0"
    picture = folder / "search.png"
    result = _search_unseen(folder, model_folder, study, picture)
    _say("4/4 writing the report")
    caption = "An unseen simulated person and the most similar cases of the gallery."
    page = write_report(
        folder / "report", results, pictures=[ReportPicture("Search", caption, picture)]
    )
    minutes = (time.perf_counter() - started) / 60
    print("\n".join(_summary(folder, page, first_line(results), result, model_folder, minutes)))


def _say(line: str) -> None:
    print(line, flush=True)


def _search_unseen(folder: Path, model_folder: Path, study: Study, picture: Path) -> SearchResult:
    """Index the first fold's training people with its model; search with a held-out person."""
    model = load_model(model_folder)
    cohort, fold = study.cohort, study.folds[0]
    rows = np.sort(np.concatenate([fold.train, _rows_never_trained(study)]))
    index_cohort(folder / "gallery", cohort, encoder_of(model), rows=rows)
    with open_gallery(folder / "gallery", model) as gallery:
        query = _typical_query(cohort, fold.test)
        search = gallery.finished_search(query, SearchOptions(HITS), VIEW)
        draw(search, picture, folder / "search.html", text_of(answer(search)))
    return search.result


def _rows_never_trained(study: Study) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rows of the groups between CN and AD, who are in the gallery but never in the training."""
    groups = list(study.other_groups().values())
    return np.concatenate(groups) if groups else np.empty(0, np.int64)


def _typical_query(cohort: Cohort, test: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Path:
    """Return the image of the held-out AD scan nearest the median severity and age.

    The choice looks at no hit: no lucky pick.
    """
    table = cohort.table.iloc[test]
    ill = table[table["diagnosis"] == "AD"]
    known = ill[["true_severity", "age"]].to_numpy(dtype=np.float64)
    from_median = (known - np.median(known, axis=0)) / np.maximum(known.std(axis=0), 1e-9)
    chosen = ill.iloc[int((from_median**2).sum(axis=1).argmin())]
    scan = Scan(cohort.folder, chosen["subject"], chosen["session"])
    return image_path(cohort.folder, cohort.grid, scan)


def _summary(
    folder: Path, page: Path, first: str, result: SearchResult, model_folder: Path, minutes: float
) -> Sequence[str]:
    query = f"{result.query_id} ({result.query_labels.get('diagnosis')})"
    labels = ", ".join(f"{n} {name}" for name, n in _count_labels(result, "diagnosis").items())
    return [
        "",
        f"Done in {minutes:.1f} minutes. All people are simulated; this is no diagnosis.",
        f"  {first}",
        f"  The {HITS} cases most similar to the unseen {query}: {labels}.",
        f"  report:   {page}",
        f"  search:   {folder / 'search.html'}  and  {folder / 'search.png'}",
        "Search yourself:",
        f"  braincase search SCAN --gallery {folder / 'gallery'} --model {model_folder}",
        "Or in the reading room, which only this machine can open:",
        f"  braincase serve {folder / 'gallery'} --model {model_folder}",
        "  then open http://127.0.0.1:8765/ in a browser",
    ]


def _count_labels(result: SearchResult, label: str) -> dict[str, int]:
    """Count the hits' values of a label: {"CN": 2, "AD": 8}."""
    values = [str(hit.labels.get(label)) for hit in result.hits]
    return {value: values.count(value) for value in sorted(set(values))}
