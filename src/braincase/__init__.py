"""Braincase: similar-case search for 3D brain MRI, for research (`braincase.purpose`).

The whole job from Python: prepare or simulate, train, index, search, evaluate.

>>> import tempfile
>>> from pathlib import Path
>>> import braincase
>>> work = Path(tempfile.mkdtemp())
>>> cohort = braincase.simulate_cohort(work / "cohort", "tiny", workers=1)
>>> settings = braincase.ModelSettings("quick", channels=2, epochs=1, batch_size=8)
>>> model = braincase.train_and_save(cohort, work / "model", settings, classes=["CN", "AD"])
>>> indexed = braincase.index_cohort(work / "gallery", cohort, braincase.encoder_of(model))
>>> indexed.added == len(cohort)
True
>>> with braincase.open_gallery(work / "gallery", model) as gallery:
...     hits = gallery.search(cohort.volumes[0], k=3, where="diagnosis = 'AD'")
>>> [(hit.rank, hit.labels["diagnosis"]) for hit in hits]
[(1, 'AD'), (2, 'AD'), (3, 'AD')]
>>> results, page = braincase.evaluate_and_report(
...     cohort, work / "report", models=[settings], n_folds=2, run_folds=1
... )
>>> page.name
'report.html'

Scans of your own become a cohort by `find_scans` and `prepare_cohort`. The names below are imported
when they are first used, so that ``import braincase`` costs nothing; ``__init__.pyi`` gives type
checkers what they are.
"""

from __future__ import annotations

from importlib import import_module

from braincase.version import __version__ as __version__

_HOME = {
    "Answer": "answer.compose",
    "BraincaseError": "errors",
    "Cohort": "cohort.cohort",
    "Hit": "gallery",
    "Hits": "workflows.hits",
    "Model": "models.model",
    "ModelSettings": "models.settings",
    "NewCase": "gallery",
    "Plan": "preprocess.prepare_cohort",
    "Query": "gallery",
    "ScanSource": "workflows.index_scans",
    "SearchOptions": "search.options",
    "SearchResult": "gallery",
    "SearchableGallery": "workflows.searchable_gallery",
    "create_gallery": "gallery",
    "encoder_of": "models.embed",
    "evaluate_and_report": "workflows.experiment",
    "find_scans": "sources.find",
    "index_cohort": "workflows.index_cohort",
    "index_scans": "workflows.index_scans",
    "load_model": "models.model",
    "load_regions": "images.atlas",
    "load_settings": "models.settings",
    "model_fitter": "workflows.experiment",
    "open_cohort": "cohort.cohort",
    "open_encoder": "models.open_encoder",
    "open_gallery": "workflows.searchable_gallery",
    "open_study": "evaluate",
    "prepare_cohort": "preprocess.prepare_cohort",
    "run_confound": "evaluate",
    "run_honest": "evaluate",
    "run_paper": "evaluate",
    "save_model": "models.model",
    "simulate_cohort": "simulate.cohort",
    "train_and_save": "workflows.training",
    "train_model": "models.train",
    "write_card": "models.card",
    "write_report": "report.evaluation",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    """Import a name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'braincase' has no attribute {name!r}")
    value = getattr(import_module(f"braincase.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
