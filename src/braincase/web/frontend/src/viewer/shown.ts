/** What the views show: of each scan its view volume where it has one and that is wanted, else the standard one. */

import { effect, signal } from "@preact/signals";
import { readCase, readJob, urls } from "../api/client";
import * as state from "../state";
import type { Picture } from "./pair";

/** A scan that a view shows. */
type Scan = { case: string; version: number | null } | { job: string };

const keyOf = (scan: Scan): string => ("job" in scan ? scan.job : `${scan.case} ${scan.version ?? ""}`);

/** Voxel edges of the view volumes, mm: null where a scan has none, nothing while that is asked. */
const edges = signal<ReadonlyMap<string, number | null>>(new Map());
const asked = new Set<string>();

async function ask(scan: Scan): Promise<void> {
  const key = keyOf(scan);
  if (asked.has(key)) return;
  asked.add(key);
  let edge: number | null = null;
  try {
    const { view_mm } = "job" in scan ? await readJob(scan.job) : await readCase(scan.case, scan.version);
    edge = view_mm ?? null;
  } catch {
    asked.delete(key); // the standard volume's own request tells what is wrong
  }
  edges.value = new Map([...edges.value, [key, edge]]);
}

function queryScan(): Scan | null {
  const from = state.source.value;
  if (!from) return null;
  return from.kind === "case" ? { case: from.scan_id, version: state.queryVersion.value } : { job: from.job };
}

function besideScan(): Scan | null {
  const shown = state.beside.value?.scan_id;
  if (!shown) return null;
  return { case: shown, version: state.shownHit.value ? (state.answer.value?.gallery_version ?? null) : null };
}

effect(() => {
  if (!state.asScanned.value) return;
  for (const scan of [queryScan(), besideScan()]) if (scan) void ask(scan);
});

/** The anatomy of a scan; not ready until it is known whether it has a view volume. */
function anatomyOf(scan: Scan | null): Pick<Picture, "anatomy" | "standard" | "viewMm" | "ready"> {
  if (!scan) return { anatomy: null, standard: null, viewMm: null, ready: true };
  const standard = "job" in scan ? urls.uploadVolume(scan.job) : urls.caseVolume(scan.case, scan.version);
  const edge = state.asScanned.value ? edges.value.get(keyOf(scan)) : null;
  if (!edge) return { anatomy: standard, standard, viewMm: null, ready: edge !== undefined };
  const view = "job" in scan ? urls.uploadView(scan.job) : urls.caseView(scan.case, scan.version);
  return { anatomy: view, standard, viewMm: edge, ready: true };
}

/** The pictures of both views; maps exist only between a search's query and one of its cases. */
export function pictures(): { query: Picture; beside: Picture } {
  const search = state.answer.value?.search;
  const scan = state.shownHit.value?.scan_id;
  const kind = state.overlay.value;
  const layer = (on: string): Picture["overlay"] =>
    search && scan && kind !== "none" ? { url: urls.map(search, on, kind), kind } : null;
  return {
    query: { ...anatomyOf(queryScan()), overlay: kind === "deviation" ? layer("query") : layer(scan ?? "") },
    beside: { ...anatomyOf(besideScan()), overlay: layer(scan ?? "") },
  };
}
