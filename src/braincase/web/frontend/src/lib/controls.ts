/** Who the gallery's controls are, as sentences name them. */

import { t } from "../i18n";

interface Controls extends Record<string, string | number> {
  readonly n: number;
  readonly from: number;
  readonly to: number;
  /** Empty where there are both sexes. */
  readonly sex: string;
}

/** Null where their ages are not known. */
export function whoTheyAre(n: number, ages: readonly number[], sexes: readonly string[]): Controls | null {
  const [youngest, oldest] = ages;
  if (youngest === undefined || oldest === undefined) return null;
  const sex = sexes.length === 1 ? t(sexes[0] === "F" ? "allWomen" : "allMen") : "";
  return { n, from: Math.round(youngest), to: Math.round(oldest), sex };
}
