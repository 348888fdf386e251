"""Exact k-nearest-neighbour search: filter first, own person set apart, one scan a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from braincase.errors import ParameterError, TooFewPeopleError
from braincase.gallery import (
    Code,
    Gallery,
    GalleryInfo,
    Hit,
    Neighbours,
    Query,
    SearchResult,
    Weights,
    checked_code,
    checked_weights,
    hit_of,
    refuse_other_model,
)

#: Most earlier scans of the query's person that are shown.
MOST_EARLIER = 20
#: Nobody is recognised where a new person would be, by mistake, with more than this probability:
#: in a gallery of fewer than 39 people, or of so many that only a sample of them is compared.
MOST_MISTAKES = 0.05


@dataclass(frozen=True, eq=False)
class QueryPerson:
    """Identity of the query's person: named with the query, detected by distance, or unknown.

    Parameters
    ----------
    subject
        The person; None if unknown.
    detected
        Whether that was concluded from the distance.
    note
        What the user should know of it.
    nearest
        The nearest cases of others, where looking for the person has found them already.
    """

    subject: str | None
    detected: bool = False
    note: str = ""
    nearest: Neighbours | None = None


@dataclass(frozen=True, eq=False)
class _CheckedQuery:
    """A query whose numbers fit a gallery, and the one version that all its steps look at."""

    gallery: Gallery
    query: Query
    info: GalleryInfo
    code: Code
    own_code: Code
    weights: Weights | None

    @property
    def as_of(self) -> int:
        return self.info.version

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked but the nearest: no filter, no weights, no moved code."""
        query = self.query
        return query.own_code is None and not query.where.strip() and self.weights is None


def search(gallery: Gallery, query: Query) -> SearchResult:
    """Find the k nearest neighbours of a query among the cases of other people.

    The filter is applied before any distance, and the hits are exactly the nearest of what it
    leaves: the k nearest people, each by their nearest scan. Scans of the query's own person are
    never hits; they are listed apart, whether the filter would pass them or not. If the person is
    not named, the nearest case counts as theirs when it is the very same image, or closer than any
    two different people in the gallery are.

    Parameters
    ----------
    gallery
        Where to search.
    query
        What for.

    Raises
    ------
    FingerprintError
        If the query's code is another model's.
    UsageError
        If k, the filter, the weights or the version cannot be used.
    TooFewPeopleError
        If the gallery is empty.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from braincase.gallery import NewCase, Query, create_gallery
    >>> gallery = create_gallery(tempfile.mkdtemp(), "my-model", resolution_mm=4, n_dimensions=2)
    >>> change = gallery.add(
    ...     [
    ...         NewCase("sub-a", "a", [0.0, 0.0], labels={"diagnosis": "CN"}),
    ...         NewCase("sub-b", "b", [3.0, 4.0], labels={"diagnosis": "AD"}),
    ...     ],
    ...     "my-model",
    ... )
    >>> result = search(gallery, Query([0.0, 1.0], "my-model", k=1, where="diagnosis = 'AD'"))
    >>> [(hit.rank, hit.scan_id, round(hit.distance, 2)) for hit in result.hits]
    [(1, 'sub-b', 4.24)]
    >>> gallery.close()
    """
    checked = _check(gallery, query)
    person = _identify(checked)
    nearest = _nearest_of_others(checked, person)
    info = checked.info
    return SearchResult(
        hits=_hits(nearest),
        same_subject=_earlier_scans(checked, person),
        own_subject=person.subject,
        subject_detected=person.detected,
        gallery=info.url,
        gallery_version=info.version,
        fingerprint=gallery.fingerprint,
        n_cases=nearest.n_cases,
        n_selected=nearest.n_selected,
        n_searched=nearest.n_searched,
        k=query.k,
        where=query.where,
        weights_name=query.weights_name,
        query_id=query.scan_id,
        query_labels=dict(query.labels),
        exact=nearest.exact,
        notes=tuple(_notes(query, nearest, person)),
    )


def _check(gallery: Gallery, query: Query) -> _CheckedQuery:
    refuse_other_model("query", gallery.fingerprint, query.fingerprint)
    info = gallery.info(query.as_of)
    code = checked_code(query.code, info.n_dimensions, query.scan_id or "query")
    weights = checked_weights(query.weights, info.n_dimensions)
    _check_counts(query.k, info.people, info.url)
    own_code = code
    if query.own_code is not None:
        own_code = checked_code(query.own_code, info.n_dimensions, "query")
    return _CheckedQuery(gallery, query, info, code, own_code, weights)


