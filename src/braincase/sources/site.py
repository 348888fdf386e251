"""Site prefix (multi-site pooling): people whose numbers begin anew at each site, told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from braincase.errors import ParameterError
from braincase.sources.census import Census
from braincase.sources.rows import clean
from braincase.sources.scan import Scan


def at_site(scans: Sequence[Scan], census: Census, site: str) -> tuple[list[Scan], Census]:
    """Return scans whose subjects bear their site's name in front, and a census that says so.

    The label `site` is the name too, where the source tells none.

    Parameters
    ----------
    scans, census
        As a reader gives them.
    site
        Letters and digits: ``B`` makes ``B01`` of ``01``.

    Raises
    ------
    ParameterError
        If the name has other characters.
    """
    if not site or clean(site) != site:
        raise ParameterError("site", repr(site), "letters and digits (A-Z, a-z, 0-9)")
    named = [_at(scan, site) for scan in scans]
    if not scans:
        return named, census
    note = f"site {site}: sub-{scans[0].subject} is called sub-{named[0].subject}, and so on"
    return named, replace(census, notes=(note, *census.notes))


def _at(scan: Scan, site: str) -> Scan:
    return replace(
        scan,
        subject=f"{site}{scan.subject}",
        labels={"site": site, **scan.labels},
        evidence=(*scan.evidence, f"{scan.subject} of site {site}, as was told"),
        runs=tuple(_at(run, site) for run in scan.runs),
    )
