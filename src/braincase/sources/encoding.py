"""Character encoding (BOM, UTF-8, Shift-JIS, Windows code pages) of a table's bytes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from charset_normalizer import from_bytes

from braincase.sources.words import ALIASES, FEMALE, MALE

#: Byte order marks, the longer first: UTF-32's begins with UTF-16's.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Encodings of tables without a mark, in the order in which equals win.
LEGACY = ("cp932", "euc_jp", "gb18030", "cp949", "big5", "cp1252", "cp1250", "cp1251", "mac_roman")
WESTERN = "cp1252"
#: Words of more than one letter that headers and cells of such tables hold.
WORDS = {w for w in {*ALIASES, *MALE, *FEMALE, "健常", "患者"} if not w.isascii() and len(w) > 1}
WORDS |= {"größe"}


def decode(content: bytes) -> tuple[str, str]:
    """Return a table's text, and a note on its encoding where it had to be found out.

    A byte order mark is believed; without one, text that is valid UTF-8 is UTF-8. Everything else
    is decided by the words that it holds, then by charset-normalizer, and is said.
    """
    for mark, name in MARKS:
        if content.startswith(mark):
            return content.decode(name, errors="replace").replace("\0", ""), ""
    if name := _wide(content):
        return content.decode(name, errors="replace"), f"read as {name} (every other byte is 0)"
    if b"\x1b$" in content or b"\x1b(" in content:
        return content.decode("iso2022_jp", errors="replace"), "read as iso2022_jp"
    try:
        return content.replace(b"\0", b"").decode("utf-8"), ""
    except UnicodeDecodeError:
        return _legacy(content.replace(b"\0", b""))


def _wide(content: bytes) -> str:
    """Return UTF-16 in the order that the zeros between ASCII letters show, or nothing."""
    sample = content[:4096]
    if len(sample) < 4 or len(content) % 2:
        return ""
    half = len(sample) // 2
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > half * 0.4 and even < half * 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > half * 0.4 and odd < half * 0.05 else ""


def _legacy(content: bytes) -> tuple[str, str]:
    texts = dict(_decodable(content))
    if not texts:
        text = content.decode(WESTERN, errors="replace")
        return text, f"read as {WESTERN}, in which some letters mean nothing (shown as \ufffd)"
    words = {name: sum(word in text.lower() for word in WORDS) for name, text in texts.items()}
    best = max(texts, key=lambda name: words[name])
    if words[best]:
        return texts[best], f"read as {best} (by its words)"
    if WESTERN in texts and _letters_stand_alone(content):
        return texts[WESTERN], f"read as {WESTERN} (not UTF-8)"
    guess = from_bytes(content, cp_isolation=list(texts)).best()
    name = guess.encoding if guess and guess.encoding in texts else next(iter(texts))
    others = ", ".join(other for other in texts if other != name and texts[other] != texts[name])
    unsure = f"; it would also be {others}" if others else ""
    return texts[name], f"read as {name} (not UTF-8{unsure}): save it as UTF-8 if that is wrong"


def _decodable(content: bytes) -> Iterator[tuple[str, str]]:
    for name in LEGACY:
        try:
            text = content.decode(name)
        except UnicodeDecodeError:
            continue
        if not re.search(r"[\x80-\x9f\ue000-\uf8ff]", text):  # controls and private letters
            yield name, text


def _letters_stand_alone(content: bytes) -> bool:
    """Say whether letters beyond ASCII mostly stand alone among ASCII, as accents do."""
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", content)]
    return sum(length == 1 for length in runs) > 0.8 * len(runs)
