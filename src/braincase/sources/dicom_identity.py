"""Patient identity in DICOM headers: who a study is of, their age, and what contradicts itself.

A header that was de-identified still has a PatientID, often one word for everybody: `ANONYMOUS`,
`0`, `REMOVED`. Such a placeholder identifies nobody. Then name, birth date and sex together tell
the person, if all three are real and agree with the age; else each study counts as a person of its
own, and the census says so. All of it goes into keyed hashes only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from braincase.sources.dicom_files import DicomHeader
from braincase.sources.visits import years_between

#: Ages above this are given as this, as HIPAA asks.
OLDEST = 90
#: Hardly anybody has been older; what is above was made up by a de-identifier.
IMPOSSIBLE_AGE = 115
#: Years by which an age and a birth date, or the birth years of one person, may differ.
AGE_TOLERANCE = 2.0
#: A shorter number may be the same as the study's by chance.
SHORTEST_STUDY = 3
#: Birth dates that programs write where they know none.
NO_BIRTH_DATES = {date(1900, 1, 1), date(1901, 1, 1), date(1970, 1, 1), date(1111, 11, 11)}
#: Words, letters only and small ones, that stand for a missing name or number.
_WORDS = """
    " anonymous anonymus anonymized anonymised anonymize anonymise anonym anonyme anonymisiert
    anonymisee anonimo anonima anonimizado anonimizzato anoniem anonymousid anon anonpatient
    anonymouspatient patient anonymizedpatient unknown unknownid unknownpatient unk unbekannt
    inconnu desconocido sconosciuto onbekend none null nil nan na nd notavailable notapplicable
    notprovided missing undefined unspecified unnamed empty blank default dummy fake test tester
    testpatient patienttest testid testing demo example sample phantom patientid patientname
    patientsname id name noid noname nobody nn subject subjectid person case deidentified
    deident deid dicom dicomanonymized removed deleted redacted cleared hidden masked private
    confidential secret pseudonym pseudonymized pseudonymised doe johndoe janedoe doejohn
    doejane mustermann maxmustermann mustermannmax xnat research volunteer
    匿名 匿名化 匿名患者 不明 削除 テスト 患者 無名 未知 匿名化済 익명 аноним неизвестно"""


def _plain(text: str) -> str:
    """Return a text's letters and digits, small, in usual width and without accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if c.isalnum()))


#: Of several such words one has to be of these: ``PATIENT^ANON``.
_SURE = re.compile("anon|deid|unk|test|remov|匿名")
PLACEHOLDERS = frozenset(_plain(word) for word in _WORDS.split())


@dataclass(frozen=True)
class Owner:
    """Whose study it is.

    Parameters
    ----------
    key
        What tells this person from others; to be hashed and never shown.
    note
        What the user should know about it, or an empty text.
    """

    key: str
    note: str = ""


def is_placeholder(text: object) -> bool:
    """Say whether a patient's name or number is a de-identifier's default and tells nobody."""
    plain = _plain(str(text or ""))
    letters, digits = re.sub(r"\d", "", plain), re.sub(r"\D", "", plain)
    if not letters:
        counted_up = len(digits) >= 5 and "01234567890".find(digits) in (0, 1)
        return not digits.strip("0") or (len(digits) > 3 and len(set(digits)) == 1) or counted_up
    if digits.strip("0"):  # numbered: PATIENT 17 is somebody
        return False
    words = [_plain(word) for word in re.split(r"[\W_]+", str(text or "")) if word]
    one_letter = len(letters) > 2 and len(set(letters)) == 1
    composed = all(word in PLACEHOLDERS for word in words) and any(map(_SURE.match, words))
    return letters in PLACEHOLDERS or one_letter or composed


def owner_of(header: DicomHeader) -> Owner:
    """Return who a study is of: by PatientID or, where that is a placeholder, by what else tells.

    Parameters
    ----------
    header
        Of any file of the study.
    """
    patient, study = (_text(header, tag) for tag in ("PatientID", "StudyInstanceUID"))
    if not is_placeholder(patient) and not _is_of_the_study(header, patient):
        return Owner(patient)
    why = "a placeholder" if patient else "missing"
    if patient and not is_placeholder(patient):
        why = "the study's number"
    name, birth = _text(header, "PatientName"), birth_date(header)
    sex = _text(header, "PatientSex").upper()
    if not is_placeholder(name) and birth and sex in ("M", "F") and not _age_contradicts(header):
        key = "/".join(("name, birth date, sex", name.casefold(), birth.isoformat(), sex))
        return Owner(key, f"PatientID is {why}: people told apart by name, birth date and sex")
    single = study or _text(header, "SeriesInstanceUID")
    return Owner(single, f"PatientID is {why}: each study counts as a person of its own")


