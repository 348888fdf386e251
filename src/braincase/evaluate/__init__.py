"""Evaluation: the paper's protocol, the honest one, and the confound report.

>>> study = open_study(cohort, "diagnosis", run_folds=1)        # doctest: +SKIP
>>> result = run_honest(study, fit)                             # doctest: +SKIP
>>> result.first_line                                           # doctest: +SKIP
"""

from braincase.evaluate.confound import ConfoundResult, run_confound
from braincase.evaluate.honest import HonestResult, run_honest
from braincase.evaluate.paper import PaperResult, run_paper
from braincase.evaluate.results import Fit, Fitted, remember
from braincase.evaluate.study import Study, open_study

__all__ = [
    "ConfoundResult",
    "Fit",
    "Fitted",
    "HonestResult",
    "PaperResult",
    "Study",
    "open_study",
    "remember",
    "run_confound",
    "run_honest",
    "run_paper",
]
