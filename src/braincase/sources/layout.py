"""Folder layout inference: which level of folders, or the file's name, is the person and the visit.

Names are weighed as a whole: the level that tells people apart is the first whose names are no
words for places, groups, dates or visits. Where two levels could both be people, nothing is
guessed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from braincase.errors import UsageError
from braincase.sources.image_names import (
    DAY,
    FREESURFER,
    GROUPS,
    PLACES,
    T1,
    VISIT,
    as_copy_of,
    contrast_by_name,
    entities_of,
    parse_name,
    person_and_visit,
    stem_of,
    within,
)

#: Folders of so many digits are people's, not series'.
LONG_NUMBER = 3
#: Day and time of an examination, as LONI's archives (ADNI, PPMI, AIBL) name folders.
ARCHIVE_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)_\d\d_\d\d_\d\d(?:\.\d+)?")


@dataclass(frozen=True)
class Place:
    """Who and when, as the place of an image tells it.

    Parameters
    ----------
    person
        The person's name, as it is written; images of one person share it.
    visit
        The visit's name, or empty.
    copy
        What a program did to the image; empty for a raw one.
    group
        The folder of people of one kind that it lies in, or empty.
    evidence
        What told it, one line each.
    """

    person: str
    visit: str
    copy: str
    group: str
    evidence: tuple[str, ...]


def places_of(paths: Sequence[Path], folder: Path, ids: Sequence[str] = ()) -> dict[Path, Place]:
    """Return who and when each image is.

    Parameters
    ----------
    paths
        The images, below `folder`.
    folder
        The source.
    ids
        Names of people in a table beside the images: a level of folders with these names is theirs.

    Raises
    ------
    UsageError
        If two levels of folders could both be the people.
    """
    folders = {path: path.relative_to(folder).parts[:-1] for path in paths}
    places: dict[Path, Place] = {}
    left = []
    for path in paths:
        place = (
            _by_entities(path, folders[path])
            or _by_freesurfer(path, folders[path], folder)
            or _by_archive(path, folders[path])
        )
        if place:
            places[path] = place
        else:
            left.append(path)
    levels = {path: _level(folders[path], ids) for path in left}
    _check_levels({path: folders[path] for path in left}, levels, ids, folder)
    told = _told_by_folders(levels, folders)
    by_folder = [path for path in left if path in told]
    by_name = [path for path in left if path not in told]
    places |= {path: _by_folder(path, folders[path], levels[path]) for path in by_folder}
    named = _by_names(by_name, folders)
    places |= _as_in_folders(named, {place.person for place in places.values()})
    by_level = {path: levels.get(path) for path in paths if path not in by_name}
    above = {path: folders[path][: by_level.get(path)] for path in paths}
    return _apart_by_groups(places, above, set(by_name))


def _as_in_folders(named: dict[Path, Place], people: set[str]) -> dict[Path, Place]:
    """Give a file beside folders to the person of one: ``P1_T1.nii`` beside ``P1/`` is of P1."""
    folded = {re.sub(r"[\W_]", "", person).lower(): person for person in people}
    merged = {}
    for path, place in named.items():
        core = parse_name(path.name).person.replace("_", "")
        owner = folded.get(core)
        why = f"the folder or file {owner} beside it is of the same person"
        same = (
            place
            if owner is None
            else replace(place, person=owner, evidence=(*place.evidence, why))
        )
        merged[path] = same
    return merged


def _by_entities(path: Path, folders: Sequence[str]) -> Place | None:
    """Return what ``sub-`` and ``ses-`` in the file's name, or else in its folders, tell."""
    named = entities_of(stem_of(path.name))
    above: dict[str, str] = {}
    for part in folders:
        match = re.fullmatch(r"(sub|ses)-(.+)", part)
        if match:
            above[match[1]] = match[2]
    person = named.get("sub") or above.get("sub")
    if not person:
        return None
    visit = named.get("ses") or above.get("ses") or ""
    where = "file name" if named.get("sub") else f"folder sub-{person}"
    evidence = [f"subject {person} from the {where}"]
    if visit:
        evidence.append(f"session {visit} from the {'file name' if named.get('ses') else 'folder'}")
    return Place(person, visit, parse_name(path.name).copy, "", tuple(evidence))


def _by_freesurfer(path: Path, folders: Sequence[str], folder: Path) -> Place | None:
    if path.name not in FREESURFER:
        return None
    parts = folders[:-1] if folders and folders[-1] == "mri" else folders
    holder, visit = person_and_visit(parts[-1] if parts else folder.resolve().name)
    evidence = [f"subject {holder} from FreeSurfer's folder"]
    evidence += [f"session {visit} from FreeSurfer's folder"] if visit else []
    return Place(holder, visit, "", "", tuple(evidence))


