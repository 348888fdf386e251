/** How labels are written: the usual ones first, ages as years, long numbers cut. */

import type { Labels, Value } from "../api/types";
import { t } from "../i18n";

const USUAL = ["diagnosis", "age", "sex", "site", "scanner"];

export function valueLine(value: Value): string {
  if (value === null) return "–";
  if (typeof value === "number") return Number.isInteger(value) ? `${value}` : value.toFixed(2);
  return String(value);
}

/** Labels worth showing on a card, at most `most`: [name, text]. */
export function shownLabels(labels: Labels, most = 5): [string, string][] {
  const rest = Object.keys(labels).filter((name) => !USUAL.includes(name));
  return [...USUAL, ...rest]
    .filter((name) => labels[name] !== undefined && labels[name] !== null)
    .slice(0, most)
    .map((name) => [name, labelText(name, labels[name] ?? null)]);
}

function labelText(name: string, value: Value): string {
  if (name === "age" && typeof value === "number") return t("years", { age: Math.round(value) });
  return valueLine(value);
}

export function labelLine(labels: Labels, most = 4): string {
  return shownLabels(labels, most).map(([, text]) => text).join(" · ");
}
