"""Read single images, and folders of images that follow no standard.

A folder's files are judged by their names: what calls itself a T1 is taken, what calls itself
something else (mask, labels, T2, FLAIR, ...) is not, and a name that says neither is taken too, for
the quality check looks at every image. A FreeSurfer subject gives its ``orig.mgz``. Who and when is
told by folders or names (`braincase.sources.layout`); a table beside the images gives labels where
it names their people, files or the beginning of their names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from braincase.errors import UsageError
from braincase.images.header import suffix_of
from braincase.labels import Value
from braincase.sources.census import Census, no_label_note, take_census
from braincase.sources.choose import Dropped, Rank, image_marks, one_a_session
from braincase.sources.dicom_names import is_noisy_uni, is_part_of_mp2rage, is_uni
from braincase.sources.identity import (
    PATH,
    SUBJECT,
    PeopleTable,
    column_among,
    facts_of,
    folded,
    is_placeholder,
    match_names,
    unpadded,
)
from braincase.sources.image_names import (
    FREESURFER,
    FREESURFER_MADE,
    FSL_FOLDER,
    T1,
    contrast_by_name,
    entities_of,
    not_raw_folder,
    not_t1w,
    parse_name,
    stem_of,
)
from braincase.sources.layout import Place, places_of
from braincase.sources.listing import file_problem, list_source
from braincase.sources.rows import (
    SourceTable,
    clean,
    clean_subjects,
    label_column_of,
    label_name,
    read_table_file,
    session_name,
    table_files,
)
from braincase.sources.scan import Scan
from braincase.sources.tables import account, all_notes, people_of

#: What the column of the person is called in a table beside images; else it is the first.
WHO = (*SUBJECT, "id", "name", "code", "image_id", "scan_id", "case", "case_id")


def read_image_file(path: Path, subject: str | None = None) -> tuple[list[Scan], Census]:
    """Return one image file as a scan; its name gives the subject where none is given."""
    entities = entities_of(stem_of(path.name))
    name = subject or entities.get("sub") or stem_of(path.name)
    why = "as given" if subject else "from the file name"
    scan = Scan(path, clean(name) or "scan", entities.get("ses"), {}, (f"subject {name} {why}",))
    return [scan], take_census([scan])


def read_image_folder(folder: Path, label_column: str | None = None) -> tuple[list[Scan], Census]:
    """Return the T1w-like images in and under a folder, one a person and visit, and their census.

    Raises
    ------
    UsageError
        If no image is there, two images' names give the same subject, or nobody can tell which
        folders are people.
    """
    images = [path for path in list_source(folder).paths() if _is_image(path)]
    if not images:
        raise UsageError(folder, "no image", "NIfTI, Analyze or MGH files")
    candidates, dropped = _sorted_out(images, folder)
    tables, notes = _tables_beside(folder, candidates)
    ids = [name for table in tables for name in table.people]
    places = places_of(candidates, folder, ids)
    owners, told = _owners(places, tables)
    notes += [*told, *_how_told(places, folder)]
    subjects = clean_subjects((owner for owner, _, _ in owners.values()), folder)
    ranked: list[tuple[Rank, Scan]] = []
    used: dict[str, set[int]] = defaultdict(set)
    for path, (owner, joined, how) in owners.items():
        place = places[path]
        labels, evidence = _labels(tables, joined, path, place, notes, used)
        scan = Scan(path, subjects[owner], session_name(place.visit) or None, labels, ())
        ranked.append(
            (_rank(path, place), replace(scan, evidence=(*place.evidence, *how, *evidence)))
        )
    scans, second = _best(ranked, places)
    column = label_name(label_column) or label_column_of(key for s in scans for key in s.labels)
    notes += no_label_note(scans, column)
    accounts = [line for t in tables for line in account(t, len(used[t.table.name]))]
    return scans, take_census(scans, dropped + second, column, image_marks(scans), notes, accounts)


def _is_image(path: Path) -> bool:
    suffix = suffix_of(path)
    return bool(suffix) and not suffix.startswith(".img")


def _sorted_out(images: list[Path], folder: Path) -> tuple[list[Path], Dropped]:
    """Split images into those that may be T1w by their names and the others with the reason."""
    names = {(path.parent, path.name) for path in images}
    stems = {stem_of(path.name).lower() for path in images}
    candidates: list[Path] = []
    dropped: Dropped = []
    for path in images:
        folders = path.relative_to(folder).parts[:-1]
        reason = not_raw_folder(folders, path.name) or _reason(path, names, stems)
        if reason:
            dropped.append((str(path), reason))
        else:
            candidates.append(path)
    made = [path for path in candidates if any(map(FSL_FOLDER.fullmatch, path.parts))]
    if len(made) < len(candidates):  # else they are all there is
        dropped += [(str(path), "made by FSL, by its folder") for path in made]
        candidates = [path for path in candidates if path not in set(made)]
    return candidates, dropped


def _reason(path: Path, names: set[tuple[Path, str]], stems: set[str]) -> str:
    """Return why an image is no T1w by its name, or no image, or an empty string."""
    return reason_against(path, names, stems) or file_problem(path)


def reason_against(path: Path, names: set[tuple[Path, str]], stems: set[str]) -> str:
    """Return why an image is no T1w by its name, or an empty string; the file is not looked at.

    Parameters
    ----------
    path
        The image.
    names
        Folder and file name of all images beside it.
    stems
        Their names without suffix, in lower case.
    """
    if path.name in FREESURFER:
        holder = path.parent.parent.name if path.parent.name == "mri" else path.parent.name
        if FREESURFER_MADE.match(holder):
            return f"FreeSurfer's {holder}: a template or made from other visits, no person's scan"
        best = next(name for name in FREESURFER if (path.parent, name) in names)
        return "" if path.name == best else f"FreeSurfer's {best} is used"
    inside = [folder for folder in path.parents if folder.name == "mri"]
    if any((folder, name) in names for folder in inside for name in FREESURFER):
        return "made by FreeSurfer"
    stem = stem_of(path.name)
    if any(map(is_uni, stems)) and is_part_of_mp2rage(stem):
        return "a part of an MP2RAGE, not its T1w image"
    return not_t1w(stem, stems)


def _rank(path: Path, place: Place) -> Rank:
    """Order images of one visit: raw, without contrast medium, T1 by name, the plainest name."""
    enhanced = contrast_by_name(stem_of(path.name)) is True
    noisy = is_noisy_uni(stem_of(path.name))
    named = 0 if T1.search(path.name) else 1 if not parse_name(path.name).person else 2
    return bool(place.copy), enhanced, noisy, named, len(path.name), path.name


def _best(
    ranked: Iterable[tuple[Rank, Scan]], places: Mapping[Path, Place]
) -> tuple[list[Scan], Dropped]:
    """Keep one scan a visit; copies of it are said to be made from it."""
    scans, second = one_a_session(ranked)
    kept = {scan.scan_id: scan for scan in scans}
    by_path = {str(path): place for path, place in places.items()}
    owner = {str(scan.path): scan.scan_id for _, scan in ranked}
    dropped: Dropped = []
    for where, why in second:
        copy = by_path[where].copy
        best = kept[owner[where]].path
        if "another T1w" not in why:
            pass  # it is damaged
        elif contrast_by_name(stem_of(Path(where).name)):
            why = f"after contrast medium by its name; {best.name} is used"
        elif copy.startswith("with "):
            why = f"its name is that of another image {copy}: its copy; {best.name} is used"
        elif copy:
            why = f"made from another image by its name ({copy}); {best.name} is used"
        dropped.append((where, why))
    return scans, dropped


def _tables_beside(folder: Path, images: Sequence[Path]) -> tuple[list[PeopleTable], list[str]]:
    """Return the folder's tables by the column that names the people, and what to say of them."""
    tables, notes = [], []
    words = _words(folder, images)
    for path in table_files(folder):
        if reason := file_problem(path):
            notes.append(f"{path.name}: {reason}; its labels are missing")
            continue
        table = read_table_file(path)
        who, note = _who(table, words)
        notes += note
        if who is None or not table.rows:
            notes.append(f"{path.name}: a table without rows")
            continue
        where = column_among([c for c in table.columns if c != who], PATH)
        people = people_of(table, who, [where] if where else [])
        tables.append(people)
        notes += all_notes(people)
    return tables, notes


