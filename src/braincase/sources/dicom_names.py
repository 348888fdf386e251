"""Names of DICOM series, as radiographers write them: T1w or other, contrast medium, MP2RAGE parts.

Names come in all languages and scripts. They are compared in small letters, in usual width
(`Ｔ１強調` is `t1強調`), with a blank where a small letter meets a capital (`MPRAGEpostGd`).
"""

from __future__ import annotations

import re
import unicodedata

#: Names of T1-weighted 3-D sequences. A letter of another script is no part of the word.
T1 = re.compile(
    r"mp-?rage|mp2rage|mpr(?![a-z])|spgr|bravo|(?<![a-z0-9])t1(?!\d)|t1w|3d.?tfe|tfl3d|3d.?flash|"
    r"vibe"
)
#: Names of everything else that a head study holds.
OTHER = re.compile(
    r"(?:^|[^a-z])((?:locali[sz]er|scout|survey|aahead|t2|flair|dark.?fluid|pd|proton|dwi|dti|diff|"
    r"adc|trace|bold|fmri|rest|epi|perf|p?c?asl|swi|swan|venbold|tof|angio|mra|mrv|field.?map|"
    r"gre.field|b0|b1|calib|cest|spect|svs|mip|haste|ciss|fiesta)(?:w|star|tse|usion|ing|_?map)?)"
    r"(?![a-z])|(位置決め|定位|拡散|弥散|扩散|灌流|血管|磁化率|水抑制)"
)
#: Parts of an MP2RAGE other than its T1w image.
PARTS = re.compile(r"(?<![a-z])(?:inv[-_ ]?|ti_?)[12](?![0-9.])|t1[-_ ]?(?:map|images?)(?![a-z])")
#: The T1w image of an MP2RAGE, and words for one whose air is free of its usual noise.
UNI = re.compile(r"(?<![a-z])uni(?![a-z])|(?<![a-z])uniden(?![a-z])")
DENOISED = re.compile(r"(?<![a-z])(?:uni)?den(?![a-z])|denois|robust|regulari[sz]ed|cleaned|offset")
#: Sequences that watch contrast medium come in: whatever follows them is after it.
BOLUS = re.compile(r"(?<![a-z])(?:dce|dsc|perf\w*|bolus|灌流)(?![a-z])")
_AGENT = (
    r"contrast\w*|kontrast\w*|mdc|gad\w*|vueway|elucirem|gd(?:[-_ ]?dtpa)?|km|ce|inj\w*|enh\w*|"
    r"dotarem|magnevist|prohance|omniscan|multihance|clariscan|primovist|eovist|magnescope|"
    r"контраст\w*|σκιαγραφ\w*"
)
#: Before a medium's name, or alone: the series is plain.
_WITHOUT = re.compile(
    rf"(?<![a-z])(?:non?|w/?o|without|ohne|vor|pre|sans|senza|sin|sem|avant|before|zonder|"
    r"uden|utan|uten|bez|без|ilman|χωρίς|tanpa)"
    rf"[-_ .]*(?:i\.?v\.?[-_ ]*|de[-_ ]+|d')?(?:{_AGENT}|c)(?![a-z])|"
    r"(?<![a-z])(?:pre|plain|nativ|native|natif|unenhanced|nce|avant|vor)(?![a-z])|"
    r"(?<![a-z])(?:kontrasts[ıi]z|w/o)(?![a-z/])|(?<![a-z0-9])(?:iv|i\.v\.|k)-(?=$|[ _)])|"
    r"(?:^|[ _(])-[ ]?c(?![a-z0-9])|(?<![a-z0-9])c-(?=$|[ _)])|"
    r"造影(?:剤)?(?:な|無|前)|非造影|単純|平扫|平掃|增强前|조영전"
)
_WITH = re.compile(
    rf"(?<![a-z])(?:{_AGENT}|post[-_ ]?(?:{_AGENT}|c)|apr[eè]s|nach)(?![a-z])|"
    r"(?<![a-z])post(?![a-z]|[-_ ]?(?:op|proc|surg|rt|treat|ictal))|"
    r"\+[ ]?(?:c|k|gd|gad|km|ce|mdc)(?![a-z])|(?<![a-z])(?:c|k|iv|i\.v\.)[ ]?\+|"
    r"(?<![a-z0-9])t1w?[ ]?\+(?=$|[ _)])|"
    r"(?<![a-z0-9])t1w?(?:[-_ ]?(?:ce|gd|gad|km|post|kontrast)|_?c)(?![-a-z0-9])|w/[ ]?c(?![a-z])|"
    r"造影|増強|增强|增強|조영|ガド|マグネ(?:スコープ|ビスト)|контраст"
)
#: Neither, though the words are there: a protocol's name for all its series.
_NEITHER = re.compile(
    rf"phase[-_ ]?contrast|(?:\+/-|±)[ ]?(?:{_AGENT}|c)(?![a-z])|"
    rf"(?<![a-z])w(?:ith)?[-_ ]*(?:/|&|\+|and)?[-_ ]*(?:w/?o|without)"
    rf"(?:[-_ ]+(?:{_AGENT}|c))?(?![a-z])|"
    rf"(?<![a-z])(?:mit|avec|pre|nativ|avant|vor)[-_ ]*(?:/|&|\+|and|und|et|u\.?)[-_ ]*"
    rf"(?:ohne|sans|post|apr[eè]s|nach|{_AGENT})(?:[-_ ]+(?:{_AGENT}|c))?(?![a-z])"
)


def normalised(text: object) -> str:
    """Return a name as it is compared: small letters of usual width, words in camel case parted."""
    usual = unicodedata.normalize("NFKC", str(text or ""))
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", usual).lower()


def tells_contrast(name: str) -> bool | None:
    """Say whether a series name says "after contrast medium", "plain", or nothing (None)."""
    text = _NEITHER.sub(" ", normalised(name))
    plain = _WITHOUT.search(text) is not None
    given = _WITH.search(_WITHOUT.sub(" ", text)) is not None
    return None if plain == given else given


def is_medium(agent: object) -> bool:
    """Say whether ContrastBolusAgent names a medium; people also write that there was none."""
    text = normalised(agent).strip(" .-_")
    none = {"", "no", "none", "n", "na", "n/a", "nil", "0", "nein", "ohne", "non", "aucun", "null"}
    return text not in none | {"no contrast", "without", "無", "なし", "unknown"} and (
        tells_contrast(text) is not False
    )


def is_uni(name: str) -> bool:
    """Say whether a name is that of an MP2RAGE's T1w image."""
    return UNI.search(normalised(name)) is not None


def is_noisy_uni(name: str) -> bool:
    """Say whether a name is that of an MP2RAGE's T1w image whose air is noise."""
    return is_uni(name) and DENOISED.search(normalised(name)) is None


def is_part_of_mp2rage(name: str) -> bool:
    """Say whether a name is that of an MP2RAGE's inversion or map, beside its T1w image."""
    return not is_uni(name) and PARTS.search(normalised(name)) is not None
