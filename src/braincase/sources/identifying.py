"""Identifying columns (direct identifiers): names, birth dates, addresses, numbers; left out.

A column is judged by its name, in English, German and other languages and in Japanese, and by its
cells as a whole. The names of files and folders are judged too; those are the user's to change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from unicodedata import normalize

from braincase.errors import ParameterError
from braincase.labels import Value, value_text
from braincase.sources.census import Census
from braincase.sources.dates import date_in
from braincase.sources.rows import label_name
from braincase.sources.scan import Scan

#: Labels that are looked for in every scan and never identify by their name.
USUAL = frozenset({"age", "sex", "diagnosis", "group", "site", "scanner", "handedness"})
#: What identifies, and the words of a column's name that say so; several are joined by ``_``.
NAMES = {
    "a name": "first_name last_name family_name given_name middle_name full_name maiden_name "
    "firstname lastname familyname givenname middlename fullname maidenname surname forename "
    "patient_name patientname patients_name subject_name participant_name person_name pat_name "
    "pt_name mother_name father_name mothers_name fathers_name physician_name doctor_name "
    "referring_physician operator_name operators_name spouse_name contact_name initials "
    "vorname nachname familienname patientenname prénom prenom nom nom_de_famille nombre apellido "
    "apellidos cognome voornaam achternaam",
    "a birth date": "dob date_of_birth birth_date birthdate birthday birth_day birth_dt birthdt "
    "day_of_birth patient_birth_date patientbirthdate geburtsdatum geburtstag date_de_naissance "
    "fecha_de_nacimiento fecha_nacimiento data_di_nascita geboortedatum",
    "an address": "address addr street street_name home_address postcode post_code postal_code "
    "postalcode zip zip_code zipcode adresse anschrift straße strasse plz postleitzahl wohnort "
    "code_postal direccion dirección indirizzo email e_mail email_address mail mail_address "
    "ip_address",
    "a phone number": "phone phone_number phonenumber telephone telephone_number tel tel_no mobile "
    "mobile_phone mobile_number cell_phone cellphone fax fax_number telefon telefonnummer handy "
    "handynummer téléphone telefono teléfono",
    "a number of a patient": "mrn medical_record_number medical_record_no record_number "
    "hospital_number hospital_no hospital_id patient_number patient_no patient_id patientid "
    "patientnumber chart_number chart_no nhs nhs_number nhs_no ssn social_security "
    "social_security_number insurance_number insurance_no insurance_id health_card "
    "health_card_number accession accession_number accession_no national_id passport "
    "passport_number my_number driver_license driving_licence fallnummer patientennummer "
    "versicherungsnummer",
}
#: The same in Japanese: anywhere in the name.
JAPANESE = {
    "a name": "氏名 患者名 フリガナ ふりがな 名字 苗字 姓名 お名前 本名",
    "a birth date": "生年月日 誕生日 出生日",
    "an address": "住所 郵便番号 メールアドレス 現住地 番地",
    "a phone number": "電話 携帯 ファックス FAX番号",
    "a number of a patient": "患者番号 患者id カルテ 診察券 病歴番号 保険証 被保険者 マイナンバー "
    "個人番号 登録番号 受付番号",
}
#: Names that are one of these words and nothing more.
WHOLE = {"a name": ("name", "names", "姓", "名", "名前", "カナ", "かな")}
#: Words that are others' words too, unless they stand alone.
ALONE = ("mobile", "mail", "handy", "nom", "initials", "nhs", "accession", "street", "tel", "zip")
#: Cells that identify, whatever the column is called.
CELLS = {
    "an address": re.compile(
        r"〒?\s*\d{3}-\d{4}\s*\S*[都道府県].*|\S{1,4}[都道府県]\S{1,8}[市区町村郡].*|"
        r"[^@\s]+@[^@\s]+\.[a-z]{2,}|"
        r"\d+[a-z]?,? (?:\S+ ){1,3}(?:street|st|road|rd|avenue|ave|lane|drive|way)\b.*|"
        r"\S+(?:straße|strasse|str\.|weg|gasse|platz) ?\d+.*",
        re.IGNORECASE,
    ),
    "a phone number": re.compile(r"(?=(?:\D*\d){9,15}\D*$)(?:\+|\(?0)[\d ()/.-]*[ ()/-][\d ()/-]+"),
    "a name": re.compile(r"[^\W\d_]{2,}(?:[ -][^\W\d_]+)*\^[^\W\d_]+\S*"),  # as DICOM writes it
}
#: First and last name; a name only where nearly each person has another.
PERSON = re.compile(
    r"[A-ZÀ-Þ][\w'-]+, ?[A-ZÀ-Þ][\w'.-]+(?: [A-ZÀ-Þ][\w'.-]*)?|"
    r"[A-ZÀ-Þ][a-zà-ÿ'-]+(?: [A-ZÀ-Þ][\w'.-]*){1,2}|"
    r"[\u4e00-\u9fff々]{1,4}[ \u3000][\u4e00-\u9fff々\u3040-\u30ff]{1,5}"
)
#: How notes begin, and what is in them.
LEFT_OUT = "left out of the labels, as it may identify people"
NAMED = "named like a person with a birth date"
#: Hashes of patients' numbers without a key, which earlier versions kept as the label ``series``.
OLD_MARK = re.compile(r"[0-9a-f]{12}")
#: The share of a column's cells, and of people, that must fit; the least people for `PERSON`.
MOST, LEAST_PEOPLE = 0.6, 5
#: A day of an era that ended before there was MRI for everybody.
ERA = re.compile(r"(?:明治|大正|昭和|[MTS])\d{1,2}[年./-]\d{1,2}[月./-]\d{1,2}日?")
#: Names of columns that hold days of visits.
EXAM = re.compile(r"^date$|scan|exam|visit|acq|mri|study|session|test|検査|撮|受診|来院|訪問")
#: Nobody living was born before; MRI was not there before.
OLDEST, FIRST_MRI = 1900, 1985
#: A name and a date, in either order, in the name of a file or folder.
_WORD = r"(?:[^\W\d_]{2,}[\s_,^.-]+[^\W\d_]{2,}|[\u4e00-\u9fff々]{2,}|[^\W\d_]{2,}\^[^\W\d_]*)"
_DAY = r"(?<!\d)(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])(?!\d)"
NAMED_FILE = re.compile(rf"({_WORD})[\s_,^.-]*(?:{_DAY})|(?:{_DAY})[\s_,^.-]*({_WORD})")
_IMAGING = """
    mri mr t1w t2w scan scans head brain anat anatomical structural raw data image images series
    study session visit mprage mp rage spgr bravo flash tfe sag sagittal ax axial tra cor coronal
    iso gre se fl tfl space flair nifti nii dicom dcm export sub ses adni oasis run acq rec orig
    original copy final test siemens philips ge prisma skyra baseline up followup follow screening
    patient subject control hc ad br sharp den uni inv post pre gad"""
#: Words of file names that are no person's.
IMAGING = frozenset(_IMAGING.split())


def without_identifying(
    scans: Sequence[Scan], census: Census, source: Path, keep: Sequence[str] = ()
) -> tuple[list[Scan], Census]:
    """Leave labels out of scans that identify a person, and say so in the census.

    Parameters
    ----------
    scans, census
        As a reader gives them.
    source
        What was read: names of files and folders below it are looked at too.
    keep
        Columns to keep whatever they hold.

    Raises
    ------
    ParameterError
        If a column to keep is not there.
    """
    subjects = [scan.subject for scan in scans]
    rows = [scan.labels for scan in scans]
    why = identifying_columns(rows, subjects, (*keep, census.label_column))
    check_there(keep, rows)
    left = [
        replace(scan, labels={k: v for k, v in scan.labels.items() if k not in why})
        if why.keys() & scan.labels.keys()
        else scan
        for scan in scans
    ]
    notes = [*left_out_notes(why), *_named_files(scans, source)]
    return left, replace(census, notes=(*notes, *census.notes)) if notes else census


def check_there(keep: Sequence[str], rows: Sequence[Mapping[str, Value]]) -> None:
    """Refuse the name of a column to keep that no scan has."""
    there = {name for row in rows for name in row}
    for name in keep:
        if rows and label_name(name) not in there:
            expected = f"one of {', '.join(sorted(there))}" if there else "no column: none is there"
            raise ParameterError("keep_columns", repr(name), expected)


def left_out_notes(why: Mapping[str, str]) -> list[str]:
    """Return what to say of columns that were left out."""
    if not why:
        return []
    columns = ", ".join(f"{name} ({reason})" for name, reason in why.items())
    return [f"{LEFT_OUT}: {columns}; --keep-column NAME (`keep_columns`) keeps one"]


def is_about_identity(note: str) -> bool:
    """Return whether a note of a census says what may identify people."""
    return note.startswith(LEFT_OUT) or NAMED in note


def identifying_columns(
    rows: Sequence[Mapping[str, Value]], subjects: Sequence[str], keep: Iterable[str] = ()
) -> dict[str, str]:
    """Return the columns that seem to identify people, and what each holds.

    Parameters
    ----------
    rows
        The labels of each scan.
    subjects
        Whose each scan is.
    keep
        Columns not to judge.
    """
    kept = USUAL | {label_name(name) for name in keep}
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        if name in kept:
            continue
        values = [(s, r) for s, r in zip(subjects, rows, strict=True) if r.get(name) is not None]
        cells = {s: normalize("NFKC", value_text(row[name])).strip() for s, row in values}
        ages = {subject: row.get("age") for subject, row in values}
        if reason := _by_name(name) or _by_content(name, cells, ages):
            found[name] = reason
    return found


def _by_name(name: str) -> str | None:
    """Judge a column by its name, `rows.column_name` having been applied."""
    plain = re.sub(r"_\d+$", "", name).removesuffix("_label")
    joined = f"_{plain}_"
    for what, words in NAMES.items():
        if plain in WHOLE.get(what, ()) or any(_holds(joined, word) for word in words.split()):
            return what
    for what, words in JAPANESE.items():
        if any(word in plain for word in words.lower().split()):
            return what
    return None


def _holds(joined: str, word: str) -> bool:
    """Return whether a name has a word at its start or end (``patient_ssn``, ``zip_home``)."""
    if word in ALONE:
        return joined == f"_{word}_"
    return joined.startswith(f"_{word}_") or joined.endswith(f"_{word}_")


def _by_content(name: str, cells: Mapping[str, str], ages: Mapping[str, Value]) -> str | None:
    """Judge a column by the cell of each person."""
    least = max(MOST * len(cells), 1)
    if name == "series" and all(map(OLD_MARK.fullmatch, cells.values())):
        return "hashes without a key"
    for what, pattern in CELLS.items():
        if sum(bool(pattern.fullmatch(text)) for text in cells.values()) >= least:
            return what
    births = sum(_is_birth(text, ages[subject]) for subject, text in cells.items())
    if births >= least and not EXAM.search(name):
        return "a birth date"
    named = {text for text in cells.values() if PERSON.fullmatch(text)}
    if len(cells) >= LEAST_PEOPLE and len(named) >= 0.8 * len(cells):
        return "a name"
    return None


def _is_birth(text: str, age: Value) -> bool:
    """Return whether a cell is a full date on which somebody of this age may have been born."""
    if ERA.fullmatch(text):
        return True
    if not re.search(r"\d\D+\d|\d{8}", text) and not re.search(r"[^\W\d_]", text):
        return False  # a number, which a spreadsheet might mean as a day
    day = date_in(text)
    this_year = datetime.now(UTC).year
    if day is None or not OLDEST <= day.year <= this_year:
        return False
    if not isinstance(age, int | float):
        return day < date(FIRST_MRI, 1, 1)
    return FIRST_MRI <= day.year + age <= this_year + 1


def _named_files(scans: Sequence[Scan], source: Path) -> list[str]:
    """Warn of files and folders whose names look like a person's, with a date."""
    named = [scan for scan in scans if any(map(names_person, _parts(scan.path, source)))]
    if not named:
        return []
    count = "1 scan lies in a file or folder" if len(named) == 1 else f"{len(named)} scans lie in"
    rest = "" if len(named) == 1 else " files or folders"
    return [
        f"{count}{rest} {NAMED} ({named[0].scan_id}): the name"
        " becomes the subject and is written into tables; rename them first, or name the subjects"
        " in a table"
    ]


def _parts(path: Path, source: Path) -> tuple[str, ...]:
    base = source if source.is_dir() else source.parent
    return path.relative_to(base).parts if path.is_relative_to(base) else (path.name,)


def names_person(name: str) -> bool:
    """Return whether the name of a file or folder looks like a person's, with a date."""
    if re.search(r"[^\W\d_]{2,}\^[^\W\d_]{2,}", name):
        return True
    for match in NAMED_FILE.finditer(name):
        words = re.findall(r"[^\W\d_]+", match[1] or match[2])
        if words and not any(word.lower() in IMAGING for word in words):
            return True
    return False