def age_of(header: DicomHeader, stated: str | None = None) -> tuple[int | None, str]:
    """Return the age at the scan in whole years, at most 90, and a note where it needs one.

    Parameters
    ----------
    header
        Of any file of the series.
    stated
        PatientAge where the caller looked it up; taken from the header if None.
    """
    text = _text(header, "PatientAge") if stated is None else stated
    years, note = _stated_age(text), ""
    if text and years is None:
        return None, f"PatientAge {text[:8]!r} is no age: no age taken"
    if years is None:
        years, note = _age_by_dates(header)
    elif _age_contradicts(header):
        note = "PatientAge and PatientBirthDate contradict each other: PatientAge is used"
    if years is None:
        return None, note
    if not 0 < years <= IMPOSSIBLE_AGE:
        how = "PatientAge gives" if text else "the dates give"
        return None, f"{how} an age of {years:.0f} years, which nobody has: no age taken"
    if years >= OLDEST:
        return OLDEST, f"an age of {OLDEST} stands for {OLDEST} and above"
    return int(years), note


def birth_date(header: DicomHeader) -> date | None:
    """Return the birth date unless it is missing or a de-identifier's default."""
    born = dicom_date(_text(header, "PatientBirthDate"))
    return None if born in NO_BIRTH_DATES else born


def dicom_date(text: str) -> date | None:
    """Parse a DICOM date (``YYYYMMDD``, of old also ``YYYY.MM.DD``); None where it is no day."""
    match = re.fullmatch(r"(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})", text.strip())
    try:
        return date(int(match[1]), int(match[2]), int(match[3])) if match else None
    except ValueError:
        return None


def contradictions(people: Mapping[str, Sequence[DicomHeader]]) -> list[str]:
    """Name what cannot be true of one person: two birth dates, ages that do not fit the dates.

    Parameters
    ----------
    people
        For each person's pseudonym the headers that count as theirs.
    """
    said: list[str] = []
    for name, headers in people.items():
        days = {birth_date(header) for header in headers} - {None}
        if len(days) > 1:
            said.append(
                f"sub-{name}: one patient with {len(days)} birth dates: perhaps several people"
            )
        born = [year for header in headers if (year := _birth_year(header)) is not None]
        if born and max(born) - min(born) > AGE_TOLERANCE:
            said.append(
                f"sub-{name}: one patient whose ages differ by {max(born) - min(born):.0f} years "
                "more than the dates of the studies: perhaps several people"
            )
    return said


def _is_of_the_study(header: DicomHeader, patient: str) -> bool:
    """Say whether the number is that of the study: it cannot join the visits of a person."""
    tags = ("StudyInstanceUID", "AccessionNumber", "StudyID")
    return len(patient) >= SHORTEST_STUDY and any(patient == _text(header, tag) for tag in tags)


def _age_contradicts(header: DicomHeader) -> bool:
    """Say whether age and birth date are both there and cannot both be true."""
    stated, (counted, _) = _stated_age(_text(header, "PatientAge")), _age_by_dates(header)
    return stated is not None and counted is not None and abs(stated - counted) > AGE_TOLERANCE


def _birth_year(header: DicomHeader) -> float | None:
    """Return when somebody was born by age and date of the study, as a year."""
    stated, study = _stated_age(_text(header, "PatientAge")), _study_date(header)
    if stated is None or study is None or not 0 < stated < OLDEST:
        return None
    return study.year + study.month / 12 - stated


def _stated_age(text: str) -> float | None:
    match = re.fullmatch(r"(\d{1,4})\s*([YMWD])?", text.strip().upper())
    if match is None:
        return None
    return int(match[1]) / {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}[match[2] or "Y"]


def _age_by_dates(header: DicomHeader) -> tuple[float | None, str]:
    """Return the years from birth to study, and a note where a date cannot be one."""
    text, study = _text(header, "PatientBirthDate"), _study_date(header)
    born = birth_date(header)
    if text and born is None:
        return None, "PatientBirthDate is a placeholder: no age taken"
    if born is None or study is None:
        return None, ""
    if born >= study:
        return None, "PatientBirthDate is not before the study: no age taken"
    return years_between(born, study), ""


def _study_date(header: DicomHeader) -> date | None:
    dates = (dicom_date(_text(header, k)) for k in ("StudyDate", "SeriesDate", "AcquisitionDate"))
    return next((day for day in dates if day is not None), None)


def _text(header: DicomHeader, keyword: str) -> str:
    return str(header.get(keyword) or "").strip()
