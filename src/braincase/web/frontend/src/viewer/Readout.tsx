/** What lies under the cross, in a line or two; what is written on the views: a scale bar, places of slices. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { tell } from "../actions";
import { readRegions, urls } from "../api/client";
import { number, t } from "../i18n";
import { regionText } from "../i18n/parts";
import * as state from "../state";
import { MAP_NAMES } from "./overlays";
import type { Tile, View } from "./pair";
import { cross, type Loaded, loaded } from "./place";

type Side = "query" | "beside";

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
  // The deviation is of one brain against the controls; the other maps are of the pair, alike in both views.
  const maps = kind === "none" ? [] : kind === "deviation" ? [grey("query", 1), grey("beside", 1)] : [grey("beside", 1)];
  const fine = (value: number | null | undefined): string => (typeof value === "number" ? number(value, 2) : "–");
  const whole = (value: number | null): string => (value === null ? "–" : number(value));
  return (
    <p class="readout number" role="group" aria-label={t("underCursor")}>
      <span><span class="hint">{t("position")}</span> {cross.value.map((mm) => number(mm)).join(", ")}</span>
      <span class="readout-region">{region ? regionText(region) : <span class="hint">{t("noRegion")}</span>}</span>
      <span><span class="hint">{t("greyLevel")}</span> {t("query")} {whole(query)} · {t("hit")} {whole(beside)}</span>
      {kind !== "none" && maps.some((value) => value !== null) && (
        <span class="readout-map">
          <span class="hint">{t(MAP_NAMES[kind])}</span>{" "}
          {kind === "deviation"
            ? `${t("query")} ${fine(maps[0])} · ${t("hit")} ${fine(maps[1])} ${t("sd")}`
            : fine(maps[0])}
        </span>
      )}
    </p>
  );
}

/** What is measured in a view as it is drawn, and again whenever that changes. */
function useDrawn<T>(side: Side, none: T, read: (pair: Loaded["pair"], view: View) => T): T {
  const views = loaded.value;
  const told = useSignal(none);
  const [moved, layout] = [state.viewsMoved.value, state.layout.value];
  useEffect(() => {
    if (!views) return;
    const measure = (): void => {
      told.value = read(views.pair, views[side]);
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
  return told.value;
}

/** Place and sides of each of the slices side by side. */
export function MosaicLabels({ side }: { side: Side }) {
  const tiles = useDrawn<Tile[]>(side, [], (pair, view) => pair.mosaicTiles(view));
  const [left, right] = state.radiological.value ? ["R", "L"] : ["L", "R"];
  return tiles.map(({ mm, box: [x, y, width, height] }) => (
    <span
      key={mm} class="mosaic-slice"
      style={{ left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` }}
    >
      <span class="side">{left}</span>
      <span class="mosaic-place">{`z ${number(mm)}`}</span>
      <span class="side side-right">{right}</span>
    </span>
  ));
}

export function ScaleBar({ side }: { side: Side }) {
  const width = useDrawn(side, 0, (pair, view) => Math.round(BAR_MM * pair.pixelsPerMm(view)));
  if (width === 0) return null;
  return (
    <span class="scale">
      <span class="scale-bar" style={{ width: `${width}px` }}>{t("barLength", { cm: BAR_MM / 10 })}</span> MNI
      {state.ruler.value && <span class="scale-space">{t("rulerSpace")}</span>}
    </span>
  );
}
