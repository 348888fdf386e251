"""File name parsing: kind of image, person, visit, and what was made from which."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from braincase.images.header import suffix_of
from braincase.sources.dicom_names import tells_contrast

#: Words for what is made from an image and is none of a head, such as ``brainmask`` or ``T1_seg``.
MADE = re.compile(
    r"(?:^|[^a-z])(?:brain|head|skull|lesion|tumou?r|wm|gm|csf|bet|bone|csf)?(?:mask|seg|segmentation|"
    r"labels?|labelled|atlas|dlmuse|dlicv|aparc|aseg|wmparc|ribbon|parcellation|parc|warp|warped|"
    r"fieldmap|prob|probseg|qc|pve|pveseg|mixeltype|bias|biasfield|skull|jacobian|lesion|lesions|"
    r"overlay|thickness|distance|dseg|probmap|tissue|pbmap|affine|invwarp|inversewarp|mesh|outskin|"
    r"outskull|inskull|all_fast_firstseg|firstseg|wmh|tumou?r|fast_restore_mask)(?![a-z])",
    re.IGNORECASE,
)
#: SPM's and CAT12's tissue maps and fields: a prefix before the image's own name.
SPM_MAPS = re.compile(
    r"^(?:c[1-6]|rc[1-6]|m?wc[1-6]|m?wp[0-6]|rp[1-6]|p[0-6]|i?y_|j_|u_rc)(?=[a-z0-9])", re.I
)
#: Prefixes of copies are a chain of operations: SPM's letters (``s8mwc1`` is smoothed, modulated,
#: warped, class 1), AFNI's ``anatSS.``, a file manager's ``Copy of``.
_MAP = r"c[1-6]|p[0-6]|i?y_|j_|u_"
_COPY = (
    r"s\d{0,2}|mi|co|bf_|n[34]_?|reg_|warped_|brain_|bet_|anat(?:qq|ss|ua?)[._]|[mwraofn]|"
    r"(?:copy|kopie|copie|copia)[-_ ](?:of|von|de|di)[-_ ]"
)
OPERATIONS = re.compile(rf"(?:{_MAP}|{_COPY})+")
MAPS = re.compile(rf"(?:{_COPY})*(?:{_MAP})(?:{_COPY}|{_MAP})*")
LONGEST_PREFIX = 16
#: Words for a copy of the head that a program changed, from the least to the most.
COPY = re.compile(
    r"[_.\-\s](roi\d*|fast|inversewarped|brainextraction\w*|brainnormali\w*|unifized?|"
    r"crop(?:ped)?(?:_?\d+)?|eq(?:_?\d+)?|tilt(?:_?\d+)?|reorient(?:ed)?|reo|fullfov|"
    r"biascorr(?:ected)?|biascorrected|bfc|n4(?:itk|bfc|corrected|biascorr\w*)?|n3|nu|restore|denoised?|"
    r"deface[d]?|mideface|anonymi[sz]ed|anon|acpc|conform(?:ed)?|resampled?|res\d|normali[sz]ed|"
    r"brain|brainextracted|bet|bet2|betted|sbj_111|skullstrip(?:ped)?|stripped|noskull|hdbet|synthstrip|"
    r"to[_-]?(?:mni|std|standard|template|atlas|t2|flair)\w*|2std|2mni\w*|mni\w*|std|talairach|"
    r"registered|reg|coreg(?:istered)?|flirt|fnirt|ants|warped|inmni|nonlin|"
    r"averaged?|avg|template|smooth(?:ed)?|preproc(?:essed)?|processed|final|clean)"
    r"(?=$|[_.\-\s])",
    re.IGNORECASE,
)
#: dcm2niix's further volumes of a series: other echoes, phase, parts.
PARTS = re.compile(r"_(?:e(?:[2-9]|\d\d)|ph|phase|imaginary|real|phMag)(?=$|_)")
#: Words for other kinds of image.
OTHER = re.compile(
    r"(?:^|[^a-z])((?:inplane)?(?:t2[a-z]?|t2star|flair|pd|pdw|dwi|dti|adc|bold|fmri|rest(?:ing)?|epi|asl|swi|mra|"
    r"tof|ct|pet|fdg|localizer|localiser|scout|mp2rage_inv\d|unit1|t1map|b0|fa|md|trace))(?![a-z])",
    re.IGNORECASE,
)
T1 = re.compile(r"(?:^|[^a-z0-9])t1(?![0-9])|mp-?rage|spgr|bravo|^orig", re.IGNORECASE)
#: Templates, that are nobody.
TEMPLATE = re.compile(
    r"(?:^|[_-])(?:mni[-_]?(?:icbm)?[-_]?152|icbm[-_]?152|avg\d*t?1?[-_]?152|tpl-|single_?subj|colin_?27|"
    r"fsaverage|tpm$|ch2(?:better)?$)",
    re.IGNORECASE,
)
#: FreeSurfer's volumes, the first that exists is taken.
FREESURFER = ("orig.mgz", "rawavg.mgz", "T1.mgz", "nu.mgz", "brain.mgz", "brainmask.mgz")
#: FreeSurfer's people that nobody is: templates, and what is made from several visits.
FREESURFER_MADE = re.compile(r"^(fsaverage\d?|cvs_avg35\w*|bert_template|.*\.long\..*|.*[._]base)$")
#: Words of a name that say what an image is, not whose.
SEQUENCE = re.compile(
    r"t1[wn]?|t1_?weighted|mp2?rage|mpr|mp-rage|spgr|ir-?fspgr|fspgr|bravo|tfe|flash|vibe|memprage|me|"
    r"anat(?:omical|omy)?|struct(?:ural)?|highres|hires|hr|3d|2d|sag(?:ittal)?|ax(?:ial)?|cor(?:onal)?|tra|"
    r"iso|p2|ns|image|images|img|scan|scans|brain|head|mri|mr|nifti|nii|vol(?:ume)?|raw|orig(?:inal)?|"
    r"ses|series|study|data|file|input|native|space|ds|w|post|pre|nav|vnav|setter|grappa|sense|"
    r"uniden|1mm|2mm|1p0|1x1x1|gre|se|norm|dis3d|dis2d|nd|run\d*|rep(?:eat)?\d*|acq\d*|mpr\d+|rec|dicom",
    re.IGNORECASE,
)
#: Those of them that before a stronger one may be somebody's, or a visit.
WEAK = {
    *("p2", "ns", "hr", "me", "ses", "se", "nd", "w", "acq", "rec", "iso", "norm", "pre", "post"),
    *("ds", "nav", "study", "file", "gre", "2d", "3d"),
}
#: Words that are a visit, and dates.
VISIT = re.compile(
    r"(?:ses|session|visit|vis|v|mr|tp|timepoint|time|wave|year|yr|y|month|mo|m|fu|followup|t|scan|day|d|w|"
    r"week|baseline|bl|screening|sc)[-_]?\d{1,4}|bl|base(?:line)?|follow-?up|fu|initial|first|second|third|"
    r"pre|post|preop|postop|before|after|screening|retest|test-?retest|"
    r"verlauf|nachuntersuchung|erstuntersuchung|ausgangswert|suivi|inclusion|seguimiento|basal|"
    r"初回|再検|再診|治療前|治療後|術前|術後|\d+(?:mo|m|y|yr|months?|years?|w)",
    re.IGNORECASE,
)
#: ``m12``, ``v2`` and the like, apart from words that are visits alone.
DAY = re.compile(
    r"(?:19|20)\d{2}[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])(?:[-_T]?\d{2}.*)?"
)
#: Eight digits with the year last: which is the month is not said, but it is a date.
DAY_LAST = re.compile(r"(?:0[1-9]|[12]\d|3[01])[-_.]?(?:0[1-9]|[12]\d|3[01])[-_.]?(?:19|20)\d{2}")
#: What anybody is called, before a number.
ANYBODY = re.compile(
    r"(?:sub|subj|pt|pat|patient|proband|vp|id|no|nr|person|p|s|case)$", re.IGNORECASE
)
#: Numbers joined by full stops are day first everywhere.
EUROPEAN = re.compile(r"(0?[1-9]|[12]\d|3[01])\.(0?[1-9]|1[0-2])\.((?:19|20)\d{2})")
#: Folders that say what lies in them, not whose.
PLACES = re.compile(
    r"anat|anatomical|func|dwi|mri|mr|nifti|nii|niftis|dicom|images?|img|scans?|raw|rawdata|data|orig|"
    r"processed|t1|t1w|mprage|mp-?rage|structural|struct|subjects?|patients?|participants?|people|cohort|"
    r"unprocessed|preprocessed|mninonlinear|[137](?:\.5)?t|backup|archive|old|"
    r"disc\d*|part\d*|batch\d*|\d+|nii_?gz|files|output|input|export|download|unzipped|brains?|heads?",
    re.IGNORECASE,
)
#: Folders of what is made from images, and of other kinds of image.
MADE_FOLDER = re.compile(
    r"derivatives|sourcedata|masks?|brain_?masks?|labels?|seg(?:mentation)?s?|lesions?|warps?|"
    r"transforms?|fmap|qc|tissue_?maps?|fsl|spm|spm12|cat12|ants|fmriprep|smriprep|mriqc",
    re.IGNORECASE,
)
OTHER_FOLDER = re.compile(
    r"t2\w?|t2[_-]?w|t2_?flair|flair|pd|dwi|dti|diffusion|adc|func|fmri|bold|rest|epi|asl|perf|swi|"
    r"mra|tof|ct|pet|fdg|localizers?|fieldmaps?",
    re.IGNORECASE,
)
#: Folders that FSL makes beside a scan.
FSL_FOLDER = re.compile(r"(.+)\.(anat|feat|ica|bedpostX)", re.IGNORECASE)
#: Folders that are groups of people.
GROUPS = re.compile(
    r"cn|nc|hc|ctrl|ad|mci|emci|lmci|smc|dementia|ftd|pd|ms|controls?|healthy|patients?|normals?|cases?|"
    r"train|test|val(?:idation)?|site\W?\w+|center\W?\w+|centre\W?\w+|group\W?\w+|batch\W?\w+|asd|td|"
    r"schizophrenia|depression|adhd|bipolar|健常|患者|対照|kontrolle?n?|patienten",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ImageName:
    """What a file's name says.

    Parameters
    ----------
    stem
        Without its ending.
    person
        What is left when the words about image, visit and processing are taken out; to compare.
    visit
        The words about a visit or date, joined; empty where there are none.
    copy
        What a program did to the image, by its name; empty for a raw one.
    """

    stem: str
    person: str
    visit: str
    copy: str


def stem_of(name: str) -> str:
    """Return a file's name without the ending of an image."""
    from pathlib import Path

    suffix = suffix_of(Path(name))
    return name[: -len(suffix)] if suffix else name


