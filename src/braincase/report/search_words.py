"""Words of the report of a search in English and Japanese; what its sections say stays English."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from braincase.purpose import PURPOSE, PURPOSE_JA

Language = Literal["en", "ja"]

#: What a report of a gallery of simulated people says of them.
SIMULATED = "Every person in this gallery is simulated."

_JAPANESE = {
    PURPOSE: PURPOSE_JA,
    SIMULATED: "このギャラリーの人物はすべて模擬データです。",
    "Similar cases": "類似症例",
    "Similar cases to": "類似症例:",
    "the query": "検索元",
    "nearest of": "件（近い順）、検索した症例数:",
    "cases searched": "",
    "Date": "日時",
    "Reader": "利用者",
    "Cases to find": "検索件数",
    "Filter": "絞り込み",
    "Regions": "脳領域",
    "Ranked by": "順位付け",
    "Years older": "加える年数",
    "Marked as alike": "似ていると評価",
    "Marked as unlike": "似ていないと評価",
    "Controls": "健常例の条件",
    "Scans of this person": "本人の画像",
    "Other scans of this person": "本人の他の画像",
    "Key images": "キー画像",
    "What became of them": "その後の経過",
    "Brightness beyond normal for age and sex": "年齢・性別の正常範囲を外れた明るさ",
    "Volumes for age and sex": "年齢・性別に対する容積",
    "Volumes": "容積",
    "How usual such a distance is": "似た人はいるか",
    "Notes": "注記",
    "The model": "モデル",
    "Gallery": "ギャラリー",
    "version": "版",
    "cases": "症例",
}
#: Headings that go on with something else, such as the name of a column.
_JAPANESE_BEGINNINGS = {
    "Why (0": "似ている部位（0: 差なし、1: 他人どうしの通常の差）",
    "Why (by region": "差の大きい部位",
    "What the neighbours say (": "近傍の人の",
}


def words_of(language: Language) -> Mapping[str, str]:
    """Return the words of a language by the English ones; empty for English."""
    return MappingProxyType(_JAPANESE if language == "ja" else {})


def heading_of(heading: str, language: Language) -> str:
    """Return a section's heading in a language; one without a translation stays English."""
    if language == "en":
        return heading
    for beginning, text in _JAPANESE_BEGINNINGS.items():
        if heading.startswith(beginning):
            rest = heading.removeprefix(beginning).rstrip(")")
            return f"{text} {rest}" if text.endswith("の") else text
    return _JAPANESE.get(heading, heading)
