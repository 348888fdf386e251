/** Choosing regions on a brain: the template with its atlas, and a list for the keyboard. */

import { useSignal } from "@preact/signals";
import type { Niivue } from "@niivue/niivue";
import { useEffect, useRef } from "preact/hooks";
import { tell } from "../actions";
import { readRegions, urls } from "../api/client";
import type { AtlasRegion } from "../api/types";
import { t } from "../i18n";
import * as state from "../state";
import { plainNiivue } from "../viewer/pair";
import { Dialog } from "./Dialog";
import { RegionList, toggleRegion } from "./RegionPanel";

/** Soft hues by the golden angle, so that neighbours differ; chosen regions stand out in amber. */
function colourOf(index: number): [number, number, number] {
  const hue = (index * 137.5) % 360;
  const channel = (n: number): number => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (0.55 - 0.2 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}

function paint(nv: Niivue, regions: readonly AtlasRegion[]): void {
  const atlas = nv.volumes[1];
  if (!atlas) return;
  const wished = new Set(state.regions.value.map(({ name }) => name));
  const isChosen = (name: string): boolean =>
    wished.has(name) || wished.has(name.replace(/^(left|right)-/, ""));
  const rows = regions.map(({ index, name }) => {
    const [r, g, b] = isChosen(name) ? [255, 176, 46] : colourOf(index);
    return { index, name, r, g, b, a: isChosen(name) ? 235 : 90 };
  });
  atlas.setColormapLabel({
    I: [0, ...rows.map((row) => row.index)],
    R: [0, ...rows.map((row) => row.r ?? 0)],
    G: [0, ...rows.map((row) => row.g ?? 0)],
    B: [0, ...rows.map((row) => row.b ?? 0)],
    A: [0, ...rows.map((row) => row.a)],
    labels: ["", ...rows.map((row) => row.name)],
  });
  nv.updateGLVolume();
}

function regionAt(nv: Niivue, mm: readonly number[], regions: readonly AtlasRegion[]): string {
  const atlas = nv.volumes[1];
  if (!atlas) return "";
  const [x, y, z] = atlas.mm2vox([...mm]) as [number, number, number];
  const value = Math.round(atlas.getValue(x, y, z));
  return regions.find(({ index }) => index === value)?.name ?? "";
}

/** A brain to click on; `data-region` names what lies under the cross. */
function Brain({ regions }: { regions: readonly AtlasRegion[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const viewer = useRef<Niivue | null>(null);
  const under = useSignal("");
  const busy = useSignal(true);
  const radiological = state.radiological.value;
  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const nv = plainNiivue((mm) => (under.value = regionAt(nv, mm, regions)));
    const start = async (): Promise<void> => {
      await nv.attachToCanvas(element);
      await nv.loadVolumes([
        { url: urls.template(), colormap: "gray" },
        { url: urls.atlas(), opacity: 0.75 },
      ]);
      nv.setRadiologicalConvention(radiological);
      paint(nv, regions);
      viewer.current = nv;
      busy.value = false;
    };
    start().catch(tell);
    return () => nv.cleanup();
  }, [regions]);
  useEffect(() => {
    if (viewer.current) paint(viewer.current, regions);
  }, [state.regions.value, busy.value]);
  return (
    <div class="brain">
      <canvas
        ref={canvas} tabIndex={0} role="img" aria-label={t("regionsTitle")} data-region={under.value}
        data-busy={busy.value}
        onClick={() => {
          if (under.value) toggleRegion(under.value);
        }}
      />
      <p class="brain-under" aria-live="polite">
        <span class="hint">{t("underCursor")}</span> {under.value || "–"}
      </p>
    </div>
  );
}

function Choices() {
  const text = useSignal("");
  const names = (state.gallery.value?.regions ?? []).filter((name) =>
    name.includes(text.value.trim().toLowerCase().replaceAll(" ", "-")),
  );
  const chosen = new Set(state.regions.value.map(({ name }) => name));
  return (
    <>
      <input
        type="search" id="region-finder" placeholder={t("findRegion")} aria-label={t("findRegion")}
        value={text.value} onInput={(event) => (text.value = event.currentTarget.value)}
      />
      <ul class="choices" aria-label={t("regions")}>
        {names.map((name) => (
          <li key={name}>
            <label>
              <input type="checkbox" checked={chosen.has(name)} onChange={() => toggleRegion(name)} />
              {name}
            </label>
          </li>
        ))}
      </ul>
    </>
  );
}

export default function RegionDialog({ onClose }: { onClose: () => void }) {
  const regions = useSignal<AtlasRegion[] | null>(null);
  useEffect(() => {
    readRegions().then((found) => (regions.value = found)).catch(tell);
  }, []);
  return (
    <Dialog title={t("regionsTitle")} className="region-dialog" onClose={onClose}>
      <div class="region-body">
        {regions.value && <Brain regions={regions.value} />}
        <div class="region-side">
          <p class="hint">{t("regionsHint")}</p>
          <RegionList />
          <Choices />
          <form method="dialog">
            <button class="primary">{t("apply")}</button>
          </form>
        </div>
      </div>
    </Dialog>
  );
}