def contrast_by_name(stem: str) -> bool | None:
    """Say whether a name says "after contrast medium" or "plain"; its first word is whose."""
    first, mark, rest = stem.partition("_") if "_" in stem else stem.partition("-")
    return tells_contrast(rest if mark and not T1.match(first) else stem)


def entities_of(stem: str) -> dict[str, str]:
    """Return the ``key-value`` pairs of a BIDS file name."""
    pairs = (part.partition("-") for part in stem.split("_"))
    return {key: value for key, dash, value in pairs if dash}


def not_t1w(stem: str, stems: Collection[str] = ()) -> str:
    """Return why a name is of no T1-weighted image, or an empty string.

    Parameters
    ----------
    stem
        The name.
    stems
        The names of all images of the source, in small letters.
    """
    if TEMPLATE.match(stem):
        return "a template by its name, no person's scan"
    if MADE.search(_parted(stem)):
        return "a mask, label map or other derived image by its name"
    if _is_spm_map(stem, stems):
        return "a tissue map or field of SPM or CAT12 by its name"
    if PARTS.search(stem):
        return "another echo, phase or part of a series by its name"
    entities = entities_of(stem)
    if processed := [
        f"{k}-{entities[k]}" for k in ("desc", "space", "label", "atlas") if k in entities
    ]:
        return f"a processed image ({', '.join(processed)})"
    other = None if T1.search(stem) else OTHER.search(stem)
    return f"no T1w by its name ({other.group(1)})" if other else ""


