"""Classify DICOM series: a regular volume or not, and a 3-D T1w or not, each with reasons."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from braincase.sources.dicom_files import MARK_TAGS, DicomHeader
from braincase.sources.dicom_names import OTHER, PARTS, T1, normalised

#: Words in ImageType of what is computed from another series.
COMPUTED = {"MPR", "MIP", "PROJECTION IMAGE", "REFORMATTED", "LOCALIZER", "ADC", "PHASE MAP", "P"}
COMPUTED |= {"T1 MAP", "T2 MAP", "T2_STAR MAP", "R1 MAP", "R2 MAP", "R2_STAR MAP"}
MIN_COVERAGE_MM = 100.0
MAX_SLICE_MM = 2.5
#: Longer echo times turn a T1w into something else, ms.
MAX_ECHO_MS = 25.0
#: Below these differences slices count as parallel, and as at one place (mm).
PARALLEL, SAME_PLACE_MM = 0.01, 0.01
TILT_DEGREES = 1.0
UNEVEN = 0.1

Certainty = Literal["yes", "not sure", "no"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """The files of one DICOM series.

    Parameters
    ----------
    files
        Their names.
    header
        The header of the first.
    places
        Where each slice lies: position and the two in-plane directions, shape (n, 9), LPS mm; not a
        number where a file does not say.
    sizes
        Rows, columns and pixel spacing (mm) of each slice, shape (n, 4).
    """

    files: tuple[str, ...]
    header: DicomHeader
    places: Floats
    sizes: Floats

    @property
    def mark(self) -> str:
        """A name of this series, for use in memory; see `series_mark`."""
        return series_mark(self.header)

    @property
    def name(self) -> str:
        """What to call this series before the user."""
        words = self.header.get("SeriesDescription") or self.header.get("ProtocolName") or ""
        return f"series {self.header.get('SeriesNumber', '?')} {str(words)!r}"

    @property
    def image_type(self) -> set[str]:
        """The words of ImageType, in capitals: ORIGINAL, NORM, DIS3D, ..."""
        return {str(word).upper() for word in _several(self.field("ImageType"))}

    def field(self, keyword: str) -> object:
        """Return a header field, of the first frame in an enhanced file; None where missing."""
        return _field(self.header, keyword)

    def number(self, keyword: str) -> float | None:
        """Return a header field as a number; None where missing or no number."""
        values = _numbers(self.field(keyword), 1)
        return None if np.isnan(values[0]) else float(values[0])


@dataclass(frozen=True)
class Classification:
    """Whether a series is a 3-D T1w of a head, and why."""

    answer: Certainty
    reasons: tuple[str, ...]


def series_mark(header: DicomHeader) -> str:
    """Hash the identifiers of a header's series; for use in memory, as it has no key."""
    identity = "/".join(str(header.get(tag, "")) for tag in MARK_TAGS)
    return hashlib.sha256(identity.encode(errors="backslashreplace")).hexdigest()[:12]


def group_series(headers: Mapping[str, DicomHeader]) -> list[Series]:
    """Group files into series by study and series UID and number."""
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, header in headers.items():
        groups[tuple(str(header.get(tag, "")) for tag in MARK_TAGS)].append(name)
    return [_series(names, headers) for names in groups.values()]


def classify(series: Series) -> Classification:
    """Classify a series as a 3-D T1w volume of a head or not, by its geometry, physics and names.

    Missing echo time, repetition time or field strength are no reason against it. ``not sure`` is a
    volume of which nothing says what it shows.
    """
    reasons = [*_kind_problems(series), *volume_problems(series)]
    words = series_words(series)
    echo = series.number("EchoTime") or series.number("EffectiveEchoTime")
    named, other = bool(T1.search(words)), OTHER.search(words)
    if PARTS.search(words):
        reasons.append("a part of an MP2RAGE, not its T1w image")
    if echo is not None and echo > MAX_ECHO_MS:
        reasons.append(f"an echo time of {echo:g} ms, not T1w")
    if other and not named:
        reasons.append(f"named {(other.group(1) or other.group(2))!r}")
    if reasons:
        return Classification("no", tuple(reasons))
    if named and not other:
        return Classification("yes", ("named as T1w",))
    if not named and _is_t1_by_physics(series):
        return Classification("yes", ("a 3-D gradient echo with T1w settings",))
    return Classification(
        "not sure", ("nothing in the header says T1w" if not named else "two names",)
    )


