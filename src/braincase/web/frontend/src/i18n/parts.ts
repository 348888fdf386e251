/** Names of the parts and regions of the brain, as a radiologist of either language says them. */

import { language, t } from ".";
import { type Part, partOf } from "../lib/likeness";
import { ENGLISH_REGIONS } from "./regions.en";
import { JAPANESE_REGIONS } from "./regions.ja";

export function partText({ side, name }: Part): string {
  const japanese = language.value === "ja";
  const translation = (japanese ? JAPANESE_REGIONS : ENGLISH_REGIONS)[name];
  const text = translation ?? name.replaceAll("-", " ");
  if (side === null) return text;
  const sideText = t(side === "left" ? "leftSide" : side === "right" ? "rightSide" : "bothSides");
  return japanese && translation ? sideText + text : `${sideText} ${text}`;
}

/** A region or part by the service's name: 'L hippocampus'. */
export const regionText = (name: string): string => partText(partOf(name));

/** A region to choose: in Japanese its name, and the one that the filter of names knows. */
export const regionChoice = (name: string): string =>
  language.value === "ja" ? `${regionText(name)}（${name}）` : name;

export const partList = (parts: readonly Part[]): string =>
  parts.map(partText).join(language.value === "ja" ? "、" : ", ");