def not_raw_folder(folders: Sequence[str], name: str) -> str:
    """Return why the folders of an image say that it is no raw T1w, or an empty string."""
    for folder in folders:
        if MADE_FOLDER.fullmatch(folder):
            return f"in {folder}/, which holds no raw images"
        series = re.fullmatch(r"\d{1,4}[-_ ](.+)", folder)
        other = series and not T1.search(folder) and OTHER.search(series[1])
        if (OTHER_FOLDER.fullmatch(folder) or other) and not T1.search(name):
            return f"no T1w by its folder ({folder})"
    return ""


def _is_spm_map(stem: str, stems: Collection[str]) -> bool:
    """Say whether SPM made a map of an image; ``c10`` and ``p01`` may be people."""
    if any(MAPS.fullmatch(prefix) and rest in stems for prefix, rest in _prefixes(stem)):
        return True
    match = SPM_MAPS.match(stem)
    return match is not None and not re.match(r"\d+(?![\dA-Za-z])", stem[match.end() :])


def _prefixes(stem: str) -> Iterator[tuple[str, str]]:
    """Yield a chain of operations at a name's beginning and the rest of it, the longest first."""
    name = stem.lower()
    for end in range(min(len(name) - 1, LONGEST_PREFIX), 0, -1):
        if OPERATIONS.fullmatch(name[:end]):
            yield name[:end], name[end:]


