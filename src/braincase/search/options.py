"""Search options: filter, regions, examples and all else that a search can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from braincase.labels import Value

#: Hits where nobody says how many.
USUAL_K = 10


@dataclass(frozen=True)
class SearchOptions:
    """Options of a search: what to look for, where, and by which similarity.

    Parameters
    ----------
    k
        Number of hits; None for `USUAL_K`, or for all people of a smaller gallery.
    where
        Filter on the gallery's columns; empty for none.
    subject
        Whose scan the query is, where the user says so.
    as_of
        An earlier version of the gallery.
    regions
        Regions of the atlas to compare, such as ``left-hippocampus`` or ``temporal:0.5``; empty for
        the whole brain.
    mask
        A mask in MNI space to compare inside of, alone or beside `regions`.
    plus, minus
        scan_ids of cases to find more of, and of cases to keep away from.
    older
        Years by which the query is moved along the ageing direction of the gallery; negative for
        younger.
    similar_by
        ``code`` (the model's distance), ``normal`` (built alike; the disease counts little) or
        ``abnormality`` (ill alike whatever the build); see `braincase.population.disease_axes`.
    known
        What is known of the query's person beyond the scan: age, sex, ...
    series
        Number of the DICOM series.
    controls
        Filter that says which cases are the controls that query and hits are compared with; None
        for those whose `diagnosis` says so (`braincase.labels.CONTROL_NAMES`).
    learned_at
        The version of the gallery whose lessons hold, as in `braincase.population.cache`; None for
        the version that is searched.
    """

    k: int | None = None
    where: str = ""
    subject: str | None = None
    as_of: int | None = None
    regions: tuple[str, ...] | str = ()
    mask: str | Path | None = None
    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    older: float | None = None
    similar_by: str = "code"
    known: Mapping[str, Value] = field(default_factory=dict)
    series: int | None = None
    controls: str | None = None
    learned_at: int | None = None

    def __post_init__(self) -> None:
        """Take one name, or names with commas, where a tuple is expected."""
        for name in ("regions", "plus", "minus"):
            value = getattr(self, name)
            if isinstance(value, str):
                parts = tuple(part.strip() for part in value.split(",") if part.strip())
                object.__setattr__(self, name, parts)
