/** The maps that can lie over a brain: their colours, their range, and what they mean. */

import type { Key } from "../i18n/en";

export type OverlayKind = "none" | "difference" | "agreement" | "deviation";
export const OVERLAYS: readonly OverlayKind[] = ["none", "difference", "agreement", "deviation"];

/** A colour at a place of the scale: [place 0 to 1, red, green, blue, alpha], each 0 to 255. */
type Stop = readonly [number, number, number, number, number];

export interface Scale {
  /** From this magnitude on the colour is full. */
  most: number;
  warm: { name: string; stops: readonly Stop[] };
  /** Colours of negative values, where there are any. */
  cold: { name: string; stops: readonly Stop[] } | null;
  legend: Key;
}

// Orange against blue: told apart with every common colour blindness, and on grey anatomy.
// Clear up to 0.28 of the scale: within what is usual, the anatomy shows through.
const WARM: readonly Stop[] = [
  [0, 178, 74, 10, 0], [0.28, 190, 80, 14, 0], [0.5, 224, 112, 28, 130], [0.75, 255, 164, 70, 205], [1, 255, 236, 179, 245],
];
const COLD: readonly Stop[] = [
  [0, 18, 62, 150, 0], [0.28, 24, 76, 176, 0], [0.5, 40, 110, 220, 130], [0.75, 96, 168, 248, 205], [1, 207, 232, 255, 245],
];
const ALIKE: readonly Stop[] = [
  [0, 10, 60, 52, 0], [0.4, 14, 98, 84, 40], [0.75, 40, 168, 136, 170], [1, 196, 250, 216, 235],
];

const signed = (legend: Key, most: number): Scale => ({
  most, legend,
  warm: { name: "braincase-warm", stops: WARM },
  cold: { name: "braincase-cold", stops: COLD },
});

export const SCALES: Record<Exclude<OverlayKind, "none">, Scale> = {
  difference: signed("legendDifference", 4),
  deviation: signed("legendDeviation", 5),
  agreement: {
    most: 1, legend: "legendAgreement",
    warm: { name: "braincase-alike", stops: ALIKE }, cold: null,
  },
};

/** A scale's colours as NiiVue wants them. */
export function colormap(stops: readonly Stop[]): Record<"R" | "G" | "B" | "A" | "I", number[]> {
  return {
    R: stops.map((stop) => stop[1]),
    G: stops.map((stop) => stop[2]),
    B: stops.map((stop) => stop[3]),
    A: stops.map((stop) => stop[4]),
    I: stops.map((stop) => Math.round(stop[0] * 255)),
  };
}

const css = ([, r, g, b, a]: Stop, at: number): string =>
  `rgb(${r} ${g} ${b} / ${a / 255}) ${(at * 100).toFixed(1)}%`;

/** The same colours as a CSS gradient, for the legend: negative values on the left. */
export function gradient(scale: Scale): string {
  const { warm, cold } = scale;
  const right = warm.stops.map((stop) => css(stop, cold ? 0.5 + stop[0] / 2 : stop[0]));
  const left = cold ? [...cold.stops].reverse().map((stop) => css(stop, 0.5 - stop[0] / 2)) : [];
  return `linear-gradient(90deg, ${[...left, ...right].join(", ")})`;
}