def _by_archive(path: Path, folders: Sequence[str]) -> Place | None:
    """Return what the folders of a LONI download tell: ``3102/MPRAGE/2011-01-20_11_02_00.0/I1``."""
    for i, name in enumerate(folders):
        if i > 1 and (match := ARCHIVE_TIME.fullmatch(name)):
            person, visit = folders[i - 2], "".join(match.groups())
            evidence = (
                f"subject {person} from the folder name",
                f"session {visit} from the folder",
            )
            return Place(person, visit, parse_name(path.name).copy, "", evidence)
    return None


def _apart_by_groups(
    places: dict[Path, Place], above: Mapping[Path, Sequence[str]], by_name: set[Path]
) -> dict[Path, Place]:
    """Tell people apart whose names come again in another group: numbers begin anew at each site.

    Parameters
    ----------
    places
        As found so far.
    above
        The folders above each image's person.
    by_name
        The images whose person is in their file's name: their folders are no people's.
    """

    def group(path: Path) -> tuple[str, ...]:
        return tuple(
            name
            for name in above[path]
            if GROUPS.fullmatch(name)
            or (path in by_name and not PLACES.fullmatch(name) and not _is_visit(name))
        )

    groups: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for path, place in places.items():
        if not place.copy and group(path):
            groups[place.person].add(group(path))
    apart = dict(places)
    for path, place in places.items():
        if len(groups[place.person]) > 1 and group(path):
            name = "_".join((*group(path), place.person))
            why = f"{place.person} stands in {len(groups[place.person])} groups: one person in each"
            apart[path] = replace(place, person=name, evidence=(*place.evidence, why))
    return apart


def _level(folders: Sequence[str], ids: Sequence[str]) -> int | None:
    """Return which of the folders above an image is the person's, or None."""
    for i, name in enumerate(folders):
        if name in ids:
            return i
    visits = [i for i, name in enumerate(folders) if i and _is_visit(name) and not name.isdigit()]
    for i in range(visits[0] - 1 if visits else -1, -1, -1):  # the folder that holds the visits
        place = PLACES.fullmatch(folders[i]) and not _is_long_number(folders[i])
        if not (place or GROUPS.fullmatch(folders[i]) or _is_visit(folders[i])):
            return i
    for i, name in enumerate(folders):
        if _is_long_number(name) and not _numbered("".join(folders[i + 1 : i + 2])):
            return i  # 100307/unprocessed/...
        if not (PLACES.fullmatch(name) or GROUPS.fullmatch(name) or _is_visit(name)):
            return i
    numbered = [i for i, name in enumerate(folders) if re.fullmatch(r"\d{1,8}", name)]
    numbered = [i for i in numbered if not DAY.fullmatch(folders[i])]
    return numbered[0] if numbered else None


def _is_long_number(name: str) -> bool:
    return len(name) >= LONG_NUMBER and name.isdigit() and not re.fullmatch(r"(19|20)\d\d", name)


def _numbered(name: str) -> bool:
    return bool(re.search(r"\d", name))


def _is_visit(name: str) -> bool:
    return bool(VISIT.fullmatch(name) or DAY.fullmatch(name))


def _check_levels(
    folders: Mapping[Path, Sequence[str]],
    levels: Mapping[Path, int | None],
    ids: Sequence[str],
    folder: Path,
) -> None:
    """Refuse two levels of folders that could both be people.

    Below one folder that seems a person's there may be several folders that are no visits and
    never come again elsewhere: people of a site, or numbers of examinations.
    """
    below: dict[str, set[str]] = defaultdict(set)
    for path, level in levels.items():
        if level is None or folders[path][level] in ids:
            continue
        inner = [n for n in folders[path][level + 1 :] if not PLACES.fullmatch(n) or n.isdigit()]
        inner = [n for n in inner if not _is_visit(n) and not GROUPS.fullmatch(n)]
        inner = [n for n in inner if n.isdigit() or parse_name(f"{n}.nii").person]  # no series
        if inner:
            below[folders[path][level]].add(inner[0])
    several = {outer: names for outer, names in below.items() if len(names) > 1}
    inner_names = [name for names in below.values() for name in names]
    again = len(inner_names) > len(set(inner_names))
    numbered = all(re.search(r"\d", name) for name in inner_names)
    if not several or (again and not (numbered and not any(map(_numbered, below)))):
        return  # one each, or the same names in each of P1, P2, ...: visits or series
    outer, names = next(iter(several.items()))
    if all(re.sub(r"\W", "", outer).lower() in re.sub(r"\W", "", n).lower() for n in names):
        return  # P001/P001_MR1, P001/P001_MR2
    found = (
        f"folders {outer}/{', '.join(sorted(names)[:3])}: is {outer} a person or a group of people?"
    )
    expected = "folders of people with folders of visits (visit1, 2020-01-31, ses-1)"
    advice = "Write a table with the columns path, subject and session, and prepare that."
    raise UsageError(folder, found, expected, advice)


