/** Where the cross stands in both views, and the views themselves once NiiVue is there. */

import { signal } from "@preact/signals";
import type { Extent, GreyScale, Millimetres, View } from "./pair";

export interface Loaded {
  pair: typeof import("./pair");
  query: View;
  beside: View;
}

export const loaded = signal<Loaded | null>(null);
export const hasWebgl = signal(true);
/** The left hippocampus: where most who look at dementia look first. */
export const FIRST_PLACE: Millimetres = [-26, -20, -14];
/** MNI millimetres. */
export const cross = signal<Millimetres>(FIRST_PLACE);
/** The standard field of view (braincase.images.geometry): its first corner, and its edges, in millimetres. */
export const CORNER: Millimetres = [-80, -114, -71];
export const EDGES: Millimetres = [160, 192, 160];
/** How far a view volume reaches beyond it on every side, in millimetres. */
export const VIEW_AROUND = 16;
/** How far the cross can go; null until a brain is shown. */
export const extent = signal<Extent | null>(null);

/** The grey levels that are black and white in both views; null: as the brighter brain needs it. */
export const greyScale = signal<GreyScale | null>(null);

export function moveCross(to: Millimetres): void {
  cross.value = to;
  const views = loaded.value;
  if (!views) return;
  views.pair.moveTo(views.query, to);
  views.pair.moveTo(views.beside, to);
}