def _words(folder: Path, images: Sequence[Path]) -> set[str]:
    """Return the names of folders and files, and their beginnings, as a table may name people."""
    names = {part for path in images for part in path.relative_to(folder).parts[:-1]}
    stems = {stem_of(path.name) for path in images}
    parts = {stem[: match.start()] for stem in stems for match in re.finditer(r"[\W_]", stem)}
    return {folded(word) for word in names | stems | parts} - {""}


def _who(table: SourceTable, words: set[str]) -> tuple[str | None, list[str]]:
    """Return the column of a table that names people: by its header, unless only another's fit."""
    named = column_among(table.columns, WHO)
    first = table.columns[0] if table.columns else None
    fits = {
        column: len({folded(cell) for cell in table.cells(column)} & words)
        for column in table.columns
    }
    best = max(fits, key=lambda column: (fits[column], column == named), default=None)
    if best in (None, named) or not fits[str(best)] or (named and fits[named]):
        return named or first, []
    if named is None and best == first:
        return first, []
    header = table.headers.get(str(best), str(best))
    return best, [f"{table.name}: people by {header}: its names are those of the images"]


def _owners(
    places: Mapping[Path, Place], tables: Sequence[PeopleTable]
) -> tuple[dict[Path, tuple[str, dict[str, str], list[str]]], list[str]]:
    """Return whose each image is, by which name in which table, and how that was found.

    A table's name is an image's where the image's person or file is called so, or its file's name
    begins so; else where they differ by zeros, marks or case only and nobody else could be meant.
    """
    owners: dict[Path, tuple[str, dict[str, str], list[str]]] = {}
    notes: list[str] = []
    joined: dict[Path, dict[str, str]] = {path: {} for path in places}
    how: dict[Path, list[str]] = {path: [] for path in places}
    for table in tables:
        ids = sorted(table.people, key=len, reverse=True)
        files = _files_named(table)
        begun = {
            path: files.get(path.name) or _begins(path, place, ids)
            for path, place in places.items()
        }
        rest = {place.person for path, place in places.items() if not begun[path]}
        cores = {person: parse_name(f"{person}.nii").person or person for person in rest}
        free = [name for name in ids if name not in begun.values()]
        match = match_names(rest, free, table.table.name)
        by_core = match_names(
            [core for person, core in cores.items() if person not in match.names],
            [name for name in free if name not in match.names.values()],
            table.table.name,
        )
        notes += by_core.notes if by_core.names else match.notes
        for path, place in places.items():
            name = begun[path] or match.names.get(place.person)
            name = name or by_core.names.get(cores.get(place.person, ""))
            if name:
                joined[path][table.table.name] = name
            if name and name != place.person:
                how[path].append(f"{name} in {table.table.name} is {place.person}")
    for path, place in places.items():
        names = list(joined[path].values())
        # A table names people better than files do: P1 is the person of P1-T1.nii.
        plain = not any("folder" in line or "sub-" in line for line in place.evidence[:1])
        by_file = plain and not entities_of(stem_of(path.name)).get("sub")
        # But 1 for 001.nii has lost its zeros in a spreadsheet.
        whole = bool(names) and (
            names[0] in path.name.split("_") or not _lost_zeros(names[0], path)
        )
        owner = names[0] if by_file and whole else place.person
        owners[path] = (owner, joined[path], how[path])
    return owners, notes


