/** Names of the parts and regions of the brain, as a radiologist of either language says them. */

import { language, t } from ".";
import { type Part, partOf } from "../lib/likeness";

/** The parts of `braincase.answer.shares.PARTS`, without their sides. */
const JAPANESE: Record<string, string> = {
  frontal: "前頭葉",
  parietal: "頭頂葉",
  temporal: "側頭葉",
  "medial-temporal": "内側側頭葉",
  occipital: "後頭葉",
  cingulate: "帯状回",
  insula: "島",
  "deep-grey": "深部灰白質",
  ventricles: "脳室",
  cerebellum: "小脳",
  "brain-stem": "脳幹",
};
const ENGLISH: Record<string, string> = { "deep-grey": "deep grey matter", "brain-stem": "brain stem" };

export function partText({ side, name }: Part): string {
  const japanese = language.value === "ja";
  const translation = (japanese ? JAPANESE : ENGLISH)[name];
  const text = translation ?? name.replaceAll("-", " ");
  if (side === null) return text;
  const sideText = t(side === "left" ? "leftSide" : side === "right" ? "rightSide" : "bothSides");
  // Names of the atlas are Latin in both languages and stand apart.
  return japanese && translation ? sideText + text : `${sideText} ${text}`;
}

/** A region or part by the service's name: 'L hippocampus'. */
export const regionText = (name: string): string => partText(partOf(name));

export const partList = (parts: readonly Part[]): string =>
  parts.map(partText).join(language.value === "ja" ? "、" : ", ");
