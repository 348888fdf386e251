/** What became of the people found: who was seen again, and whose label had changed at the last visit. */

import type { Hit, Value } from "../api/bodies";

/** From one value of the label to another, and how many people. */
export type Change = readonly [then: Value, now: Value, people: number];

export interface Outcome {
  /** People with a later visit. */
  readonly seen: number;
  /** Years to their last visits, the shortest and the longest; null where ages are not known. */
  readonly years: readonly [number, number] | null;
  /** Of how many the label is known at both ends. */
  readonly known: number;
  /** The most frequent first. */
  readonly changes: readonly Change[];
}

export function outcomeOf(hits: readonly Hit[], label: string | null | undefined): Outcome {
  const followed = hits.flatMap((hit) => {
    const last = hit.outcome?.at(-1);
    return last ? [{ then: label ? (hit.labels[label] ?? null) : null, last }] : [];
  });
  const years = followed.flatMap(({ last }) => (typeof last.years === "number" ? [last.years] : []));
  const known = followed.filter(({ then, last }) => then !== null && last.label !== null);
  const changes = new Map<string, Change>();
  for (const { then, last } of known.filter(({ then, last }) => then !== last.label)) {
    const key = JSON.stringify([then, last.label]);
    changes.set(key, [then, last.label, (changes.get(key)?.[2] ?? 0) + 1]);
  }
  return {
    seen: followed.length,
    years: years.length > 0 ? [Math.min(...years), Math.max(...years)] : null,
    known: known.length,
    changes: [...changes.values()].sort((a, b) => b[2] - a[2]),
  };
}