def _lost_zeros(name: str, path: Path) -> bool:
    """Say whether a table's name is a file's but for the zeros in front of its numbers."""
    stem = stem_of(path.name)
    return folded(stem) != folded(name) and unpadded(stem) == unpadded(name)


def _files_named(table: PeopleTable) -> dict[str, str]:
    """Return the person of each file that a table names in a column of its own."""
    where = column_among(table.table.columns, PATH)
    if where is None:
        return {}
    rows = table.table.rows
    named = [
        (Path(rows[i].get(where, "")).name, name)
        for name, person in table.people.items()
        for i in person.rows
    ]
    owners: dict[str, set[str]] = defaultdict(set)
    for file, name in named:
        owners[file].add(name)
    return {file: names.pop() for file, names in owners.items() if file and len(names) == 1}


def _begins(path: Path, place: Place, ids: Sequence[str]) -> str:
    """Return the longest of a table's names that is the image's person, file or its beginning."""
    stem = stem_of(path.name)
    if place.person in ids:
        return place.person
    for name in ids:
        if name in (path.name, stem, f"sub-{place.person}"):
            return name
    if "folder" in place.evidence[0]:
        return ""
    return next((n for n in ids if re.match(re.escape(n) + r"(?![0-9A-Za-z])", stem)), "")


