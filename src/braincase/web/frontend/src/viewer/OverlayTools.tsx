/** The row above the views: convention, map, opacity, legend, cross, full screen. */

import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";
import { t } from "../i18n";
import type { Key } from "../i18n/en";
import * as state from "../state";
import { gradient, OVERLAYS, type OverlayKind, SCALES } from "./overlays";

const NAMES: Record<OverlayKind, Key> = {
  none: "overlayNone",
  difference: "overlayDifference",
  agreement: "overlayAgreement",
  deviation: "overlayDeviation",
};

/** Choices of which exactly one holds, as a row of buttons. */
export function Segments<T extends string>(props: {
  label: string;
  choices: readonly { value: T; text: string; hint?: string }[];
  value: T;
  onChoose: (value: T) => void;
  disabled?: boolean;
}) {
  return (
    <div class="segments" role="group" aria-label={props.label}>
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
  if (kind === "none") return null;
  const scale = SCALES[kind];
  const ends = scale.cold ? [`−${scale.most}`, "0", `+${scale.most}`] : [`${scale.least}`, `${scale.most}`];
  return (
    <div class="legend">
      <span class="legend-text">{t(scale.legend)}</span>
      <span class="legend-bar" style={{ backgroundImage: gradient(scale) }} />
      <span class="legend-ends">{ends.map((end) => <span key={end}>{end}</span>)}</span>
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

function Maps() {
  const none = !state.shownHit.value;
  return (
    <>
      <span class="tool-name">{t("overlay")}</span>
      <Segments
        label={t("overlay")} disabled={none}
        choices={OVERLAYS.map((value) => ({ value, text: t(NAMES[value]) }))}
        value={state.overlay.value}
        onChoose={(value) => (state.overlay.value = value)}
      />
      {state.overlay.value !== "none" && (
        <label class="opacity">
          <span>{t("opacity")}</span>
          <input
            type="range" min="0" max="1" step="0.05" value={state.opacity.value}
            onInput={(event) => (state.opacity.value = Number(event.currentTarget.value))}
          />
        </label>
      )}
    </>
  );
}

export function toggleFullScreen(area: HTMLElement | null): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void area?.requestFullscreen();
}

export function OverlayTools(props: { onReset: () => void; area: RefObject<HTMLElement | null> }) {
  const full = useSignal(false);
  useEffect(() => {
    const see = (): void => {
      full.value = document.fullscreenElement !== null;
    };
    document.addEventListener("fullscreenchange", see);
    return () => document.removeEventListener("fullscreenchange", see);
  }, []);
  return (
    <div class="tools">
      <div class="tools-row">
        <Convention />
        <Maps />
        <span class="spacer" />
        <button
          type="button" class="quiet" aria-pressed={state.crossShown.value}
          onClick={() => (state.crossShown.value = !state.crossShown.value)}
        >
          {t("cross")}
        </button>
        <button type="button" class="quiet" onClick={props.onReset}>{t("resetView")}</button>
        <button
          type="button" class="quiet" id="full-screen"
          onClick={() => toggleFullScreen(props.area.current)}
        >
          {full.value ? t("leaveFullScreen") : t("fullScreen")}
        </button>
      </div>
      <Legend />
    </div>
  );
}
