"""Search pipeline: from a case, a volume, an embedding or a code to a finished search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.errors import ParameterError, ScanError, UnknownCaseError
from braincase.gallery import Code, Gallery, Query, SearchResult, StoredCase, checked_code
from braincase.images.geometry import grid_of_resolution
from braincase.population.controls import USUAL_CONTROLS, check_controls
from braincase.population.direction import learned_direction
from braincase.population.volumes import stored_volume
from braincase.search.by_axes import SIMILARITIES, rank_by_axes
from braincase.search.cells import weights_of
from braincase.search.nearest import search
from braincase.search.options import USUAL_K, SearchOptions
from braincase.search.query_scan import QueryScan
from braincase.search.refine import refined_code

if TYPE_CHECKING:
    from braincase.models.encoder import Encoder


@dataclass(frozen=True)
class FinishedSearch:
    """A finished search: query, result, and what made them.

    Parameters
    ----------
    gallery
        Where it was made.
    query
        What was asked.
    result
        What was found.
    scan
        The query's volume, unless it is a case of the gallery.
    similar_by
        By which similarity the hits are ranked; see `SearchOptions`.
    moves
        How the query's code was moved, a sentence each.
    encoder
        The encoder that embedded the scan, where one did.
    regions
        The regions that the search was restricted to.
    controls
        Filter that says who is a control.
    learned_at
        The version of the gallery whose lessons hold; None for the version that was searched.
    """

    gallery: Gallery
    query: Query
    result: SearchResult
    scan: QueryScan | None = None
    similar_by: str = "code"
    moves: tuple[str, ...] = ()
    encoder: Encoder | None = None
    regions: tuple[str, ...] = ()
    controls: str = USUAL_CONTROLS
    learned_at: int | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of query and result, a sentence each."""
        return (*(self.scan.notes if self.scan else ()), *self.moves, *self.result.notes)

    def volume(self) -> NDArray[np.uint8] | None:
        """Return the query's standard volume, uint8, where it can be had."""
        if self.scan is not None:
            return self.scan.volume
        case = self.query_case()
        if case is None:
            return None
        return stored_volume(case, grid_of_resolution(self.gallery.info().resolution_mm))

    def query_case(self) -> StoredCase | None:
        """Return the query as a case of the gallery, where it is one."""
        if self.scan is not None or self.query.scan_id is None:
            return None
        return _case_of(self.gallery, self.query.scan_id, self.result.gallery_version)


def at_most_everybody(gallery: Gallery, k: int, as_of: int | None) -> int:
    """Return k, or as many people as a smaller gallery has; 1 of an empty one, which says so."""
    return min(k, max(gallery.info(as_of).people, 1))


def search_by_case(gallery: Gallery, scan_id: str, options: SearchOptions) -> FinishedSearch:
    """Search a gallery with one of its own cases.

    Raises
    ------
    UsageError
        If there is no such case, or the options cannot be fulfilled.
    """
    case = _case_of(gallery, scan_id, options.as_of)
    query = Query(
        case.code,
        gallery.fingerprint,
        scan_id=case.scan_id,
        subject=options.subject or case.subject,
        labels=case.labels,
    )
    return _search(gallery, query, None, options)


def search_by_volume(
    gallery: Gallery, encoder: Encoder, scan: QueryScan, options: SearchOptions
) -> FinishedSearch:
    """Search a gallery with a standard volume.

    Raises
    ------
    FingerprintError
        If the encoder is not the gallery's.
    UsageError
        If the options cannot be fulfilled.
    """
    code = code_of(encoder, scan)
    finished = search_by_embedding(gallery, code, encoder.fingerprint, scan, options)
    return replace(finished, encoder=encoder)


def code_of(encoder: Encoder, scan: QueryScan) -> Code:
    """Embed a query scan, in the form that the encoder takes.

    Raises
    ------
    ScanError
        If it takes scans on their own voxels and only a standard volume is known; or if it fails.
    """
    if encoder.embed_native is None:
        code: Code = encoder.embed(scan.volume[None])[0]
        return code
    if scan.native is None:
        found = "a standard volume"
        raise ScanError(scan.scan_id, found, f"the raw scan, which '{encoder.name}' takes")
    return encoder.embed_native(scan.native)


