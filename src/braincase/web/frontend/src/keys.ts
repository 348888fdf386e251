/** Single-letter keys; they can be switched off and never act while one types. */

import { mark, runSearch, step } from "./actions";
import * as state from "./state";
import { keepKeyImage } from "./viewer/KeyImages";
import { toggleFullScreen } from "./viewer/OverlayTools";
import { OVERLAYS } from "./viewer/overlays";

function markShown(side: "plus" | "minus"): void {
  const hit = state.answer.value?.hits.find((hit) => hit.scan_id === state.beside.value?.scan_id);
  if (hit) mark(hit.scan_id, side);
}

const LETTERS: Record<string, () => void> = {
  j: () => step(1),
  k: () => step(-1),
  "+": () => markShown("plus"),
  "-": () => markShown("minus"),
  o: () => {
    if (!state.shownHit.value) return;
    const next = (OVERLAYS.indexOf(state.overlay.value) + 1) % OVERLAYS.length;
    state.overlay.value = OVERLAYS[next] ?? "none";
  },
  i: () => keepKeyImage(),
  v: () => (state.asScanned.value = !state.asScanned.value),
  r: () => (state.radiological.value = !state.radiological.value),
  f: () => toggleFullScreen(document.querySelector<HTMLElement>(".viewers")),
  s: () => void runSearch(),
};

export function listenToKeys(): void {
  document.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    const types = target.matches("textarea, select, input:not([type=range], [type=checkbox])");
    if (!state.letterKeys.value || types || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const act = LETTERS[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
