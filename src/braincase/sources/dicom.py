"""Read DICOM studies: choose the T1w series of a folder, an archive or a whole mixed study.

Each study's series are classified by rules (`dicom_series.classify`); the best 3-D T1w is taken and
every other series is listed with the reason against it. Where nothing says T1w, a study's only
volume is taken as "not sure", and of several none is: the user names one. Voxels are read
by `dicom_volume`, those of unusual series by the converter (`dicom_converter`).

A `Scan` holds no name, number, birth date or date: the subject is given or a keyed hash of the
patient's number, the session a keyed hash of the study's; ages above 89 count as 90.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from braincase.errors import ScanError, UsageError
from braincase.images.header import suffix_of
from braincase.images.volume import Volume
from braincase.labels import Value
from braincase.sources.census import Census, counted, take_census
from braincase.sources.choose import Dropped, one_a_session
from braincase.sources.dicom_choice import Choice, choose_t1w
from braincase.sources.dicom_converter import convert_series
from braincase.sources.dicom_files import (
    ARCHIVES,
    MAX_SCAN_FILES,
    DicomHeader,
    Files,
    archive_kind,
    open_files,
    pixel_hash,
    read_headers,
    without_copies,
)
from braincase.sources.dicom_identity import age_of, contradictions, owner_of
from braincase.sources.dicom_series import Series, classify, group_series
from braincase.sources.listing import kind_of, kinds, list_source
from braincase.sources.pseudonym import local_key, pseudonym, session_of
from braincase.sources.rows import clean
from braincase.sources.scan import Scan


def read_dicom(
    path: Path,
    subject: str | None = None,
    series: int | None = None,
    key: bytes | None = None,
) -> tuple[list[Scan], Census]:
    """Return one T1w scan a study from a DICOM folder, zip, tar or file, and the census.

    Parameters
    ----------
    path
        The folder (with all folders in it), the zip or tar, or one multi-frame file.
    subject
        Whom to call the person; a keyed hash of the patient's number if None.
    series
        The series number to take instead of choosing one.
    key
        The key of the hashes; this machine's if None.

    Raises
    ------
    ScanError
        If nothing there is DICOM, or an archive cannot be used.
    UsageError
        If one subject is named for several patients.
    """
    studies, dropped, content = _list_studies(path)
    if not studies and not dropped:
        raise ScanError(
            path, "no DICOM file", "a folder, zip or tar of DICOM", _other_content(path)
        )
    if subject and len({patient for _, patient, _ in studies}) > 1:
        raise UsageError(path, "several patients", f"one, to call {subject}", "Name one folder.")
    secret = key or local_key()
    scans: list[Scan] = []
    notes: list[str] = []
    people: dict[str, list[DicomHeader]] = defaultdict(list)
    for (place, _, study), all_series in studies.items():
        choice = choose_t1w(all_series, series)
        dropped += [(f"{place}: {name}", why) for name, why in choice.skipped]
        if choice.series is None:
            continue
        owner = owner_of(choice.series.header)
        name = clean(subject) if subject else pseudonym(owner.key or str(place), secret)
        people[name] += [one.header for one in all_series]
        age, remark = age_of(choice.series.header)
        visit = session_of(pseudonym(study or str(place), secret))
        scans.append(_scan(place, choice, name, visit, age))
        notes += [note for note in ("" if subject else owner.note, remark) if note]
        notes += choice.notes
    best, second = one_a_session(((str(scan.path),), scan) for scan in scans)
    marks = [(scan.path, scan.series) for scan in best]  # one folder may hold many
    census = take_census(best, dropped + second, hashes=marks, notes=_counted(notes))
    return best, replace(
        census,
        conflicts=(*census.conflicts, *contradictions(people)),
        files=content.account(sum(len(scan.files) for scan in best), path),
    )


@dataclass(frozen=True)
class _Content:
    """How many files of a source are DICOM, repeat others, or are something else, by ending."""

    dicom: int = 0
    copies: int = 0
    others: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: _Content) -> _Content:
        others = Counter(self.others) + Counter(other.others)
        return _Content(self.dicom + other.dicom, self.copies + other.copies, others)

    def account(self, used: int, path: Path) -> dict[str, int]:
        """Return what became of every file; hidden ones of a folder are counted too."""
        others = Counter(self.others)
        hidden = list_source(path).hidden if path.is_dir() else 0
        files = {
            "used": used,
            "left out": self.dicom - used,
            f"no image ({kinds(others)})": others.total(),
            "hidden (skipped)": hidden,
        }
        return {what: n for what, n in files.items() if n}


def _counted(notes: Sequence[str]) -> list[str]:
    """Say once what is true of several studies, and of how many."""
    counts = Counter(notes)
    return [note if n == 1 else f"{n:,} studies: {note}" for note, n in counts.items()]


def _other_content(path: Path) -> str:
    """Say what to do with an archive, or a folder of some, that holds no DICOM."""
    for place in [path, *(sorted(path.iterdir()) if path.is_dir() else [])]:
        if archive_kind(place):
            with open_files(place) as files:
                inside = [
                    n for n in files.names if suffix_of(Path(n)) or n.lower().endswith(ARCHIVES)
                ]
            if inside:
                return f"{place.name} holds {inside[0]}: unpack it and name the folder."
    return "Check the path."


def series_to_choose(path: Path) -> list[Series]:
    """Return the series of a source that may be a T1w, where it takes a person to choose one.

    Empty where fewer than two may be, or two have the same number: a number then chooses none.
    """
    studies, _, _ = _list_studies(path)
    listed = [series for every in studies.values() for series in every]
    possible = [one for one in listed if classify(one).answer != "no"]
    by_number = {one.number("SeriesNumber"): one for one in possible}
    if None in by_number or len(by_number) < max(len(possible), 2):
        return []
    return sorted(possible, key=lambda one: one.number("SeriesNumber") or 0)


def read_series(path: Path, mark: str | None = None, files_of: Sequence[str] = ()) -> Volume:
    """Read one DICOM series as a volume: decoded here if it is a common one, else by dcm2niix.

    Parameters
    ----------
    path
        The folder, archive or file that holds it, alone or among others.
    mark
        `Series.mark` of the one to read; the best T1w if None.
    files_of
        Its files below `path` where they are known; nothing else is then opened.

    Raises
    ------
    ScanError
        If it is not there, is no regular volume, or cannot be converted.
    """
    from braincase.sources.dicom_volume import UnusualSeriesError, decode_series  # and pydicom

    with open_files(path, files_of, None if files_of else MAX_SCAN_FILES) as files:
        names = files_of or _names_of(files, mark)
        try:
            return decode_series(files, names)
        except UnusualSeriesError as reason:
            return convert_series(files, names, str(reason))


def _list_studies(
    path: Path,
) -> tuple[dict[tuple[Path, str, str], list[Series]], Dropped, _Content]:
    """Return the series of each place (the folder, each archive in it), patient and study."""
    archives = sorted(p for p in path.rglob("*") if archive_kind(p)) if path.is_dir() else []
    studies: dict[tuple[Path, str, str], list[Series]] = defaultdict(list)
    dropped: Dropped = []
    content = _Content()
    for place in [path, *archives]:
        try:
            with open_files(place) as files:
                listed, damaged, found = _list_series(files)
                content += found
        except ScanError as error:
            if not archives:
                raise
            dropped.append((str(place), str(error)))
            continue
        dropped += damaged
        for series in listed:
            patient, study = (
                str(series.header.get(tag) or "") for tag in ("PatientID", "StudyInstanceUID")
            )
            studies[place, patient, study].append(series)
    return studies, dropped, content


def _list_series(files: Files) -> tuple[list[Series], Dropped, _Content]:
    headers, damaged = read_headers(files)
    dicom = {*headers, *(name for name, _ in damaged)}
    listed = group_series(without_copies(headers))
    for name in [name for series in listed for name in _doubled_files(files, series)]:
        del headers[name]
    single = without_copies(headers)
    listed, mixed = _of_one_patient(group_series(single))
    copies = len(dicom) - len(damaged) - len(single)
    others = Counter(
        kind_of(n) for n in files.names if n not in dicom and not _is_inner_archive(files, n)
    )
    dropped = [(f"{files.path}: {name}", why) for name, why in [*damaged, *mixed]]
    if copies:
        dropped.append((str(files.path), f"{counted(copies, 'copy', 'copies')} of other files"))
    return listed, dropped, _Content(len(dicom), copies, others)


def _is_inner_archive(files: Files, name: str) -> bool:
    """Say whether a file of a folder is an archive, which is looked into by itself."""
    place = files.path / name if files.path.is_dir() else files.path
    return not files.is_archive and archive_kind(place) is not None


def _doubled_files(files: Files, series: Series) -> list[str]:
    """Return files that repeat another's pixels at the same place: copies with names of their own.

    Pixels are only read where slices share a place.
    """
    if len(series.files) != len(series.places):  # enhanced: several slices in a file
        return []
    first: dict[tuple[float, ...], list[str]] = defaultdict(list)
    for name, place in zip(series.files, series.places.round(3), strict=True):
        first[tuple(place)].append(name)
    doubled: list[str] = []
    for names in (names for names in first.values() if len(names) > 1):
        hashes = [pixel_hash(files, name) for name in names]
        doubled += [name for n, name in enumerate(names) if hashes[n] in hashes[:n]]
    return doubled


def _of_one_patient(listed: list[Series]) -> tuple[list[Series], Dropped]:
    """Set apart series whose slices name several patients: nobody can say whose head that is."""
    owners: dict[str, set[str]] = defaultdict(set)
    for series in listed:
        owners[str(series.header.get("SeriesInstanceUID"))].add(str(series.header.get("PatientID")))
    mixed = [s for s in listed if len(owners[str(s.header.get("SeriesInstanceUID"))]) > 1]
    pure = [series for series in listed if series not in mixed]
    return pure, [(s.name, "its slices name several patients: files mixed up") for s in mixed]


def _names_of(files: Files, mark: str | None) -> Sequence[str]:
    """Return the files of a series, found by looking at all headers."""
    listed, _, _ = _list_series(files)
    if mark is None:
        return _only(files.path, listed).files
    for series in listed:
        if series.mark == mark:
            return series.files
    advice = "The files have changed since they were listed: list them again."
    raise ScanError(files.path, "the series is gone", "", advice)


def _only(path: Path, listed: list[Series]) -> Series:
    choice = choose_t1w(listed)
    if choice.series is None:
        reasons = "; ".join(f"{name}: {why}" for name, why in choice.skipped[:5])
        found = f"no 3-D T1w series ({reasons})" if reasons else "no DICOM series"
        raise ScanError(path, found, "one", "Choose another series or study.")
    return choice.series


def _scan(path: Path, choice: Choice, subject: str, session: str, age: int | None) -> Scan:
    series = choice.series
    assert series is not None  # the caller looked
    scanner = [str(series.field(k) or "") for k in ("Manufacturer", "ManufacturerModelName")]
    labels: dict[str, Value] = {
        "age": age,
        "sex": {"M": "M", "F": "F"}.get(str(series.field("PatientSex") or "").upper()),
        "scanner": " ".join(" ".join(scanner).split()) or None,
        "field_strength": series.number("MagneticFieldStrength"),
        "t1w": "yes" if choice.sure else "not sure",
        "contrast_medium": "yes" if choice.enhanced else None,
    }
    place, files = path, series.files
    if path.is_dir():  # the folder that holds just this series, if there is one
        inner = os.path.commonpath([os.path.dirname(name) for name in series.files])
        place, files = path / inner, tuple(os.path.relpath(name, inner or ".") for name in files)
    labels = {name: value for name, value in labels.items() if value is not None}
    return Scan(place, subject, session, labels, files=files, series=series.mark)
