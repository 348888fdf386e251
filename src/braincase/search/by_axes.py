"""Ranking of a search by normal anatomy or abnormality, along a gallery's disease axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from braincase.errors import MissingLabelsError
from braincase.gallery import Gallery, Query, SearchResult, StoredCase, hit_of
from braincase.labels import age_and_sex
from braincase.population.controls import USUAL_CONTROLS
from braincase.population.disease_axes import DiseaseAxes, disease_axes_of

#: By the name the user knows them; ``code`` is the model's own distance.
SIMILARITIES = ("code", "normal", "abnormality")
_CALLED = {"normal": "normal anatomy", "abnormality": "abnormality"}


def rank_by_axes(
    gallery: Gallery,
    query: Query,
    result: SearchResult,
    kind: str,
    controls: str = USUAL_CONTROLS,
    *,
    learned_at: int | None = None,
) -> SearchResult:
    """Rank all cases that a search went through by normal anatomy or by abnormality.

    Parameters
    ----------
    gallery, query, result
        The search by code.
    kind
        ``normal`` or ``abnormality``.
    controls, learned_at
        As in `disease_axes_of`.

    Raises
    ------
    UsageError
        If the query's age or sex is not known.
    TooFewPeopleError
        If the gallery has too few controls or patients.
    """
    if not age_and_sex(query.labels):
        advice = "Tell them with `age` and `sex`."
        raise MissingLabelsError("similar_by", "age or sex of the query unknown", "both", advice)
    version = result.gallery_version
    axes = disease_axes_of(gallery, version, controls=controls, learned_at=learned_at)
    others = [
        case for case in gallery.cases(query.where, version) if case.subject != result.own_subject
    ]
    distances = {
        scan_id: pair.normal_anatomy if kind == "normal" else pair.abnormality
        for scan_id, pair in axes.between(query.code, query.labels, others).items()
    }
    ranked = [case for case in others if case.scan_id in distances]
    ranked.sort(key=lambda case: distances[case.scan_id])
    nearest: dict[str, StoredCase] = {}
    for case in ranked:
        nearest.setdefault(case.subject, case)
    hits = tuple(
        hit_of(rank, case, distances[case.scan_id])
        for rank, case in enumerate(list(nearest.values())[: query.k], start=1)
    )
    return replace(
        result,
        hits=hits,
        weights_name=_CALLED[kind],
        n_searched=len(ranked),
        notes=(*result.notes, *_ranking_notes(axes, kind, len(others) - len(ranked))),
    )


def _ranking_notes(axes: DiseaseAxes, kind: str, n_left_out: int) -> Iterator[str]:
    yield (
        f"Ranked by {_CALLED[kind]}, learned from {axes.controls} controls and patients with"
        f" {', '.join(axes.kinds)}; the distance is in standard deviations of controls."
    )
    if n_left_out:
        yield f"{n_left_out} cases without age or sex were left out."
