/**
 * The library's notes in Japanese. It speaks English; a sentence that is not known here is shown as it is,
 * so nothing is ever lost.
 */

import { language } from ".";

const SENTENCES: readonly (readonly [RegExp, string])[] = [
  [/^The query was moved towards (.+) and away from (.+)\.$/, "検索元を $1 に近づけ、$2 から遠ざけました。"],
  [/^The query was moved towards (.+)\.$/, "検索元を $1 に近づけました。"],
  [/^The query was moved away from (.+)\.$/, "検索元を $1 から遠ざけました。"],
  [/^The query was made (.+) years older, along what changes with age among (\d+) people of the gallery\.$/,
    "検索元を、ギャラリーの $2 人の年齢差に沿って $1 歳年長とみなしました。"],
  [/^The query was made (.+) years younger, along what changes with age among (\d+) people of the gallery\.$/,
    "検索元を、ギャラリーの $2 人の年齢差に沿って $1 歳年少とみなしました。"],
  [/^The query is the same image as (.+)\.$/, "検索元は $1 と同じ画像です。"],
  [/^(\S+) is closer to the query than any two people in the gallery.* are to each other, so (\S+) is taken for the query's person \(a new person would be, with probability (.+)\); name the subject to decide it\.$/,
    "$1 はギャラリーのどの 2 人よりも検索元に近いため、検索元は $2 本人とみなします（別人である確率 $3）。"],
  [/^(\d+) of (\d+) hits: the filter and the person leave (\d+) cases\.$/, "絞り込みと本人の除外で $3 症例が残り、$2 件のうち $1 件だけ見つかりました。"],
  [/^(\d+) of (\d+) hits: the person leaves (\d+) cases\.$/, "本人の除外で $3 症例が残り、$2 件のうち $1 件だけ見つかりました。"],
  [/^The search was approximate: nearer cases may have been missed\.$/, "近似検索のため、より近い症例が見逃されているかもしれません。"],
  [/^What is normal is not known: (\d+) controls with age, sex and image\.$/, "年齢・性別・画像のある健常例が $1 例しかないため、正常範囲は不明です。"],
  [/^The controls are those who pass: (.+)\.$/, "健常例は条件式 $1 に当てはまる人です。"],
  [/^Neighbours vote on nothing: no column '(.+)'\. Name a label: (.+)\.$/,
    "列「$1」がないため、近傍のラベルは集計しません。ラベルとする列を指定できます：$2。"],
  [/^No percentiles: fewer than (\d+) controls with age and sex\.$/, "年齢・性別のある健常例が $1 例に満たないため、パーセンタイルは不明です。"],
  [/^The query's distance from normal is not known: it takes its image, age and sex\.$/, "正常からの差は不明です。検索元の画像・年齢・性別が必要です。"],
  [/^The model was trained on volumes made by (.+), the query was prepared otherwise: distances between them may mean little\.$/,
    "モデルの学習画像は $1 によるもので、検索元の前処理は異なります。距離は参考になりにくいかもしれません。"],
];

export function noteText(note: string): string {
  if (language.value === "en") return note;
  const known = SENTENCES.find(([pattern]) => pattern.test(note));
  return known ? note.replace(...known) : note;
}

const STAGES: Record<string, string> = {
  queued: "順番を待っています", loading: "モデルを読み込んでいます", unpacking: "ファイルを展開しています",
  reading: "画像を読み込んでいます", looking: "画像の種類を確かめています",
  preparing: "脳を抽出し標準空間に合わせています", judging: "品質を確かめ数値にしています", done: "検索できます",
};

/** What a job is doing. */
export const stageText = (stage: string, message: string): string =>
  (language.value === "ja" ? STAGES[stage] : undefined) ?? message;
