/** Choosing regions on a brain: the template with its atlas, and a list for the keyboard. */

import { useSignal } from "@preact/signals";
import type { Niivue, NVImage } from "@niivue/niivue";
import { useEffect, useRef } from "preact/hooks";
import { tell } from "../actions";
import { readRegions, urls } from "../api/client";
import type { AtlasRegion } from "../api/bodies";
import { t } from "../i18n";
import { regionChoice } from "../i18n/parts";
import * as state from "../state";
import { plainNiivue } from "../viewer/pair";
import { Dialog } from "./Dialog";
import { RegionList, toggleRegion } from "./RegionList";

/** The NIfTI intent of a label image: NiiVue then never mixes the numbers of two regions. */
const INTENT_LABEL = 1002;
const FAINT = 0.3;
const STRONG = 0.85;
const CHOSEN = [255, 184, 64] as const;

/** Soft hues by the golden angle, so that neighbours differ. */
function colourOf(index: number): [number, number, number] {
  const hue = (index * 137.5) % 360;
  const channel = (n: number): number => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (0.6 - 0.28 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}

type Row = readonly [index: number, red: number, green: number, blue: number, alpha: number];

function table(rows: readonly Row[]): Parameters<NVImage["setColormapLabel"]>[0] {
  const column = (place: 0 | 1 | 2 | 3 | 4): number[] => [0, ...rows.map((row) => row[place])];
  return { I: column(0), R: column(1), G: column(2), B: column(3), A: column(4) };
}

/** Whether a name of the search stands for a region: itself, or both sides of it. */
function isChosen(name: string): boolean {
  const plain = name.replace(/^(left|right)-/, "");
  return state.regions.value.some((region) => region.name === name || region.name === plain);
}

/** Two layers of the same atlas: all regions faintly, and the chosen ones. */
function paint(nv: Niivue, regions: readonly AtlasRegion[]): void {
  const [, all, chosen] = nv.volumes;
  if (!all || !chosen) return;
  for (const { hdr } of [all, chosen]) if (hdr) hdr.intent_code = INTENT_LABEL;
  all.setColormapLabel(table(regions.map(({ index }) => [index, ...colourOf(index), 255])));
  chosen.setColormapLabel(
    table(regions.map(({ index, name }) => [index, ...CHOSEN, isChosen(name) ? 255 : 0])),
  );
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
        { url: urls.atlas(), opacity: FAINT },
        { url: urls.atlas(), opacity: STRONG },
      ]);
      nv.setRadiologicalConvention(radiological);
      paint(nv, regions);
      nv.createOnLocationChange();
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
        <span class="hint">{t("underCursor")}</span> {under.value ? regionChoice(under.value) : "–"}
      </p>
    </div>
  );
}

function Choices() {
  const text = useSignal("");
  const names = (state.gallery.value?.regions ?? []).filter((name) =>
    name.includes(text.value.trim().toLowerCase().replaceAll(" ", "-")) || regionChoice(name).includes(text.value.trim()),
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
              {regionChoice(name)}
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
    readRegions().then((atlas) => (regions.value = atlas)).catch(tell);
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
