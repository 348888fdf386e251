"""Choice of a study's T1w series: plain before contrast-enhanced, UNI-DEN before raw UNI, finest.

Contrast medium is told by the header (ContrastBolusAgent), by the series' name in many languages,
by the protocol's name, or by the order: what was scanned after contrast medium came is after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from braincase.sources.dicom_names import BOLUS, DENOISED, UNI, is_medium, tells_contrast
from braincase.sources.dicom_series import (
    Series,
    classify,
    series_words,
    slice_step,
    volume_problems,
)

#: How surely a series is contrast-enhanced: not, by its place or protocol only, by its own words.
PLAIN, PERHAPS, ENHANCED = 0, 1, 2


@dataclass(frozen=True)
class Choice:
    """The T1w series of a study, how sure that is, and what was skipped with the reason.

    Parameters
    ----------
    series
        The one to use, or None.
    sure
        Whether its header says T1w, or the user named it.
    skipped
        The others: name and reason.
    enhanced
        Whether it is contrast-enhanced: none without contrast medium is there.
    notes
        What the user should know about the one to use.
    """

    series: Series | None
    sure: bool
    skipped: tuple[tuple[str, str], ...]
    enhanced: bool = False
    notes: tuple[str, ...] = ()


def choose_t1w(study: Sequence[Series], number: int | None = None) -> Choice:
    """Choose the best 3-D T1w among a study's series.

    Parameters
    ----------
    study
        All series of the study.
    number
        A series number to take whatever it calls itself, as long as it is a regular volume.
    """
    classified = {series.mark: classify(series) for series in study}
    skipped = {s.mark: (s.name, "; ".join(classified[s.mark].reasons)) for s in study}
    if number is not None:
        candidates = [s for s in study if s.number("SeriesNumber") == number]
        candidates = [s for s in candidates if not volume_problems(s)]
        sure = True
    else:
        candidates = [s for s in study if classified[s.mark].answer == "yes"]
        sure = bool(candidates)
        unsure = [s for s in study if classified[s.mark].answer == "not sure"]
        if not candidates and len(unsure) == 1:
            candidates = unsure
        if not candidates:
            skipped |= {s.mark: (s.name, _which(unsure)) for s in unsure}
    contrast = partial(contrast_of, first=_first_contrast(study))
    best = min(candidates, key=lambda s: _rank(s, contrast), default=None)
    if best is None:
        return Choice(None, sure, tuple(skipped.values()))
    for series in candidates:
        why = f"{best.name} is the better T1w"
        why += ": it has no contrast medium" if contrast(series) > contrast(best) == PLAIN else ""
        skipped[series.mark] = (series.name, why)
    del skipped[best.mark]
    return Choice(
        best, sure, tuple(skipped.values()), contrast(best) > PLAIN, _notes(best, sure, contrast)
    )


def contrast_of(series: Series, first: float | None = None) -> int:
    """Judge whether a series is contrast-enhanced: `PLAIN`, `PERHAPS` or `ENHANCED`.

    Parameters
    ----------
    series
        The series.
    first
        The number of the study's first series with contrast medium: later ones have it too.
    """
    named = tells_contrast(str(series.header.get("SeriesDescription") or ""))
    medium = is_medium(series.field("ContrastBolusAgent"))
    medium = medium or bool(series.number("ContrastBolusVolume"))
    if named is None and medium:
        return ENHANCED
    if named is not None:
        return ENHANCED if named else PERHAPS if medium else PLAIN
    number = series.number("SeriesNumber")
    after = first is not None and number is not None and number > first
    protocol = tells_contrast(str(series.field("ProtocolName") or ""))
    return PERHAPS if after or protocol else PLAIN


def is_raw_uni(series: Series) -> bool:
    """Say whether a series is the UNI image of an MP2RAGE whose air is noise."""
    words = series_words(series)
    uni = UNI.search(words) or "mp2rage" in words or "UNI" in series.image_type
    return bool(uni) and not DENOISED.search(words)


def _which(unsure: Sequence[Series]) -> str:
    """Say between which series one has to be chosen, and how."""
    names = ", ".join(series.name for series in unsure)
    return f"not sure which is the T1w of {names}: choose one by its number (--series N, `series`)"


def _first_contrast(study: Sequence[Series]) -> float | None:
    """Return the number of the first series that shows that contrast medium was given."""
    numbers = [
        number
        for series in study
        if (number := series.number("SeriesNumber")) is not None
        and (
            contrast_of(series) == ENHANCED
            or (BOLUS.search(series_words(series)) and "asl" not in series_words(series))
        )
    ]
    return min(numbers, default=None)


def _rank(series: Series, contrast: Callable[[Series], int]) -> tuple[float, ...]:
    """Order T1w series: without contrast, not noisy, corrected by the scanner, fine, then last."""
    spacing = [*series.sizes[0, 2:], slice_step(series)]
    return (
        contrast(series),
        is_raw_uni(series),
        "NORM" not in series.image_type,
        not any(word.startswith("DIS3D") for word in series.image_type),
        round(float(max(spacing)), 2),
        -(series.number("SeriesNumber") or 0),
    )


def _notes(best: Series, sure: bool, contrast: Callable[[Series], int]) -> tuple[str, ...]:
    """Return what the user should know about the chosen series."""
    notes = [] if sure else [f"{best.name}: not sure that it is a T1w"]
    if contrast(best) > PLAIN:
        how = "after contrast medium" if contrast(best) == ENHANCED else "perhaps after contrast"
        notes.append(f"{best.name}: {how}; no plain T1w is in this study")
    if is_raw_uni(best):
        notes.append(f"{best.name}: the raw UNI image of an MP2RAGE: the air around is noise")
    return tuple(notes)