def _told_by_folders(
    levels: Mapping[Path, int | None], folders: Mapping[Path, Sequence[str]]
) -> set[Path]:
    """Return the images whose person a folder names.

    Where the files of one folder name several people, the folder is a group of them.
    """
    together: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path, level in levels.items():
        if level is not None:
            together[tuple(folders[path][: level + 1])].append(path)
    groups = {top for top, paths in together.items() if _names_of_people(paths, top[-1])}
    if groups:  # beside a group of people a folder of one is a group too
        groups |= {
            top
            for top, paths in together.items()
            if not re.search(r"\d", top[-1]) and all(_core(path, "") for path in paths)
        }
    return {path for top, paths in together.items() if top not in groups for path in paths}


def _names_of_people(paths: Sequence[Path], outer: str) -> bool:
    own = re.sub(r"\W|_", "", outer).lower()
    people = {_core(path, own) for path in paths} - {""}
    if len(people) < 2:
        return False
    return all(re.search(r"\d", person) for person in people) and not re.search(r"\d", outer)


def _core(path: Path, own: str) -> str:
    """Return the person in a file's name, unless it is the folder's own."""
    person = parse_name(path.name).person.replace("_", "")
    return "" if own and (own in person or person in own) else person


def _by_folder(path: Path, folders: Sequence[str], level: int | None) -> Place:
    assert level is not None  # `_folder_tells` has looked
    person, own = person_and_visit(folders[level])
    name = parse_name(path.name)
    visits = [own] if own else []
    visits += [
        part
        for part in folders[level + 1 :]
        if _is_visit(part) or not (PLACES.fullmatch(part) or _is_series(part))
    ]
    visits += [part for part in folders[:level] if _is_visit(part)]
    visit = visits[0] if visits else name.visit
    evidence = [f"subject {person} from the folder name"]
    if visit:
        evidence.append(f"session {visit} from the {'folder' if visits else 'file'} name")
    return Place(person, visit, name.copy, _group(folders[:level]), tuple(evidence))


def _is_series(name: str) -> bool:
    """Say whether a folder is one of a series: ``003_t1_mprage``, ``T1w_MPR1``."""
    if not parse_name(f"{name}.nii").person:
        return True
    match = re.fullmatch(r"\d{1,4}[-_ ](.+)", name)
    return bool(match and (T1.search(match[1]) or not parse_name(f"{match[1]}.nii").person))


def _group(folders: Sequence[str]) -> str:
    groups = [name for name in folders if GROUPS.fullmatch(name)]
    return groups[-1] if groups else ""


def _by_names(paths: Sequence[Path], folders: Mapping[Path, Sequence[str]]) -> dict[Path, Place]:
    """Return who and when each image is by its name; copies go to the person they are made from."""
    names = {path: parse_name(path.name) for path in paths}
    stems = {stem_of(path.name).lower() for path in paths}
    people = {name.person for name in names.values()} - {""}
    visits = any(name.visit for name in names.values())
    grouped: dict[str, list[Path]] = defaultdict(list)
    spm: dict[Path, str] = {}
    for path, name in names.items():
        other = as_copy_of(name.stem, stems - {name.stem.lower()}, people - {name.person})
        if other:
            spm[path] = "a prefix of SPM"
        # The raw image's name may itself hold another's: mS1_t1 is of S1_t1, that of S1.
        whole, more = within(other or name.person, people)
        if more and contrast_by_name(name.stem) is None:
            spm.setdefault(path, f"with {more} more in its name")
        grouped[whole or other or name.person or name.stem.lower()].append(path)
    places = {}
    for key, of_person in grouped.items():
        raw = [p for p in of_person if p not in spm and not names[p].copy] or of_person
        best = min(raw, key=lambda path: (len(path.name), path.name))
        person = _spelled(names[best].stem, key) if visits or not key else names[best].stem
        where = len({path.parent for path in of_person}) > 1 and not names[best].person
        for path in of_person:
            name = names[path]
            holder = path.parent.name if where else person
            evidence = [f"subject {holder} from the {'folder' if where else 'file'} name"]
            if path in spm or name.copy:
                evidence.append(f"a copy by its name ({name.copy or spm[path]})")
            above = [part for part in folders[path] if _is_visit(part)]
            visit = above[-1] if above else name.visit
            if visit:
                evidence.append(f"session {visit} from the {'folder' if above else 'file'} name")
            copy = name.copy or spm.get(path, "")
            places[path] = Place(holder, visit, copy, _group(folders[path]), tuple(evidence))
    return places


def _spelled(stem: str, key: str) -> str:
    """Return a person's name with the letters as they stand in the file's name."""
    words = [re.escape(word) for word in key.split("_")]
    match = re.search(r"[\W_]+".join(words), stem, re.IGNORECASE)
    return match[0] if match else key
