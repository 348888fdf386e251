/**
 * What mouse and fingers do in both views at once: right drag sets the grey scale, Ctrl and wheel or two
 * fingers zoom, middle drag moves. NiiVue itself moves the cross and scrolls.
 */

import * as state from "../state";
import type { GreyScale } from "./pair";
import { greyScale, loaded } from "./place";

/** Narrowest grey scale, in grey levels. */
const LEAST_WIDTH = 8;
/** A wheel's usual step zooms by this. */
const ZOOM_STEP = 1.15;

/** Width by going right, level by going down: as on every radiologist's screen. */
function windowed([black, white]: GreyScale, [x, y]: readonly [number, number]): GreyScale {
  const width = Math.max(white - black + x, LEAST_WIDTH);
  const level = (black + white) / 2 + y;
  return [level - width / 2, level + width / 2];
}

function dragged(canvas: HTMLCanvasElement, side: "query" | "beside", from: PointerEvent): void {
  const views = loaded.value;
  if (!views) return;
  const both = [views.query, views.beside];
  const scale = greyScale.value ?? views.pair.fullScale(both);
  const box = canvas.getBoundingClientRect();
  let last: [number, number] = [from.clientX, from.clientY];
  canvas.setPointerCapture(from.pointerId);
  const move = (event: PointerEvent): void => {
    if (from.button === 2) {
      greyScale.value = windowed(scale, [event.clientX - from.clientX, event.clientY - from.clientY]);
      return;
    }
    const by = [event.clientX - last[0], event.clientY - last[1]] as const;
    last = [event.clientX, event.clientY];
    views.pair.pan(both, views[side], [from.clientX - box.left, from.clientY - box.top], by);
  };
  const end = (): void => {
    canvas.removeEventListener("pointermove", move);
    canvas.removeEventListener("pointerup", end);
    canvas.removeEventListener("pointercancel", end);
  };
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
}

const apart = ({ touches }: TouchEvent): number =>
  Math.hypot((touches[0]?.clientX ?? 0) - (touches[1]?.clientX ?? 0), (touches[0]?.clientY ?? 0) - (touches[1]?.clientY ?? 0));

export function listenToGestures(canvas: HTMLCanvasElement, side: "query" | "beside"): void {
  const zoom = (factor: number): void => {
    const views = loaded.value;
    views?.pair.zoom([views.query, views.beside], factor);
    state.viewsMoved.value++;
  };
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button === 0) return;
    if (event.button === 2 && state.ruler.value) return; // NiiVue measures
    event.preventDefault(); // the middle button would start the browser's own scrolling
    dragged(canvas, side, event);
  }, { capture: true });
  // A pinch on a touchpad comes as a wheel with Ctrl as well.
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    zoom(ZOOM_STEP ** -Math.max(Math.min(event.deltaY / 50, 2), -2));
  }, { capture: true, passive: false });
  let before = 0;
  for (const kind of ["touchstart", "touchmove"] as const) {
    canvas.addEventListener(kind, (event) => {
      if (event.touches.length !== 2) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const now = apart(event);
      if (kind === "touchmove" && before > 0) zoom(now / before);
      before = now;
    }, { capture: true, passive: false });
  }
}
