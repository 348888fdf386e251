/** Colours of points: a set told apart with colour blindness, and a scale for numbers. */

import type { Value } from "../api/bodies";

/** Okabe and Ito (2008), lightened where needed for a dark ground; the last is for all others. */
export const SET = ["#56b4e9", "#e69f00", "#2fbf94", "#d98cbc", "#f0e442", "#6d8dff", "#e87a45"] as const;
export const OTHER = "#a9b1ba";
export const MISSING = "#5c6672";

/** Points of the cividis scale (Nuñez et al. 2018), from low to high. */
const CIVIDIS = [
  [0, 50, 110], [53, 69, 109], [90, 92, 112], [124, 123, 120], [165, 151, 107], [210, 184, 86], [255, 233, 69],
] as const;

export interface Colouring {
  of: (value: Value) => string;
  /** What the legend lists, or the ends of a scale of numbers. */
  classes: { text: string; colour: string }[];
  range: [number, number] | null;
}

export const scaleGradient = `linear-gradient(90deg, ${CIVIDIS.map((c) => `rgb(${c.join(" ")})`).join(", ")})`;

function onScale(share: number): string {
  const place = Math.min(Math.max(share, 0), 1) * (CIVIDIS.length - 1);
  const low = CIVIDIS[Math.floor(place)] ?? CIVIDIS[0];
  const high = CIVIDIS[Math.ceil(place)] ?? low;
  const part = place - Math.floor(place);
  return `rgb(${low.map((value, i) => Math.round(value + part * ((high[i] ?? value) - value))).join(" ")})`;
}

/** Colour values by what they are: few texts get a colour each, numbers a scale. */
export function colouring(values: readonly Value[]): Colouring {
  const present = values.filter((value) => value !== null);
  const numbers = present.filter((value) => typeof value === "number");
  if (numbers.length === present.length && new Set(numbers).size > SET.length) return byNumber(numbers);
  const counts = new Map<string, number>();
  for (const value of present) counts.set(String(value), (counts.get(String(value)) ?? 0) + 1);
  const common = [...counts].sort((a, b) => b[1] - a[1]).slice(0, SET.length).map(([text]) => text).sort();
  const colours = new Map(common.map((text, i) => [text, SET[i] ?? OTHER]));
  return {
    of: (value) => (value === null ? MISSING : (colours.get(String(value)) ?? OTHER)),
    classes: common.map((text) => ({ text, colour: colours.get(text) ?? OTHER })),
    range: null,
  };
}

function byNumber(numbers: readonly number[]): Colouring {
  const low = Math.min(...numbers);
  const high = Math.max(...numbers);
  return {
    of: (value) => (typeof value === "number" ? onScale((value - low) / (high - low || 1)) : MISSING),
    classes: [],
    range: [low, high],
  };
}
