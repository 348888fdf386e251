"""Relevance feedback (Rocchio): a query code moved by good and bad examples to search again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from braincase.errors import UsageError
from braincase.gallery import Code

#: How far marked examples pull the query towards them, and push it away.
TOWARDS, AWAY = 0.75, 0.25


def refined_code(
    queries: Sequence[ArrayLike],
    plus: Sequence[ArrayLike] = (),
    minus: Sequence[ArrayLike] = (),
    towards: float = TOWARDS,
    away: float = AWAY,
) -> Code:
    """Move a query code by relevance feedback, with good and bad examples.

    The mean q of the query scans becomes q + towards (mean(plus) - q) - away (mean(minus) - q).

    Parameters
    ----------
    queries
        Codes of one or more query scans, shape (n_cells,) each.
    plus, minus
        Codes of cases to find more of, and of cases to keep away from.
    towards, away
        How strongly.

    Raises
    ------
    UsageError
        If there is no query.

    References
    ----------
    Rocchio, J. J. (1971). Relevance feedback in information retrieval. In: The SMART Retrieval
    System, Prentice-Hall, 313-323.
    """
    if not len(queries):
        raise UsageError("refine", "no query scan", "at least one")
    query = np.mean(np.asarray(queries, dtype=np.float64), axis=0)
    refined = query.copy()
    if len(plus):
        refined += towards * (np.mean(np.asarray(plus, dtype=np.float64), axis=0) - query)
    if len(minus):
        refined -= away * (np.mean(np.asarray(minus, dtype=np.float64), axis=0) - query)
    return np.asarray(refined, dtype=np.float32)
