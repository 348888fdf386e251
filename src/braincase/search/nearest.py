"""From a query to its similar cases: filter first, then exact, the query's own person set apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from braincase.errors import GalleryError, ParameterError
from braincase.gallery import (
    Gallery,
    Hit,
    Neighbours,
    Query,
    SearchResult,
    checked_code,
    checked_weights,
    hit_of,
    refuse_other_model,
)

#: Most earlier scans of the query's person that are shown.
MOST_EARLIER = 20
#: A new person is closer to some case than any two people in a gallery of N are to each other with
#: probability 2 / (N + 1), by exchangeability; below this many people that is more than 5 %.
FEWEST_PEOPLE = 39


@dataclass(frozen=True)
class Person:
    """Whose scan the query is: told with the query, concluded from the distance, or unknown."""

    subject: str | None
    detected: bool = False
    note: str = ""


def search(gallery: Gallery, query: Query) -> SearchResult:
    """Return the k cases of other people nearest to the query.

    The filter is applied before any distance, and the hits are exactly the nearest of what it
    leaves. Scans of the query's own person are never hits; they are listed apart, whether the
    filter would pass them or not. If the person is not told, the nearest case counts as theirs when
    it is the very same image, or closer than any two different people in the gallery are.

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
    GalleryError
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
    refuse_other_model("query", gallery.fingerprint, query.fingerprint)
    info = gallery.info(query.as_of)
    code = checked_code(query.code, info.n_dimensions, query.scan_id or "query")
    weights = checked_weights(query.weights, info.n_dimensions)
    _check_counts(query.k, info.cases, info.url)
    as_of = info.version  # one version throughout, whatever is written meanwhile
    own = (
        code if query.own_code is None else checked_code(query.own_code, info.n_dimensions, "query")
    )
    alone = query.own_code is None and not query.where.strip() and weights is None
    near = None  # one pass serves both questions if nothing is asked but the nearest
    if query.subject is None:
        near = gallery.nearest(own, query.k if alone else 1, as_of=as_of)
    person = _person_of(gallery, query, near, info.people, as_of)
    if alone and near is not None and person.subject is None:
        found = near
    else:
        found = gallery.nearest(
            code,
            query.k,
            where=query.where,
            without_subject=person.subject,
            weights=weights,
            as_of=as_of,
        )
    earlier: tuple[Hit, ...] = ()
    if person.subject is not None:
        theirs = gallery.nearest(
            code, MOST_EARLIER, only_subject=person.subject, weights=weights, as_of=as_of
        )
        earlier = _hits(theirs)
    return SearchResult(
        hits=_hits(found),
        same_subject=earlier,
        own_subject=person.subject,
        subject_detected=person.detected,
        gallery=info.url,
        gallery_version=as_of,
        fingerprint=gallery.fingerprint,
        n_cases=found.n_cases,
        n_selected=found.n_selected,
        n_searched=found.n_searched,
        k=query.k,
        where=query.where,
        weights_name=query.weights_name,
        query_id=query.scan_id,
        query_labels=dict(query.labels),
        exact=found.exact,
        notes=tuple(_notes(query, found, person)),
    )


def _check_counts(k: int, n_cases: int, url: str) -> None:
    if n_cases == 0:
        advice = "Fill it with: braincase index COHORT --gallery GALLERY --model MODEL"
        raise GalleryError(url, "the gallery is empty", "at least one case", advice)
    if k < 1:
        raise ParameterError("k", str(k), "at least 1")
    if k > n_cases:
        raise ParameterError("k", str(k), f"at most the {n_cases} cases of the gallery")


def _person_of(
    gallery: Gallery, query: Query, near: Neighbours | None, n_people: int, as_of: int
) -> Person:
    if near is None:
        return Person(query.subject)
    case, distance = near.cases[0], float(near.distances[0])
    same_image = query.image_hash is not None and query.image_hash == case.image_hash
    if same_image or distance == 0.0:
        return Person(case.subject, True, f"The query is the same image as {case.scan_id}.")
    if n_people < FEWEST_PEOPLE or distance >= gallery.closest_people(as_of):
        return Person(None)
    note = (
        f"{case.scan_id} is closer to the query than any two people in the gallery are to each"
        f" other, so {case.subject} is taken for the query's person (a new person would be, with"
        f" probability {2 / (n_people + 1):.3f}); name the subject to decide it."
    )
    return Person(case.subject, True, note)


def _hits(found: Neighbours) -> tuple[Hit, ...]:
    pairs = zip(found.cases, found.distances.tolist(), strict=True)
    return tuple(hit_of(rank, *pair) for rank, pair in enumerate(pairs, start=1))


def _notes(query: Query, found: Neighbours, person: Person) -> Iterable[str]:
    if person.note:
        yield person.note
    if len(found.cases) < query.k:
        left = "the filter and the person leave" if query.where else "the person leaves"
        yield f"{len(found.cases)} of {query.k} hits: {left} {found.n_searched} cases."
    if not found.exact:
        yield "The search was approximate: nearer cases may have been missed."
    yield from found.notes
