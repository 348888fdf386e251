"""Leave-one-out searches among a gallery's own people, each left out in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from braincase.gallery import Gallery, Neighbours, StoredCase, Weights
from braincase.progress import progress_if_slow


def neighbours_of_others(
    gallery: Gallery,
    people: Sequence[StoredCase],
    k: int,
    doing: str,
    *,
    where: str = "",
    weights: Weights | None = None,
    as_of: int | None = None,
) -> Iterator[Neighbours]:
    """Yield the k nearest others of each of many people, one scan each (leave-one-out).

    What a gallery would answer about its own people if each were new to it. `doing` stands beside
    the progress bar, which is shown where it takes long.
    """
    with progress_if_slow(doing, len(people)) as advance:
        for case in people:
            yield gallery.nearest(
                case.code,
                k,
                where=where,
                without_subject=case.subject,
                weights=weights,
                as_of=as_of,
                one_scan_each=True,
            )
            advance()
