"""Read DICOM studies: choose the T1w series of a folder, a zip or a whole mixed study.

Each study's series are classified by rules (`dicom_series.classify`); the best 3-D T1w is taken and
every other series is listed with the reason against it. Where nothing says T1w, a study's only
volume is taken as "not sure", and of several none is: the user names one. Voxels are read
by `dicom_volume`, those of unusual series by the converter (`dicom_converter`).

A `Scan` holds no name, number, birth date or date: the subject is given or a keyed hash of the
patient's number, the session a keyed hash of the study's; ages above 89 count as 90.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from braincase.errors import ScanError, UsageError
from braincase.images.header import suffix_of
from braincase.images.volume import Volume
from braincase.labels import Value
from braincase.sources.census import Census, take_census
from braincase.sources.choose import Dropped, one_a_session
from braincase.sources.dicom_converter import convert_series
from braincase.sources.dicom_files import (
    SERIES_TAGS,
    Files,
    is_zip,
    open_files,
    read_headers,
    without_copies,
)
from braincase.sources.dicom_series import (
    Series,
    classify,
    group_series,
    series_mark,
    slice_step,
    volume_problems,
)
from braincase.sources.dicom_volume import UnusualSeriesError, decode_series
from braincase.sources.pseudonym import local_key, pseudonym
from braincase.sources.rows import clean
from braincase.sources.scan import Scan
from braincase.sources.visits import parse_date, years_between

SESSION_LENGTH = 8
OLDEST = 90


@dataclass(frozen=True)
class Choice:
    """The T1w series of a study, how sure that is, and what was skipped with the reason."""

    series: Series | None
    sure: bool
    skipped: tuple[tuple[str, str], ...]


def read_dicom(
    path: Path,
    subject: str | None = None,
    series: int | None = None,
    key: bytes | None = None,
) -> tuple[list[Scan], Census]:
    """Return one T1w scan a study from a DICOM folder, zip or file, and the census.

    Parameters
    ----------
    path
        The folder (with all folders in it), the zip, or one multi-frame file.
    subject
        Whom to call the person; a keyed hash of the patient's number if None.
    series
        The series number to take instead of choosing one.
    key
        The key of the hashes; this machine's if None.

    Raises
    ------
    ScanError
        If nothing there is DICOM, or a zip cannot be used.
    UsageError
        If one subject is named for several patients.
    """
    studies, dropped = _list_studies(path)
    if not studies and not dropped:
        raise ScanError(path, "no DICOM file", "a folder or zip of DICOM", _other_content(path))
    if subject and len({patient for _, patient, _ in studies}) > 1:
        raise UsageError(path, "several patients", f"one, to call {subject}", "Name one folder.")
    scans: list[Scan] = []
    notes: list[str] = []
    for (place, patient, study), all_series in studies.items():
        choice = choose_t1w(all_series, series)
        dropped += [(f"{place}: {name}", why) for name, why in choice.skipped]
        if choice.series is not None:
            name = clean(subject) if subject else pseudonym(patient or study, key or local_key())
            visit = pseudonym(study, key or local_key(), SESSION_LENGTH)
            scans.append(_scan(place, choice, name, visit))
            if not choice.sure:
                notes.append(f"{choice.series.name}: not sure that it is a T1w")
    best, second = one_a_session(((str(scan.path),), scan) for scan in scans)
    return best, take_census(best, dropped + second, notes=notes)


def _other_content(path: Path) -> str:
    """Say what to do with a zip or folder of zips that holds no DICOM."""
    for place in [path, *(sorted(path.iterdir()) if path.is_dir() else [])]:
        if is_zip(place):
            with open_files(place) as files:
                inside = [
                    n for n in files.names if suffix_of(Path(n)) or n.lower().endswith(".zip")
                ]
            if inside:
                return f"{place.name} holds {inside[0]}: unpack it and name the folder."
    return "Check the path."


def choose_t1w(study: Sequence[Series], number: int | None = None) -> Choice:
    """Choose the best 3-D T1w among a study's series.

    Parameters
    ----------
    study
        All series of the study.
    number
        A series number to take whatever it calls itself, as long as it is a regular volume.
    """
    verdicts = {series.mark: classify(series) for series in study}
    skipped = {s.mark: (s.name, "; ".join(verdicts[s.mark].reasons)) for s in study}
    if number is not None:
        candidates = [s for s in study if s.header.get("SeriesNumber") == number]
        candidates = [s for s in candidates if not volume_problems(s)]
        sure = True
    else:
        candidates = [s for s in study if verdicts[s.mark].answer == "yes"]
        sure = bool(candidates)
        unsure = [s for s in study if verdicts[s.mark].answer == "not sure"]
        if not candidates and len(unsure) == 1:
            candidates = unsure
        if not candidates:
            why = "not sure which is the T1w: choose one by its number"
            skipped |= {s.mark: (s.name, why) for s in unsure}
    best = min(candidates, key=_rank, default=None)
    for series in candidates:
        skipped[series.mark] = (series.name, f"{best.name if best else ''} is the better T1w")
    if best is not None:
        del skipped[best.mark]
    return Choice(best, sure, tuple(skipped.values()))


def read_series(path: Path, mark: str | None = None) -> Volume:
    """Read one DICOM series as a volume: decoded here if it is a common one, else by dcm2niix.

    Parameters
    ----------
    path
        The folder, zip or file that holds it, alone or among others.
    mark
        `Series.mark` of the one to read; the best T1w if None.

    Raises
    ------
    ScanError
        If it is not there, is no regular volume, or cannot be converted.
    """
    with open_files(path) as files:
        names = _files_of(files, mark) if mark else _only(path, _list_series(files)[0]).files
        try:
            return decode_series(files, names)
        except UnusualSeriesError as reason:
            return convert_series(files, names, str(reason))


def _list_studies(path: Path) -> tuple[dict[tuple[Path, str, str], list[Series]], Dropped]:
    """Return the series of each place (the folder, each zip in it), patient and study."""
    zips = sorted(p for p in path.rglob("*") if is_zip(p)) if path.is_dir() else []
    studies: dict[tuple[Path, str, str], list[Series]] = defaultdict(list)
    dropped: Dropped = []
    for place in [path, *zips]:
        try:
            with open_files(place) as files:
                listed, damaged = _list_series(files)
        except ScanError as error:
            if not zips:
                raise
            dropped.append((str(place), str(error)))
            continue
        dropped += damaged
        for series in listed:
            patient, study = (
                str(series.header.get(tag) or "") for tag in ("PatientID", "StudyInstanceUID")
            )
            studies[place, patient, study].append(series)
    return studies, dropped


def _list_series(files: Files) -> tuple[list[Series], Dropped]:
    headers, damaged = read_headers(files)
    listed, mixed = _of_one_patient(group_series(without_copies(headers)))
    return listed, [(f"{files.path}: {name}", why) for name, why in [*damaged, *mixed]]


def _of_one_patient(listed: list[Series]) -> tuple[list[Series], Dropped]:
    """Set apart series whose slices name several patients: nobody can say whose head that is."""
    owners: dict[str, set[str]] = defaultdict(set)
    for series in listed:
        owners[str(series.header.get("SeriesInstanceUID"))].add(str(series.header.get("PatientID")))
    mixed = [s for s in listed if len(owners[str(s.header.get("SeriesInstanceUID"))]) > 1]
    pure = [series for series in listed if series not in mixed]
    return pure, [(s.name, "its slices name several patients: files mixed up") for s in mixed]


def _files_of(files: Files, mark: str) -> list[str]:
    headers, _ = read_headers(files, SERIES_TAGS)
    headers = without_copies(headers)
    names = [name for name, header in headers.items() if series_mark(header) == mark]
    if not names:
        advice = "The files have changed since they were listed: list them again."
        raise ScanError(files.path, "the series is gone", "", advice)
    return names


def _only(path: Path, listed: list[Series]) -> Series:
    choice = choose_t1w(listed)
    if choice.series is None:
        reasons = "; ".join(f"{name}: {why}" for name, why in choice.skipped[:5])
        found = f"no 3-D T1w series ({reasons})" if reasons else "no DICOM series"
        raise ScanError(path, found, "one", "Choose another series or study.")
    return choice.series


def _rank(series: Series) -> tuple[float, ...]:
    """Order T1w series: without contrast, corrected by the scanner, fine, then the last made."""
    spacing = [*series.sizes[0, 2:], slice_step(series)]
    return (
        bool(series.field("ContrastBolusAgent")),
        "NORM" not in series.image_type,
        not any(word.startswith("DIS3D") for word in series.image_type),
        round(float(max(spacing)), 2),
        -(series.number("SeriesNumber") or 0),
    )


def _scan(path: Path, choice: Choice, subject: str, session: str) -> Scan:
    series = choice.series
    assert series is not None  # the caller looked
    scanner = [str(series.field(k) or "") for k in ("Manufacturer", "ManufacturerModelName")]
    labels: dict[str, Value] = {
        "age": _age(series),
        "sex": {"M": "M", "F": "F"}.get(str(series.field("PatientSex") or "").upper()),
        "scanner": " ".join(" ".join(scanner).split()) or None,
        "field_strength": series.number("MagneticFieldStrength"),
        "series": series.mark,
        "t1w": "yes" if choice.sure else "not sure",
    }
    place = path
    if path.is_dir():  # the folder that holds just this series, if there is one
        place = path / os.path.commonpath([os.path.dirname(name) for name in series.files])
    return Scan(place, subject, session, {k: v for k, v in labels.items() if v is not None})


def _age(series: Series) -> int | None:
    """Return the age at the scan in whole years; above 89 it is 90, as HIPAA asks."""
    text = str(series.header.get("PatientAge") or "")
    if match := re.fullmatch(r"(\d{1,3})([YMWD])", text.strip().upper()):
        years = int(match[1]) / {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}[match[2]]
    else:
        dates = [
            parse_date(str(series.header.get(k) or "")) for k in ("PatientBirthDate", "StudyDate")
        ]
        if dates[0] is None or dates[1] is None:
            return None
        years = years_between(dates[0], dates[1])
    return min(int(years), OLDEST) if years > 0 else None