def _labels(
    tables: Sequence[PeopleTable],
    joined: Mapping[str, str],
    path: Path,
    place: Place,
    notes: list[str],
    used: dict[str, set[int]],
) -> tuple[dict[str, Value], list[str]]:
    """Return what all tables say of one image, the first one winning, and the evidence."""
    labels: dict[str, Value] = {}
    evidence: list[str] = []
    for table in tables:
        if table.table.name not in joined:
            continue
        name = joined[table.table.name]
        facts = facts_of(table, name, place.visit or None)
        notes += facts.notes
        evidence += facts.evidence
        used[table.table.name] |= set(table.people[name].rows) if facts.evidence else set()
        for key, value in facts.labels.items():
            if labels.setdefault(key, value) != value:
                notes.append(f"{name}: {key} is {labels[key]}, but {value} in {table.table.name}")
    if contrast_by_name(stem_of(path.name).replace("post", "")):
        labels["contrast_medium"] = "yes"
        evidence.append("contrast_medium from the file name")
    if place.group and "group" not in labels:
        labels["group"] = place.group
        evidence.append(f"group {place.group} from the folder name")
    return labels, evidence


def _alike(people: Iterable[str]) -> list[str]:
    """Return names that have a number and differ by another, short one at their end only."""
    together: dict[str, dict[str, str]] = defaultdict(dict)
    for person in people:
        match = re.fullmatch(r"(.*\d.*)_(\d{1,2})", parse_name(f"{person}.nii").person)
        if match:
            together[match[1]][match[2]] = person
    return [
        name for group in together.values() if len(group) > 1 for name in sorted(group.values())
    ]


def _how_told(places: Mapping[Path, Place], folder: Path) -> list[str]:
    """Say in general how people were told apart, and where that is to be looked at."""
    by_folder = {p.person for p in places.values() if "folder" in p.evidence[0]}
    notes = []
    if by_folder:
        some = ", ".join(sorted(by_folder)[:3]) + (", ..." if len(by_folder) > 3 else "")
        notes.append(f"people from the names of folders: {some}")
    copies = sorted({p.person for p in places.values() if p.copy})
    raw = {p.person for p in places.values() if not p.copy}
    if only := [name for name in copies if name not in raw]:
        notes.append(f"only processed images of {', '.join(only[:3])}: one of them is used")
    if alike := _alike(p.person for p in places.values() if "file name" in p.evidence[0]):
        notes.append(
            f"{', '.join(alike[:2])}: alike but for a last number: one's visits? They count as "
            "people of their own; a table with path, subject and session says it"
        )
    if nobody := sorted({p.person for p in places.values() if is_placeholder(p.person)}):
        notes.append(f"{', '.join(nobody)}: a placeholder's name; is it one person?")
    return notes
