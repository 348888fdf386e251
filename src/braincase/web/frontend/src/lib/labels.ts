/** How labels are written: the usual ones first, ages as years, long numbers cut. */

import type { Labels, Value } from "../api/bodies";
import { t } from "../i18n";

const USUAL = ["diagnosis", "age", "sex", "site", "scanner"];

export function valueLine(value: Value): string {
  if (value === null) return "–";
  if (typeof value === "number") return Number.isInteger(value) ? `${value}` : value.toFixed(2);
  return String(value);
}

/** Labels worth showing on a card: the usual ones, or else the first; [name, text]. */
export function shownLabels(labels: Labels, most = 5, besides: string | null = null): [string, string][] {
  const present = (names: readonly string[]): string[] =>
    names.filter((name) => labels[name] !== undefined && labels[name] !== null && name !== besides);
  const usual = present(USUAL);
  return (usual.length > 0 ? usual : present(Object.keys(labels)))
    .slice(0, most)
    .map((name) => [name, labelText(name, labels[name] ?? null)]);
}

export function labelText(name: string, value: Value): string {
  if (name === "age" && typeof value === "number") return t("years", { age: Math.round(value) });
  // A bare 'A' or '2' would say nothing.
  const named = name === "site" || name === "scanner" || typeof value === "number";
  return named ? `${name} ${valueLine(value)}` : valueLine(value);
}

export function labelLine(labels: Labels, most = 4): string {
  return shownLabels(labels, most).map(([, text]) => text).join(" · ");
}