def volume_problems(series: Series) -> list[str]:
    """Return why the slices make no regular volume: mixed, missing, uneven, tilted, too few."""
    places = series.places
    if np.isnan(places).any() or np.isnan(series.sizes[:, :2]).any():
        return ["slices without position, orientation or size: no volume"]
    if np.isnan(series.sizes).any():
        return ["no PixelSpacing: the size of the voxels is not known"]
    if series.sizes.min() <= 0:
        return ["a PixelSpacing or matrix of nothing: the size of the voxels is not known"]
    if np.ptp(places[:, 3:], axis=0).max() > PARALLEL:
        return ["slices of different orientations: two series mixed"]
    if np.ptp(series.sizes, axis=0).max() > SAME_PLACE_MM:
        return ["slices of different sizes: two series mixed"]
    normal = _normal(places)
    depths = (places[:, :3] @ normal).round(3)
    order = np.argsort(depths, kind="stable")
    steps = np.diff(depths[order])
    repeated = int((steps <= SAME_PLACE_MM).sum())
    distinct = len(depths) - repeated
    if distinct == 1:
        return ["all slices lie at one place: no volume"]
    if repeated:
        return [_repeats(depths, distinct)]
    path = places[order[-1], :3] - places[order[0], :3]
    return [*_tilt(path, normal), *_spacing(steps), *_coverage(depths, steps)]


def slice_step(series: Series) -> float:
    """Return the distance between neighbouring slices, mm."""
    places = series.places
    return float(np.median(np.diff(np.sort(places[:, :3] @ _normal(places)))))


def _normal(places: Floats) -> Floats:
    """Return the direction across the slices, of their mean orientation: rounding differs."""
    row, column = places[:, 3:6].mean(axis=0), places[:, 6:9].mean(axis=0)
    normal: Floats = np.cross(row, column)
    return normal / (np.linalg.norm(normal) or 1.0)


def _kind_problems(series: Series) -> list[str]:
    modality = str(series.header.get("Modality", ""))
    if modality != "MR":
        return [f"no MRI (modality {modality or 'not given'})"]
    if series.header.get("Rows") is None:
        return ["no image inside"]
    computed = sorted(series.image_type & COMPUTED)
    problems = [f"computed or set up by the scanner ({kind})" for kind in computed]
    if str(series.field("MRAcquisitionType") or "").upper() == "2D":
        problems.append("a 2-D acquisition")
    return problems


def _is_t1_by_physics(series: Series) -> bool:
    """Judge by the settings alone: a 3-D gradient echo, inversion-prepared or spoiled.

    Some makers write ``RM`` (research mode) for all their sequences: then only the preparation
    counts.
    """
    kinds = {str(kind).upper() for kind in _several(series.field("ScanningSequence"))}
    echo, flip, repetition, inversion = (
        series.number(k) for k in ("EchoTime", "FlipAngle", "RepetitionTime", "InversionTime")
    )
    if not kinds & {"GR", "RM"} or echo is None or echo > 12:
        return False
    prepared = inversion is not None and 200 <= inversion <= 1500
    if "GR" not in kinds:
        return prepared
    spoiled = repetition is not None and repetition < 60 and flip is not None and flip >= 8
    return prepared or spoiled


def series_words(series: Series) -> str:
    """Return the names of a series, its protocol and its sequence, as names are compared."""
    keywords = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
    return normalised(" ".join(str(series.field(keyword) or "") for keyword in keywords))


def _repeats(depths: Floats, distinct: int) -> str:
    counts = set(Counter(depths.tolist()).values())
    if len(counts) == 1:
        return f"{len(depths) // distinct} volumes in one series (times, echoes or phases)"
    return "some slices twice at one place: two series mixed"