def search_by_embedding(
    gallery: Gallery, code: ArrayLike, fingerprint: str, scan: QueryScan, options: SearchOptions
) -> FinishedSearch:
    """Search a gallery with a standard volume whose code is known, as `search_by_volume` does.

    Parameters
    ----------
    gallery
        Where to search.
    code, fingerprint
        Shape (n_dimensions,), and the model that made it.
    scan
        The volume and what is known of it.
    options
        What to look for.
    """
    query = Query(
        code,
        fingerprint,
        scan_id=scan.scan_id,
        subject=options.subject or scan.subject,
        labels=scan.labels,
        image_hash=scan.image_hash,
    )
    return _search(gallery, query, scan, options)


def search_by_code(gallery: Gallery, code: ArrayLike, options: SearchOptions) -> FinishedSearch:
    """Search a gallery with a code, of which nothing else is known.

    Parameters
    ----------
    gallery
        Its model must have made the code.
    code
        Shape (n_dimensions,).
    options
        What to look for.

    Raises
    ------
    UsageError
        If the code has another shape, or the options cannot be fulfilled.
    """
    query = Query(code, gallery.fingerprint, subject=options.subject)
    return _search(gallery, query, None, options)


def _search(
    gallery: Gallery, query: Query, scan: QueryScan | None, options: SearchOptions
) -> FinishedSearch:
    """Put the options into the query, and search."""
    if options.similar_by not in SIMILARITIES:
        raise ParameterError("similar_by", options.similar_by, " or ".join(SIMILARITIES))
    info = gallery.info(options.as_of)
    controls = USUAL_CONTROLS if options.controls is None else options.controls
    check_controls(controls, info.columns)
    weights, name = weights_of(info, tuple(options.regions), options.mask)
    if weights is not None and options.similar_by != "code":
        raise ParameterError("similar_by", "regions or a mask as well", "one of the two")
    code, moves = _moved(gallery, query, options)
    query = replace(
        query,
        code=code,
        own_code=query.code if moves else None,
        k=at_most_everybody(gallery, USUAL_K, options.as_of) if options.k is None else options.k,
        where=options.where,
        as_of=options.as_of,
        weights=weights,
        weights_name=name,
        labels={**query.labels, **options.known},
    )
    regions = tuple(name.partition(":")[0] for name in options.regions)
    found = search(gallery, query)
    if options.similar_by != "code":
        found = rank_by_axes(
            gallery, query, found, options.similar_by, controls, learned_at=options.learned_at
        )
    return FinishedSearch(
        gallery, query, found, scan, options.similar_by, moves, None, regions, controls,
        options.learned_at,
    )  # fmt: skip


def _moved(
    gallery: Gallery, query: Query, options: SearchOptions
) -> tuple[ArrayLike, tuple[str, ...]]:
    """Return the code moved by examples and years, and what was done, a sentence each."""
    code, moves = query.code, []
    if options.plus or options.minus:
        plus = _codes_of(gallery, options.plus, "plus", options.as_of)
        minus = _codes_of(gallery, options.minus, "minus", options.as_of)
        code = refined_code([_checked(gallery, code)], plus, minus)
        ways = {"towards": options.plus, "away from": options.minus}
        parts = [f"{way} {', '.join(scan_ids)}" for way, scan_ids in ways.items() if scan_ids]
        moves.append(f"The query was moved {' and '.join(parts)}.")
    if options.older:
        version = gallery.info(options.as_of).version
        direction = learned_direction(gallery, version, "age", learned_at=options.learned_at)
        code = direction.moved(_checked(gallery, code), options.older)
        how = "older" if options.older > 0 else "younger"
        moves.append(
            f"The query was made {abs(options.older):g} years {how}, along what changes with age"
            f" among {direction.people} people of the gallery."
        )
    return code, tuple(moves)


def _checked(gallery: Gallery, code: ArrayLike) -> Code:
    return checked_code(code, gallery.info().n_dimensions, "query")


def _codes_of(
    gallery: Gallery, scan_ids: Sequence[str], parameter: str, as_of: int | None
) -> list[Code]:
    cases = gallery.find(scan_ids, as_of)
    for scan_id in scan_ids:
        if scan_id not in cases:
            raise UnknownCaseError(parameter, f"no scan '{scan_id}'", "scan_ids of the gallery")
    return [cases[scan_id].code for scan_id in scan_ids]


def _case_of(gallery: Gallery, scan_id: str, as_of: int | None) -> StoredCase:
    """Return a case as it was at that version, or as it is now where it was not there yet."""
    cases = gallery.find([scan_id], as_of)
    return cases[scan_id] if scan_id in cases else gallery.get(scan_id)
