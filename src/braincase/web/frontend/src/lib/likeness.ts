/** In which parts of the brain two people are alike, said shortly. */

/** A part of the brain and how different two people are there; 1: as two people usually are. */
export type Likeness = readonly [part: string, ratio: number];
export type Side = "left" | "right" | "both" | null;
export interface Part {
  side: Side;
  name: string;
}

/** Named in the sentence: the most alike and the least alike. */
const MOST = 3;
const LEAST = 2;

export function partOf(name: string): Part {
  const match = /^(left|right)-(.+)$/.exec(name);
  return match ? { side: match[1] as "left" | "right", name: match[2] ?? name } : { side: null, name };
}

/** Parts as one says them: where both sides are named they become one. */
function together(names: readonly string[]): Part[] {
  const said = new Map<string, Side>();
  for (const { side, name } of names.map(partOf)) {
    const before = said.get(name);
    said.set(name, before && before !== side ? "both" : side);
  }
  return [...said].map(([name, side]) => ({ name, side }));
}

/**
 * The parts most and least alike, the most telling first; no part is in both. `alike` is empty where
 * two people are nowhere more alike than two people usually are, `unlike` where nothing is left to say.
 */
export function extremes(likeness: readonly Likeness[]): { alike: Part[]; unlike: Part[] } {
  const most = likeness.slice(0, MOST).filter(([, ratio]) => ratio < 1);
  const rest = likeness.slice(most.length);
  const named = (parts: readonly Likeness[]): Part[] => together(parts.map(([name]) => name));
  return { alike: named(most), unlike: named(rest.slice(-LEAST).reverse()) };
}
