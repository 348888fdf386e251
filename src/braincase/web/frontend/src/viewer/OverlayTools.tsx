/** The row above the views: convention, map, opacity, legend, cross, full screen. */

import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";
import { t } from "../i18n";
import type { Key } from "../i18n/en";
import { ChosenControls } from "../panels/ChosenControls";
import * as state from "../state";
import { ends, gradient, MAP_NAMES, OVERLAYS, SCALES } from "./overlays";
import { keepKeyImage } from "./KeyImages";
import type { GreyScale, Layout } from "./pair";
import { greyScale, loaded } from "./place";

/** Choices of which exactly one holds, as a row of buttons. */
export function Segments<T extends string>(props: {
  id?: string;
  label: string;
  choices: readonly { value: T; text: string; hint?: string }[];
  value: T;
  onChoose: (value: T) => void;
  disabled?: boolean;
}) {
  return (
    <div class="segments" id={props.id} role="group" aria-label={props.label}>
      {props.choices.map(({ value, text, hint }) => (
        <button
          key={value} type="button" title={hint ?? ""} disabled={props.disabled ?? false}
          aria-pressed={props.value === value} onClick={() => props.onChoose(value)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

function Legend() {
  const kind = state.overlay.value;
  // Its room stays: the brains may not move while one looks with and without a map.
  if (kind === "none") return <div class="legend"><span class="legend-text">{t("legendNone")}</span></div>;
  const scale = SCALES[kind];
  return (
    <div class="legend">
      <span class="legend-text">{t(scale.legend)}{kind === "deviation" && <> <ChosenControls /></>}</span>
      <span class="legend-bar" style={{ backgroundImage: gradient(scale) }} />
      <span class={scale.cold ? "legend-ends legend-signed" : "legend-ends"}>
        {(scale.words?.map((word) => t(word)) ?? ends(scale)).map((end) => <span key={end}>{end}</span>)}
      </span>
      <label class="opacity">
        <span>{t("opacity")}</span>
        <input
          type="range" min="0" max="1" step="0.05" value={state.opacity.value}
          onInput={(event) => (state.opacity.value = Number(event.currentTarget.value))}
        />
      </label>
    </div>
  );
}

function Convention() {
  return (
    <Segments
      label={t("convention")}
      choices={[
        { value: "radiological", text: t("radiological"), hint: t("radiologicalHint") },
        { value: "neurological", text: t("neurological"), hint: t("neurologicalHint") },
      ]}
      value={state.radiological.value ? "radiological" : "neurological"}
      onChoose={(value) => (state.radiological.value = value === "radiological")}
    />
  );
}

function Pictures() {
  return (
    <Segments
      label={t("picture")}
      choices={[
        { value: "scan", text: t("asScanned"), hint: t("asScannedHint") },
        { value: "standard", text: t("standardVolume"), hint: t("standardVolumeHint") },
      ]}
      value={state.asScanned.value ? "scan" : "standard"}
      onChoose={(value) => (state.asScanned.value = value === "scan")}
    />
  );
}

function Maps() {
  const none = !state.shownHit.value;
  return (
    <div class="tools-pair">
      <span class="tool-name">{t("overlay")}</span>
      <Segments
        label={t("overlay")} disabled={none}
        choices={OVERLAYS.map((value) => ({ value, text: t(MAP_NAMES[value]) }))}
        value={state.overlay.value}
        onChoose={(value) => (state.overlay.value = value)}
      />
    </div>
  );
}

const LAYOUTS: readonly { value: Layout; text: Key }[] = [
  { value: "three", text: "threePlanes" },
  { value: "axial", text: "planeAxial" },
  { value: "coronal", text: "planeCoronal" },
  { value: "sagittal", text: "planeSagittal" },
  { value: "mosaic", text: "mosaic" },
];

function Layouts() {
  return (
    <select
      id="layout" aria-label={t("layout")} title={t("layout")} value={state.layout.value}
      onChange={(event) => (state.layout.value = event.currentTarget.value as Layout)}
    >
      {LAYOUTS.map(({ value, text }) => <option key={value} value={value}>{t(text)}</option>)}
    </select>
  );
}

/** Usual grey scales as parts of the full one: all of it, grey against white matter, fluid. */
const SCALE_PRESETS: readonly { value: string; text: Key; part: GreyScale | null }[] = [
  { value: "full", text: "scaleFull", part: null },
  { value: "matter", text: "scaleMatter", part: [0.4, 1] },
  { value: "fluid", text: "scaleFluid", part: [0, 0.5] },
];

function GreyScales() {
  const views = loaded.value;
  const full = views?.pair.fullScale([views.query, views.beside]) ?? [0, 255];
  const scaleOf = (part: GreyScale | null): GreyScale | null =>
    part && [part[0] * full[1], part[1] * full[1]];
  const now = greyScale.value;
  const chosen = SCALE_PRESETS.find(({ part }) => `${scaleOf(part)}` === `${now}`)?.value ?? "own";
  return (
    <select
      id="grey-scale" aria-label={t("greyScale")} title={t("greyScaleHint")} value={chosen}
      onChange={(event) => {
        const preset = SCALE_PRESETS.find(({ value }) => value === event.currentTarget.value);
        greyScale.value = scaleOf(preset?.part ?? null);
      }}
    >
      {SCALE_PRESETS.map(({ value, text }) => <option key={value} value={value}>{t(text)}</option>)}
      {now && chosen === "own" && <option value="own">{`${Math.round(now[0])}–${Math.round(now[1])}`}</option>}
    </select>
  );
}

const ICONS = {
  key: "M2 5.500h3l1.200-2h3.600l1.200 2h3v7.500h-12zM8 6.700a2.300 2.300 0 1 1 0 4.600a2.300 2.300 0 0 1 0-4.600",
  ruler: "M1.500 11.500l10-10 3 3-10 10zM4.500 8.500l1.500 1.500M7 6l2 2M9.500 3.500l1.500 1.500",
  cross: "M8 1.500v4.500M8 10v4.500M1.500 8h4.500M10 8h4.500",
  reset: "M3.200 6.200a5.200 5.200 0 1 1-.3 3.200M3.200 2.600v3.600h3.600",
  full: "M2 6v-4h4M10 2h4v4M14 10v4h-4M6 14h-4v-4",
} as const;

/** A tool as a picture; its name is its label and its tip. */
function Tool(props: {
  name: keyof typeof ICONS; text: string; pressed?: boolean; disabled?: boolean; onClick: () => void;
}) {
  return (
    <button
      type="button" class="quiet icon" id={`tool-${props.name}`} title={props.text}
      aria-label={props.text} aria-pressed={props.pressed} disabled={props.disabled ?? false} onClick={props.onClick}
    >
      <svg viewBox="0 0 16 16" aria-hidden="true"><path d={ICONS[props.name]} /></svg>
    </button>
  );
}

export function toggleFullScreen(area: HTMLElement | null): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void area?.requestFullscreen();
}

export function OverlayTools(props: { onReset: () => void; area: RefObject<HTMLElement | null> }) {
  const full = useSignal(false);
  useEffect(() => {
    // Three equal planes leave a quarter of a whole screen empty; one large plane fills it.
    let before: Layout | null = null;
    const see = (): void => {
      full.value = document.fullscreenElement !== null;
      if (full.value && state.layout.value === "three") {
        before = "three";
        state.layout.value = "axial";
      } else if (!full.value && before) {
        state.layout.value = before;
        before = null;
      }
    };
    document.addEventListener("fullscreenchange", see);
    return () => document.removeEventListener("fullscreenchange", see);
  }, []);
  return (
    <div class="tools">
      <div class="tools-row">
        <Pictures />
        <Convention />
        <Layouts />
        <Maps />
        <GreyScales />
        <span class="spacer" />
        <Tool name="key" text={t("keepKeyImage")} onClick={keepKeyImage} disabled={!state.shownHit.value} />
        <Tool
          name="ruler" text={t("ruler")} pressed={state.ruler.value}
          onClick={() => (state.ruler.value = !state.ruler.value)}
        />
        <Tool
          name="cross" text={t("cross")} pressed={state.crossShown.value}
          onClick={() => (state.crossShown.value = !state.crossShown.value)}
        />
        <Tool name="reset" text={t("resetView")} onClick={props.onReset} />
        <Tool
          name="full" text={full.value ? t("leaveFullScreen") : t("fullScreen")}
          onClick={() => toggleFullScreen(props.area.current)}
        />
      </div>
      <Legend />
    </div>
  );
}