def _check_counts(k: int, n_people: int, url: str) -> None:
    if n_people == 0:
        advice = "Fill it with: braincase index COHORT --gallery GALLERY --model MODEL"
        raise TooFewPeopleError(url, "the gallery is empty", "at least one case", advice)
    if k < 1:
        raise ParameterError("k", str(k), "at least 1")
    if k > n_people:
        raise ParameterError("k", str(k), f"at most the {n_people} people of the gallery")


def _identify(checked: _CheckedQuery) -> QueryPerson:
    """Return whose scan the query is: as it says, or else by its distance to the nearest case.

    One pass serves two questions where nothing is asked but the nearest: if the person stays
    unknown, nobody is set apart, and the cases looked at are the hits.
    """
    query = checked.query
    if query.subject is not None:
        return QueryPerson(query.subject)
    k = query.k if checked.is_plain else 1
    nearest = checked.gallery.nearest(checked.own_code, k, as_of=checked.as_of, one_scan_each=True)
    person = _detected(checked, nearest)
    if person is not None:
        return person
    return QueryPerson(None, nearest=nearest if checked.is_plain else None)


def _detected(checked: _CheckedQuery, nearest: Neighbours) -> QueryPerson | None:
    """Return the person of the nearest case if it is too close to be another's."""
    query, n_people = checked.query, checked.info.people
    case, distance = nearest.cases[0], float(nearest.distances[0])
    same_image = query.image_hash is not None and query.image_hash == case.image_hash
    if same_image or distance == 0.0:
        return QueryPerson(case.subject, True, f"The query is the same image as {case.scan_id}.")
    if 2 / (n_people + 1) > MOST_MISTAKES:
        return None
    closest = checked.gallery.closest_people(checked.as_of)
    mistaken = closest.chance_of_stranger(n_people)
    if mistaken > MOST_MISTAKES or distance >= closest.distance:
        return None
    compared = "" if closest.people == n_people else f" of {closest.people:,} compared"
    note = (
        f"{case.scan_id} is closer to the query than any two people in the gallery{compared} are to"
        f" each other, so {case.subject} is taken for the query's person (a new person would be,"
        f" with probability {_shown(mistaken)}); name the subject to decide it."
    )
    return QueryPerson(case.subject, True, note)


def _shown(probability: float) -> str:
    """Write a probability; a small one is not shown as 0."""
    return f"{probability:.3f}" if probability >= 0.0005 else f"{probability:.1g}"


def _nearest_of_others(checked: _CheckedQuery, person: QueryPerson) -> Neighbours:
    """Return the nearest cases that the filter leaves, without the query's person."""
    if person.nearest is not None:
        return person.nearest
    return checked.gallery.nearest(
        checked.code,
        checked.query.k,
        where=checked.query.where,
        without_subject=person.subject,
        weights=checked.weights,
        as_of=checked.as_of,
        one_scan_each=True,
    )


def _earlier_scans(checked: _CheckedQuery, person: QueryPerson) -> tuple[Hit, ...]:
    """Return the other scans of the query's person, nearest first; no filter applies to them."""
    if person.subject is None:
        return ()
    scans = checked.gallery.nearest(
        checked.code,
        MOST_EARLIER,
        only_subject=person.subject,
        weights=checked.weights,
        as_of=checked.as_of,
    )
    return _hits(scans)


def _hits(nearest: Neighbours) -> tuple[Hit, ...]:
    pairs = zip(nearest.cases, nearest.distances.tolist(), strict=True)
    return tuple(hit_of(rank, *pair) for rank, pair in enumerate(pairs, start=1))


def _notes(query: Query, nearest: Neighbours, person: QueryPerson) -> Iterable[str]:
    if person.note:
        yield person.note
    if len(nearest.cases) < query.k:
        left = "the filter leaves" if query.where else "besides the query's own there are"
        yield f"{len(nearest.cases)} hits, not {query.k}: {left} no more people."
    if not nearest.exact:
        yield "The search was approximate: nearer cases may have been missed."
    yield from nearest.notes
