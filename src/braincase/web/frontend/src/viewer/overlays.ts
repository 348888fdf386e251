/** The maps that can lie over a brain: their colours, their range, and what they mean. */

import type { Key } from "../i18n/en";

export type OverlayKind = "none" | "difference" | "agreement" | "deviation";
export const OVERLAYS: readonly OverlayKind[] = ["none", "difference", "agreement", "deviation"];

export const MAP_NAMES: Record<OverlayKind, Key> = {
  none: "overlayNone",
  difference: "overlayDifference",
  agreement: "overlayAgreement",
  deviation: "overlayDeviation",
};

/** A colour at a place of a scale: [place 0 to 1, red, green, blue], each 0 to 255. */
type Stop = readonly [number, number, number, number];

interface Colours {
  name: string;
  stops: readonly Stop[];
}

/** NiiVue draws an overlay's colours whole or not at all, so a scale begins at a threshold. */
export interface Scale {
  /** Magnitudes from here on are coloured; what is less is as usual, and clear. */
  least: number;
  /** The colour of this magnitude stands for all beyond. */
  most: number;
  warm: Colours;
  /** Of negative values, where there are any. */
  cold: Colours | null;
  legend: Key;
  /** Part of the chosen opacity: what covers most of a brain is fainter, so that the brain stays visible. */
  strength: number;
  /** Words instead of numbers under the ends of the legend. */
  words?: readonly [Key, Key];
}

// Orange against blue: told apart with every common colour blindness, and on grey anatomy.
const WARM: Colours = {
  name: "braincase-warm",
  stops: [[0, 196, 84, 16], [0.5, 255, 158, 61], [1, 255, 238, 190]],
};
const COLD: Colours = {
  name: "braincase-cold",
  stops: [[0, 28, 88, 196], [0.5, 92, 166, 248], [1, 214, 236, 255]],
};
const ALIKE: Colours = { name: "braincase-alike", stops: [[0, 14, 92, 80], [1, 150, 240, 200]] };

export const SCALES: Record<Exclude<OverlayKind, "none">, Scale> = {
  difference: { least: 1.5, most: 4, warm: WARM, cold: COLD, legend: "legendDifference", strength: 0.8 },
  deviation: { least: 2, most: 5, warm: WARM, cold: COLD, legend: "legendDeviation", strength: 0.8 },
  agreement: {
    least: 0.6, most: 1, warm: ALIKE, cold: null, legend: "legendAgreement", strength: 0.45,
    words: ["endUsual", "endEqual"],
  },
};

/** A scale's colours as NiiVue wants them; its first entry is what lies below the threshold. */
export function colormap({ stops }: Colours): Record<"R" | "G" | "B" | "A" | "I", number[]> {
  const column = (place: 1 | 2 | 3): number[] => [0, ...stops.map((stop) => stop[place])];
  return {
    R: column(1),
    G: column(2),
    B: column(3),
    A: [0, ...stops.map(() => 255)],
    I: [0, ...stops.map((stop) => Math.max(Math.round(stop[0] * 255), 1))],
  };
}

/** The numbers that stand under the legend, from left to right. */
export function ends({ least, most, cold }: Scale): string[] {
  const right = [least, most].map((value) => (cold ? `+${value}` : `${value}`));
  return cold ? [`−${most}`, `−${least}`, ...right] : right;
}

const css = ([, r, g, b]: Stop, at: number): string => `rgb(${r} ${g} ${b}) ${(at * 100).toFixed(1)}%`;

/** The same colours as a CSS gradient, for the legend: negative values on the left, a clear middle. */
export function gradient({ least, most, warm, cold }: Scale): string {
  if (!cold) return `linear-gradient(90deg, ${warm.stops.map((stop) => css(stop, stop[0])).join(", ")})`;
  const away = (place: number): number => (least + place * (most - least)) / (2 * most);
  const left = [...cold.stops].reverse().map((stop) => css(stop, 0.5 - away(stop[0])));
  const right = warm.stops.map((stop) => css(stop, 0.5 + away(stop[0])));
  const gap = [0.5 - away(0), 0.5 + away(0)].map((at) => `transparent ${(at * 100).toFixed(1)}%`);
  return `linear-gradient(90deg, ${[...left, ...gap, ...right].join(", ")})`;
}
