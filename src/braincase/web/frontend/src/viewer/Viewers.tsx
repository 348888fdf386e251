/** The reading area: the query and a case beside it, their tools, and the slice positions. */

import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { lineOf, unmarked } from "../actions";
import { whyNot } from "../api/client";
import { t } from "../i18n";
import { labelLine } from "../lib/labels";
import * as state from "../state";
import { listenToGestures } from "./gestures";
import { KeyImages } from "./KeyImages";
import { OverlayTools } from "./OverlayTools";
import type { Millimetres, View } from "./pair";
import { CORNER, cross, EDGES, extent, FIRST_PLACE, greyScale, hasWebgl, loaded, moveCross } from "./place";
import { MosaicLabels, Readout, ScaleBar } from "./Readout";
import { pictures } from "./shown";
import { SliceSliders } from "./SliceSliders";
import { Slices } from "./Slices";

async function attach(query: HTMLCanvasElement, beside: HTMLCanvasElement): Promise<void> {
  if (!query.ownerDocument.createElement("canvas").getContext("webgl2")) {
    hasWebgl.value = false;
    extent.value = { low: CORNER, high: CORNER.map((at, axis) => at + (EDGES[axis] ?? 0)) as Millimetres };
    return;
  }
  const pair = await import("./pair");
  const views = await Promise.all(
    [query, beside].map(async (canvas): Promise<View> => {
      const nv = pair.plainNiivue((mm) => {
        cross.value = mm;
        canvas.dataset["place"] = mm.map((value) => value.toFixed(1)).join(" ");
      });
      await nv.attachToCanvas(canvas);
      listenToGestures(canvas, canvas === query ? "query" : "beside");
      return { nv, shown: pair.NOTHING, anatomy: Promise.resolve(), turn: 0, isLoading: false };
    }),
  );
  const [queryView, besideView] = views as [View, View];
  pair.link(queryView, besideView);
  loaded.value = { pair, query: queryView, beside: besideView };
}

/** Why a view does not show what it should: its picture could not be had, or only the map on it. */
interface Fault {
  of: "picture" | "map";
  why: string;
}

/** Keep one view as the signals want it; tells while it loads and when it cannot. */
function useView(side: "query" | "beside", fault: { value: Fault | null }, busy: { value: boolean }): void {
  const views = loaded.value;
  const wanted = pictures()[side];
  const anatomy = wanted.anatomy ?? "";
  const overlay = wanted.overlay?.url ?? "";
  // Before the next frame: no picture may stand under another one's name, not even for a moment.
  useLayoutEffect(() => {
    if (!views) return;
    const view = views[side];
    fault.value = null;
    if (!wanted.ready) {
      busy.value = true;
      views.pair.clear(view, true);
      state.viewsMoved.value++;
      return;
    }
    let current = true;
    busy.value = view.isLoading || anatomy !== (view.shown.anatomy ?? "");
    const shown = views.pair.show(view, wanted, state.opacity.value, cross.peek.bind(cross));
    state.viewsMoved.value++; // the grey levels under the cross may be gone
    shown
      .then(() => {
        if (current && wanted.anatomy && side === "query") extent.value = views.pair.extentOf(view);
      })
      .catch(async (error: unknown) => {
        if (!current) return;
        const of = views.pair.isEmpty(view) ? "picture" : "map";
        if (of === "map") view.shown = { ...view.shown, overlay: null };
        const reason = await whyNot(of === "map" ? overlay : anatomy);
        if (current) fault.value = { of, why: lineOf(reason ?? error) };
      })
      .finally(() => {
        if (current) busy.value = false;
        state.viewsMoved.value++;
      });
    return () => {
      current = false;
    };
  }, [views, anatomy, overlay, wanted.ready]);
}

function useTools(): void {
  const views = loaded.value;
  const [side, opacity, shown] = [state.radiological.value, state.opacity.value, state.crossShown.value];
  useEffect(() => {
    if (!views) return;
    for (const view of [views.query, views.beside]) {
      view.nv.setRadiologicalConvention(side);
      view.nv.setCrosshairWidth(shown ? views.pair.CROSS_MM : 0);
    }
  }, [views, side, shown]);
  const [layout, ruler, scale, moved] = [state.layout.value, state.ruler.value, greyScale.value, state.viewsMoved.value];
  useEffect(() => {
    for (const view of views ? [views.query, views.beside] : []) views?.pair.setLayout(view, layout);
    state.viewsMoved.value++;
  }, [views, layout]);
  useEffect(() => {
    for (const view of views ? [views.query, views.beside] : []) views?.pair.setRuler(view, ruler);
  }, [views, ruler]);
  useEffect(() => {
    if (!views) return;
    const both = [views.query, views.beside];
    if (both.some(({ isLoading }) => isLoading)) return; // the brain to come has a say in the common scale
    views.pair.setGreyScale(both, scale ?? views.pair.fullScale(both));
  }, [views, scale, moved]);
  useEffect(() => {
    if (!views) return;
    views.pair.setOpacity(views.query, opacity);
    views.pair.setOpacity(views.beside, opacity);
  }, [views, opacity]);
}

