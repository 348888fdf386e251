/** A scan from the reader's disk: packed, sent, prepared by the service, and searched with. */

import { newSource, runSearch, tell } from "./actions";
import * as service from "./api/client";
import { followJob, sendScan } from "./api/upload";
import { number, t } from "./i18n";
import { droppedFiles, type NamedFile, parcelOf } from "./lib/folder";
import * as state from "./state";

const MIB = 2 ** 20;
let running: AbortController | null = null;

type AtPhase = (phase: state.Transfer["phase"], share: number) => void;

/** Say why not; the query that stands stays. */
function refuse(text: string): void {
  state.notice.value = { kind: "error", text };
}

/** Why a file is not worth sending: the service would refuse it once it is there. */
function tooLarge(name: string, bytes: number): string | null {
  const most = state.gallery.value?.upload_bytes ?? Infinity;
  if (bytes <= most) return null;
  return t("tooLarge", { name, size: number(Math.ceil(bytes / MIB)), limit: number(Math.floor(most / MIB)) });
}

/** Search with what was dropped, or say why not. */
export function takeDropped(dropped: DataTransfer): void {
  if (state.gallery.value?.can_upload === false) refuse(t("noUpload"));
  else if (state.transfer.value) refuse(t("oneAtATime", { name: state.transfer.value.name }));
  else droppedFiles(dropped.items).then(uploadFiles).catch(tell);
}

/** Pack, send, wait for the service to prepare the scan, and search with it. */
export async function uploadFiles(files: NamedFile[]): Promise<void> {
  const [first] = files;
  if (!first) return refuse(t("nothingToSend"));
  const large = files.length === 1 ? tooLarge(first.file.name, first.file.size) : null;
  if (large) return refuse(large);
  await transferOf(first.file.name, async (abort, at) => {
    const parcel = await parcelOf(files, (share) => at("packing", share));
    if (!parcel) throw new Error(t("nothingToSend"));
    const large = tooLarge(parcel.name, parcel.blob.size);
    if (large) throw new Error(large);
    await sendParcel(parcel, null, abort, at);
  });
}

/** Send a study again with the series that the reader has chosen of it. */
export async function chooseSeries({ parcel, name }: state.SeriesChoice, series: number): Promise<void> {
  await transferOf(name, (abort, at) => sendParcel(parcel, series, abort, at));
}

async function sendParcel(
  parcel: { blob: Blob; name: string }, series: number | null, abort: AbortController, at: AtPhase,
): Promise<void> {
  at("sending", 0);
  const { blob, name } = parcel;
  const sent = await sendScan(blob, name, (share) => at("sending", share), abort.signal, series);
  const cancel = (): void => void service.cancelJob(sent.job).catch(() => undefined);
  abort.signal.addEventListener("abort", cancel);
  if (abort.signal.aborted) {
    cancel();
    return;
  }
  state.transfer.value = { name, phase: "job", share: 0, job: sent };
  const done = await followJob(sent.job, (job) => {
    state.transfer.value = { name, phase: "job", share: job.progress, job };
  }, abort.signal);
  if (done.series.length > 0) {
    state.seriesChoice.value = { name, parcel, series: done.series };
    return;
  }
  if (done.state === "failed") throw new Error(done.message);
  if (done.state === "cancelled") throw new DOMException("cancelled", "AbortError");
  state.source.value = { kind: "upload", job: done.job, name };
  state.transfer.value = null;
  await runSearch();
}

/** Run a transfer in the place of the one that is under way. */
async function transferOf(
  name: string, send: (abort: AbortController, at: AtPhase) => Promise<void>,
): Promise<void> {
  running?.abort();
  const abort = new AbortController();
  running = abort;
  newSource(null);
  const at: AtPhase = (phase, share) => {
    if (!abort.signal.aborted) state.transfer.value = { name, phase, share, job: null };
  };
  try {
    await send(abort, at);
  } catch (error) {
    tell(error);
  } finally {
    if (running === abort) {
      state.transfer.value = null;
      running = null;
    }
  }
}

export function cancelTransfer(): void {
  running?.abort();
  running = null;
  state.transfer.value = null;
  state.notice.value = { kind: "info", text: t("cancelled") };
}