def _tilt(path: Floats, normal: Floats) -> list[str]:
    cosine = abs(float(path @ normal)) / float(np.linalg.norm(path) * np.linalg.norm(normal))
    degrees = float(np.degrees(np.arccos(min(cosine, 1.0))))
    if degrees <= TILT_DEGREES:
        return []
    return [f"slices not stacked at right angles: gantry tilt of {degrees:.0f} degrees"]


def _spacing(steps: Floats) -> list[str]:
    step = float(np.median(steps))
    missing = int((np.round(steps / step) - 1).clip(0).sum())
    if missing:
        gap = f"a gap of {steps.max():g} mm where slices are {step:g} mm apart"
        return [f"missing slices: {missing} ({gap})"]
    if np.abs(steps - step).max() > UNEVEN * step:
        return [f"slices at uneven distances, {steps.min():g} to {steps.max():g} mm"]
    return [f"slices {step:g} mm apart, too far for 3-D"] if step > MAX_SLICE_MM else []


def _coverage(depths: Floats, steps: Floats) -> list[str]:
    covered = float(np.ptp(depths) + np.median(steps))
    if covered >= MIN_COVERAGE_MM:
        return []
    return [f"only {len(depths)} slices, {covered:.0f} mm of the head"]


def _series(names: list[str], headers: Mapping[str, DicomHeader]) -> Series:
    frames = [frame for name in names for frame in _frames(headers[name])]
    table = np.array(frames, dtype=float).reshape(-1, 13)
    return Series(tuple(names), headers[names[0]], table[:, :9], table[:, 9:])


def _frames(header: DicomHeader) -> list[list[float]]:
    """Return position, orientation, rows, columns and spacing of each slice in a file."""
    size = [*_numbers(header.get("Rows"), 1), *_numbers(header.get("Columns"), 1)]
    frames: Sequence[DicomHeader | None] = _items(header, "PerFrameFunctionalGroupsSequence")
    return [
        [
            *_numbers(_field(header, "ImagePositionPatient", frame), 3),
            *_numbers(_field(header, "ImageOrientationPatient", frame), 6),
            *size,
            *_numbers(_field(header, "PixelSpacing", frame), 2),
        ]
        for frame in frames or [None]
    ]


def _field(header: DicomHeader, keyword: str, frame: DicomHeader | None = None) -> object:
    """Look a field up in one frame, then the header, the shared groups and the first frame."""
    values = _values(header, keyword, frame)
    return next((value for value in values if value not in (None, "")), None)


def _values(header: DicomHeader, keyword: str, frame: DicomHeader | None) -> Iterator[object]:
    """Yield what a field is in each place where it may stand, missing or empty ones too."""
    if frame is not None:
        yield _in_group(frame, keyword)
    yield header.get(keyword)
    for group in _items(header, "SharedFunctionalGroupsSequence"):
        yield _in_group(group, keyword)
    for group in _items(header, "PerFrameFunctionalGroupsSequence")[:1]:
        yield _in_group(group, keyword)


def _in_group(group: DicomHeader, keyword: str) -> object:
    """Return a field of the sequences in one functional group."""
    for element in group:
        if element.VR == "SQ":
            for item in cast("Iterable[DicomHeader]", element.value):
                if item.get(keyword) not in (None, ""):
                    return item.get(keyword)
    return None


def _items(header: DicomHeader, keyword: str) -> list[DicomHeader]:
    """Return the headers in a sequence field."""
    return cast("list[DicomHeader]", _several(header.get(keyword)))


def _several(value: object) -> list[object]:
    """Return the values of a field that may have none, one or several."""
    if value is None:
        return []
    single = isinstance(value, str) or not isinstance(value, Iterable)
    return [value] if single else list(cast("Iterable[object]", value))


def _numbers(value: object, count: int) -> Floats:
    """Return `count` numbers, all not-a-number where the field is missing or otherwise made."""
    try:
        numbers = np.array(_several(value), dtype=float)
    except (TypeError, ValueError):
        return np.full(count, np.nan)
    return numbers if numbers.shape == (count,) else np.full(count, np.nan)