const STEPS: Record<string, Millimetres> = {
  ArrowLeft: [-2, 0, 0], ArrowRight: [2, 0, 0],
  ArrowDown: [0, 0, -2], ArrowUp: [0, 0, 2],
  PageDown: [0, -2, 0], PageUp: [0, 2, 0],
};

function onKey(event: KeyboardEvent): void {
  const move = STEPS[event.key];
  if (!move || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  event.stopPropagation();
  const sign = state.radiological.value ? -1 : 1;
  const [x, y, z] = cross.value;
  moveCross([x + sign * move[0], y + move[1], z + move[2]]);
}

/** NiiVue links views only from the canvas with the focus, so a wheel over one takes it. */
function takeFocus(event: Event): void {
  (event.currentTarget as HTMLElement).focus({ preventScroll: true });
}

interface PaneProps {
  side: "query" | "beside";
  title: string;
  name: string;
  line: string;
  canvas: RefObject<HTMLCanvasElement | null>;
}

/** What a view shows, in a few words. */
function kindOf(viewMm: number | null): string {
  if (viewMm !== null) return t("showsScan", { mm: viewMm });
  const mm = state.gallery.value?.resolution_mm ?? 2;
  return state.asScanned.value ? t("noView", { mm }) : t("showsStandard", { mm });
}

function Pane({ side, title, name, line, canvas }: PaneProps) {
  const fault = useSignal<Fault | null>(null);
  const busy = useSignal(false);
  useView(side, fault, busy);
  const { anatomy, viewMm, ready } = pictures()[side];
  return (
    <figure class={`pane pane-${side}`} data-side={side} data-busy={busy.value}>
      <figcaption>
        <span class="pane-title">{title}</span>
        <strong title={name}>{name || "–"}</strong>
        <span class="pane-line">{line}</span>
      </figcaption>
      <div class="pane-body">
        <canvas
          ref={canvas}
          tabIndex={0}
          role="img"
          aria-label={`${title}: ${name}`}
          hidden={!hasWebgl.value}
          onKeyDownCapture={onKey}
          onWheelCapture={takeFocus}
          onPointerDownCapture={takeFocus}
        />
        {anatomy && <ScaleBar side={side} />}
        {anatomy && state.layout.value === "mosaic" && hasWebgl.value && <MosaicLabels side={side} />}
        {!hasWebgl.value && anatomy && ready && <Slices volume={anatomy} viewMm={viewMm} />}
        {anatomy && ready && <span class="pane-kind" data-view={viewMm ?? ""}>{kindOf(viewMm)}</span>}
        {!anatomy && <p class="pane-empty">{side === "query" ? t("noQueryHint") : state.answer.value ? t("noHits") : ""}</p>}
        {busy.value && <p class="pane-busy">{t("loading")}</p>}
        {fault.value && (
          <p class={`pane-fault pane-fault-${fault.value.of}`} role="alert">
            {t(fault.value.of === "picture" ? "noPicture" : "noMap", { why: fault.value.why })}
          </p>
        )}
      </div>
    </figure>
  );
}

export function Viewers() {
  const query = useRef<HTMLCanvasElement>(null);
  const beside = useRef<HTMLCanvasElement>(null);
  const area = useRef<HTMLElement>(null);
  useEffect(() => {
    if (query.current && beside.current) void attach(query.current, beside.current);
  }, []);
  useTools();
  const views = loaded.value;
  useEffect(() => {
    if (!views || !area.current) return;
    // The whole reading area: it stays as it is when a legend's words or key images come and go.
    const watch = new ResizeObserver(() => views.pair.arrange([views.query, views.beside], EDGES));
    watch.observe(area.current);
    return () => watch.disconnect();
  }, [views]);
  const shownCase = state.beside.value;
  const answer = state.answer.value;
  const isOwn = answer?.same_subject.some((own) => own.scan_id === shownCase?.scan_id) ?? false;
  const rank = answer ? unmarked(answer).findIndex((hit) => hit.scan_id === shownCase?.scan_id) + 1 : 0;
  return (
    <section class="viewers" aria-label={t("viewers")} ref={area}>
      <OverlayTools
        onReset={() => {
          const views = loaded.value;
          if (!views) return;
          moveCross(FIRST_PLACE);
          greyScale.value = null;
          state.viewsMoved.value++;
          views.pair.resetViews([views.query, views.beside]);
        }}
        area={area}
      />
      {!hasWebgl.value && <p class="hint">{t("noWebgl")}</p>}
      <div class="panes">
        <Pane
          side="query" canvas={query} title={t("query")}
          name={state.sourceName.value} line={labelLine(state.answer.value?.query_labels ?? {})}
        />
        <Pane
          side="beside" canvas={beside}
          title={isOwn ? t("ownScan") : rank ? `${t("hit")} ${rank}` : t("hit")}
          name={shownCase?.scan_id ?? ""} line={labelLine(shownCase?.labels ?? {})}
        />
      </div>
      <Readout />
      <SliceSliders />
      <KeyImages />
    </section>
  );
}
