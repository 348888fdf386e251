/** What lies under the cross, in one line; and a bar that says how long five centimetres are. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { tell } from "../actions";
import { readRegions, urls } from "../api/client";
import { number, t } from "../i18n";
import { regionText } from "../i18n/parts";
import * as state from "../state";
import { MAP_NAMES } from "./overlays";
import { cross, loaded } from "./place";

const BAR_MM = 50;
const MEASURED_AFTER_MS = 150;

/** The names of the atlas under the cross; empty until the atlas is there, and outside all regions. */
function useRegion(): string {
  const views = loaded.value;
  const read = useRef<((mm: [number, number, number]) => string) | null>(null);
  const ready = useSignal(false);
  const wanted = views !== null && state.source.value !== null && !state.gallery.value?.without_regions;
  useEffect(() => {
    if (!views || !wanted || read.current) return;
    Promise.all([views.pair.loadImage(urls.atlas()), readRegions()])
      .then(([atlas, regions]) => {
        const names = new Map(regions.map(({ index, name }) => [index, name]));
        read.current = (mm) => names.get(Math.round(views.pair.valueOf(atlas, mm))) ?? "";
        ready.value = true;
      })
      .catch(tell);
  }, [views, wanted]);
  return ready.value && read.current ? read.current(cross.value) : "";
}

export function Readout() {
  const region = useRegion();
  const views = loaded.value;
  void state.viewsMoved.value;
  const grey = (side: "query" | "beside", layer: 0 | 1): number | null =>
    views ? views.pair.valueAt(views[side], layer, cross.value) : null;
  const [query, beside] = [grey("query", 0), grey("beside", 0)];
  const kind = state.overlay.value;
  const map = kind === "none" ? null : grey("beside", 1);
  const whole = (value: number | null): string => (value === null ? "–" : number(value));
  return (
    <p class="readout number" role="group" aria-label={t("underCursor")}>
      <span><span class="hint">{t("position")}</span> {cross.value.map((mm) => number(mm)).join(", ")}</span>
      <span class="readout-region">{region ? regionText(region) : <span class="hint">{t("noRegion")}</span>}</span>
      <span><span class="hint">{t("greyLevel")}</span> {t("query")} {whole(query)} · {t("hit")} {whole(beside)}</span>
      {kind !== "none" && map !== null && (
        <span class="readout-map"><span class="hint">{t(MAP_NAMES[kind])}</span> {number(map, 2)}</span>
      )}
    </p>
  );
}

export function ScaleBar({ side }: { side: "query" | "beside" }) {
  const views = loaded.value;
  const width = useSignal(0);
  const [moved, layout] = [state.viewsMoved.value, state.layout.value];
  useEffect(() => {
    if (!views) return;
    const measure = (): void => {
      width.value = Math.round(BAR_MM * views.pair.pixelsPerMm(views[side]));
    };
    // NiiVue draws on its own time; what it has drawn is measured a little later.
    let wait = window.setTimeout(measure, MEASURED_AFTER_MS);
    const watch = new ResizeObserver(() => {
      clearTimeout(wait);
      wait = window.setTimeout(measure, MEASURED_AFTER_MS);
    });
    if (views[side].nv.canvas) watch.observe(views[side].nv.canvas);
    return () => {
      clearTimeout(wait);
      watch.disconnect();
    };
  }, [views, moved, layout]);
  if (width.value === 0) return null;
  return (
    <span class="scale">
      <span class="scale-bar" style={{ width: `${width.value}px` }}>{t("barLength", { cm: BAR_MM / 10 })}</span>
      {state.ruler.value && <span class="scale-space">{t("rulerSpace")}</span>}
    </span>
  );
}