def _parted(stem: str) -> str:
    """Return a name with a blank where a small letter meets a capital: ``BrainExtractionMask``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem)


@lru_cache(maxsize=1 << 16)
def parse_name(name: str) -> ImageName:
    """Read an image file's name: person, visit, and what a program did to it."""
    stem = stem_of(name)
    copies = [match[1] for match in COPY.finditer(stem)]
    bare = COPY.sub("", stem)
    date = DAY.search(bare) or EUROPEAN.search(bare)
    visit = [_day(date[0])] if date and _stands_alone(bare, date) else []
    if visit and date:
        bare = bare[: date.start()] + bare[date.end() :]
    person: list[str] = []
    numbered: list[str] = []
    after_sequence = False
    words = [word for word in re.split(r"[_\-.\s]+", bare) if word]
    for i, word in enumerate(words):
        if SEQUENCE.fullmatch(word) and (after_sequence or word.lower() not in WEAK):
            after_sequence = True
        elif i and VISIT.fullmatch(word):
            visit.append(word)
            numbered.append(word.lower())
            after_sequence = False
        elif after_sequence and re.fullmatch(r"\d{1,4}", word) and _has_number(person):
            continue  # the number of a series, for the person has one already
        elif (after_sequence or _has_number(person)) and (
            tells_contrast(f"t1 {word}") is not None or word.lower() in ("uni", "den")
        ):
            continue
        else:
            person.append(word.lower())
    if numbered and not date and _of_many("_".join(person)):  # HC_M12 is a man, no twelfth month
        person, visit = [*person, *numbered], []
    return ImageName(stem, "_".join(person), "".join(visit), " ".join(copies))


def _of_many(name: str) -> bool:
    """Say whether a name is that of a group or of anybody, so that a number behind it is whose."""
    return not name or bool(GROUPS.fullmatch(name) or PLACES.fullmatch(name) or ANYBODY.match(name))


def person_and_visit(folder: str) -> tuple[str, str]:
    """Return the person and the visit in a folder's name: ``P001_20190304``, ``OAS2_0001_MR1``.

    Only a name with a number of its own is parted; else the whole is the person.
    """
    words = re.split(r"([_\-.\s]+)", folder)
    for end in range(1, len(words), 2):
        first, rest = "".join(words[:end]), "".join(words[end + 1 :])
        if re.search(r"\d", first) and (VISIT.fullmatch(rest) or DAY.fullmatch(rest)):
            return first, rest
        if re.search(r"\d", first) and DAY_LAST.fullmatch(rest):
            return first, rest
    return folder, ""


def as_copy_of(stem: str, stems: set[str], people: set[str]) -> str:
    """Return the person of an image that a program copied: ``mS1_t1`` is of ``S1``, if S1 is there.

    Parameters
    ----------
    stem
        The image's name.
    stems
        The names of all images of the folder, in small letters.
    people
        The people (`ImageName.person`) of all images of the folder.
    """
    for _, rest in _prefixes(stem):
        person = parse_name(rest + ".nii").person
        if rest in stems or (person in people and re.search(r"\d", person)):
            return person
    return ""


def within(person: str, people: Collection[str]) -> tuple[str, str]:
    """Return the person whose whole name begins another's, and the words that are more in it.

    ``s1_classify`` is of ``s1`` and ``s1a`` too, where S1 is there; 1 and 1_2 may be two people,
    and a name without a number may be the beginning of anybody's.

    Parameters
    ----------
    person
        As `ImageName.person`.
    people
        The others.
    """
    words = person.split("_")
    for end in range(1, len(words)):  # the shortest: what was copied from a copy is of the same
        first, more = "_".join(words[:end]), "_".join(words[end:])
        if first in people and re.search(r"\d", first) and not (first + more).isdigit():
            return first, more
    if re.search(r"\d[a-z]$", person) and person[:-1] in people and not person[:-1].isdigit():
        return person[:-1], person[-1]
    return "", ""


def _day(date: str) -> str:
    """Return a date's eight digits, the year first; numbers parted by full stops are day first."""
    if match := EUROPEAN.fullmatch(date):
        return f"{match[3]}{match[2]:0>2}{match[1]:0>2}"
    return re.sub(r"\W|_", "", date)[:8]


def _stands_alone(text: str, match: re.Match[str]) -> bool:
    before, after = text[: match.start()][-1:], text[match.end() :][:1]
    return not before.isdigit() and not after.isdigit()


def _has_number(words: list[str]) -> bool:
    return any(re.search(r"\d", word) for word in words)
