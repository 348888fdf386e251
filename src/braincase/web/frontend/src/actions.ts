/** What the reader can do; each action ends with changed signals or with a notice. */

import { batch } from "@preact/signals";
import * as service from "./api/client";
import { ServiceError } from "./api/client";
import type { Answer, Case, PersonLabels, Labels, SearchRequest, StudyRequest } from "./api/bodies";
import { t } from "./i18n";
import { errorText } from "./i18n/errors";
import * as state from "./state";

const PROVIDER_LOGOUT = "braincase.provider-logout";
/** Searches of this session that are listed. */
const MOST_SEARCHES = 20;

export function tell(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (error instanceof ServiceError && error.status === 401) {
    state.needsLogin.value = true;
    return;
  }
  state.notice.value = { kind: "error", text: lineOf(error) };
}

/** One line for the reader, whatever went wrong. */
export function lineOf(error: unknown): string {
  if (error instanceof ServiceError) {
    if (error.code === "unreachable") return t("errUnreachable");
    if (error.code === "unexpected") return t("errUnexpected", { message: error.message });
    return errorText(error.code, error.message);
  }
  return error instanceof Error ? error.message : String(error);
}

/** Who is here, which gallery, and the search that the address names. */
export async function begin(): Promise<void> {
  try {
    state.me.value = await service.readMe();
    state.gallery.value = await service.readGallery();
    state.needsLogin.value = false;
    const address = new URLSearchParams(location.search);
    const search = address.get("s");
    const scan = address.get("case");
    const study = studyOf(address) ?? studyOf(new URLSearchParams(location.hash.slice(1)));
    if (study) await openStudy(study);
    else if (search) await openSearch(search);
    else if (scan) await startFrom(scan);
  } catch (error) {
    tell(error);
  }
}

/** The study that a PACS menu's link names, behind `?` or, where no log on the way may see it, `#`. */
function studyOf(address: URLSearchParams): StudyRequest | null {
  const [study, accession] = [address.get("study"), address.get("accession")];
  return study ? { study } : accession ? { accession } : null;
}

/** Search with a study of the archive; its number does not stay in the address bar. */
async function openStudy(request: StudyRequest): Promise<void> {
  try {
    const { cases, upload, subject } = await service.findStudy(request);
    history.replaceState(null, "", location.pathname);
    if (cases[0]) await startFrom(cases[0].scan_id);
    else if (upload) {
      newSource({ kind: "upload", job: upload, name: t("archiveStudy"), subject });
      await runSearch();
    }
  } catch (error) {
    const again = error instanceof ServiceError && error.status === 401;
    if (!again) history.replaceState(null, "", location.pathname);
    tell(error);
  }
}

/** Open a case's study in the archive's viewer. */
export async function openInViewer(scan: string, version: number | null): Promise<void> {
  try {
    const { url } = await service.viewerOf(scan, version);
    // A program's own scheme (weasis:) would leave an empty tab behind.
    if (/^https?:/.test(url)) window.open(url, "_blank", "noopener,noreferrer");
    else location.assign(url);
  } catch (error) {
    tell(error);
  }
}

export async function logIn(user: string, password: string): Promise<void> {
  await service.logIn(user, password);
  await begin();
}

export async function logOut(): Promise<void> {
  const ended = await service.logOut().catch(tell);
  if (ended?.provider_logout) sessionStorage.setItem(PROVIDER_LOGOUT, ended.provider_logout);
  location.reload();
}

/** Where one signs out at the OpenID provider too, after having signed out here; told once. */
export function providerLogout(): string | null {
  const address = sessionStorage.getItem(PROVIDER_LOGOUT);
  sessionStorage.removeItem(PROVIDER_LOGOUT);
  return address;
}

async function openSearch(id: string): Promise<void> {
  try {
    restore(await service.readSearch(id));
  } catch (error) {
    const gone = error instanceof ServiceError && (error.status === 404 || error.status === 410);
    if (gone) state.notice.value = { kind: "error", text: t("errLinkGone") };
    else tell(error);
  }
}

/** Take an answer's own request as the page's choices. */
function restore(answer: Answer, name = answer.query_id ?? ""): void {
  batch(() => {
    const { request } = answer;
    if (request.case) state.source.value = { kind: "case", scan_id: request.case };
    else if (request.upload) {
      state.source.value = { kind: "upload", job: request.upload, name, subject: request.subject };
    }
    state.typedWhere.value = request.where || null;
    state.regions.value = request.regions;
    state.older.value = request.older ?? 0;
    state.similarBy.value = request.similar_by;
    state.normality.value = request.normality;
    state.controls.value = request.controls;
    state.personLabels.value = personLabelsOf(request.known);
    state.count.value = Math.max(request.k - request.plus.length, 1);
    state.seriesChoice.value = null;
    state.notice.value = null;
    state.plus.value = new Set(request.plus);
    state.minus.value = new Set(request.minus);
    show(answer);
  });
}

function personLabelsOf({ age, sex }: Labels): PersonLabels {
  return { age: typeof age === "number" ? age : null, sex: sex === "F" || sex === "M" ? sex : null };
}

function show(answer: Answer): void {
  state.answer.value = answer;
  // Without a hit no case is shown: the query's own scan is no similar case.
  state.beside.value = unmarked(answer)[0] ?? answer.hits[0] ?? null;
  const { search } = answer;
  if (state.searches.value.some((entry) => entry.search === search)) return;
  const entry = { search, query: state.sourceName.value, answer };
  state.searches.value = [entry, ...state.searches.value].slice(0, MOST_SEARCHES);
}

/** The hits that the reader has not marked as alike: the query was moved to those, so they are near. */
export const unmarked = ({ hits, request }: Answer): Answer["hits"] =>
  hits.filter((hit) => !request.plus.includes(hit.scan_id));

/** Show an earlier search of this session; the address bar's history goes on from it. */
export function showEarlier(entry: state.PastSearch): void {
  restore(entry.answer, entry.query);
  history.pushState(null, "", address(entry.search));
}

const address = (search: string): string => `?s=${encodeURIComponent(search)}`;

/** Back and forward lead from search to search. */
export async function followAddress(): Promise<void> {
  const search = new URLSearchParams(location.search).get("s");
  latest++;
  state.searching.value = false;
  if (!search) {
    newSource(null);
    return;
  }
  const kept = state.searches.value.find((entry) => entry.search === search);
  if (kept) restore(kept.answer, kept.query);
  else await openSearch(search);
}

export function newSource(from: state.Source | null): void {
  batch(() => {
    state.source.value = from;
    state.seriesChoice.value = null;
    state.answer.value = null;
    state.beside.value = null;
    state.plus.value = new Set();
    state.minus.value = new Set();
    state.personLabels.value = { age: null, sex: null };
    state.notice.value = null;
    state.overlay.value = "none";
  });
}

export const dropSource = (): void => {
  newSource(null);
  history.pushState(null, "", location.pathname);
};

export async function startFrom(scan: string): Promise<void> {
  newSource({ kind: "case", scan_id: scan });
  await runSearch();
}

/** Keep the uploaded scan as a case; the gallery then has a new version. Throws what went wrong. */
export async function keepScan(subject: string, session: string, labels: Labels): Promise<void> {
  const from = state.source.value;
  if (from?.kind !== "upload") return;
  const scan = `sub-${subject}${session ? `_ses-${session}` : ""}`;
  await service.keepCase({ upload: from.job, scan_id: scan, subject, session: session || null, labels });
  state.gallery.value = await service.readGallery();
  state.notice.value = { kind: "info", text: t("kept", { scan }) };
}

/** Take a case out of the gallery, then search again without it. Throws what went wrong. */
export async function removeCase(scan: string): Promise<void> {
  const seen = state.answer.value?.gallery_version ?? state.gallery.value?.version ?? 0;
  const { version } = await service.removeCase(scan, seen);
  state.gallery.value = await service.readGallery();
  const from = state.source.value;
  if (from?.kind === "case" && from.scan_id === scan) dropSource();
  else {
    for (const marks of [state.plus, state.minus]) {
      marks.value = new Set([...marks.value].filter((marked) => marked !== scan));
    }
    await runSearch();
  }
  state.notice.value ??= { kind: "info", text: t("removed", { scan, version }) };
}

const given = (labels: PersonLabels): Labels =>
  Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== null));

/** The request that the page's choices make; null without a query. */
export function requestNow(): SearchRequest | null {
  const from = state.source.value;
  if (!from) return null;
  return {
    ...(from.kind === "case" ? { case: from.scan_id } : { upload: from.job }),
    // Those marked as alike stand apart, so as many more are asked for.
    k: state.count.value + state.plus.value.size,
    where: state.where.value,
    regions: state.regions.value,
    plus: [...state.plus.value],
    minus: [...state.minus.value],
    older: state.older.value || null,
    // Regions are weights of the model's own distance; they mean nothing for the other two.
    similar_by: state.regions.value.length > 0 ? "code" : state.similarBy.value,
    normality: state.normality.value,
    controls: state.controls.value,
    ...(from.kind === "upload" ? { known: given(state.personLabels.value) } : {}),
    ...(from.kind === "upload" && from.subject ? { subject: from.subject } : {}),
  };
}

let latest = 0;

/** Search with the page's choices; a newer search makes an older one's answer void. */
export async function runSearch(): Promise<void> {
  const request = requestNow();
  if (!request) {
    state.notice.value = { kind: "info", text: t("needQuery") };
    return;
  }
  const turn = ++latest;
  state.searching.value = true;
  state.notice.value = null;
  try {
    const answer = await service.search(request);
    if (turn !== latest) return;
    show(answer);
    if (location.search !== address(answer.search)) history.pushState(null, "", address(answer.search));
  } catch (error) {
    if (turn === latest) tell(error);
  } finally {
    if (turn === latest) state.searching.value = false;
  }
}

export async function showCase(scan: string): Promise<void> {
  try {
    state.beside.value = await service.readCase(scan);
  } catch (error) {
    tell(error);
  }
}

/** Mark a case for or against; marking it so again takes the mark away. */
export function mark(scan: string, side: "plus" | "minus"): void {
  const [mine, opposite] = side === "plus" ? [state.plus, state.minus] : [state.minus, state.plus];
  const changed = new Set(mine.value);
  if (!changed.delete(scan)) changed.add(scan);
  const without = new Set(opposite.value);
  without.delete(scan);
  batch(() => {
    mine.value = changed;
    opposite.value = without;
  });
}

export function step(by: number): void {
  const answer = state.answer.value;
  const hits: Case[] = answer ? unmarked(answer) : [];
  const now = hits.findIndex((hit) => hit.scan_id === state.beside.value?.scan_id);
  const next = hits[Math.min(Math.max(now + by, 0), hits.length - 1)];
  if (next) state.beside.value = next;
}

export async function copyLink(): Promise<void> {
  const answer = state.answer.value;
  if (!answer) return;
  const link = `${location.origin}${location.pathname}?s=${encodeURIComponent(answer.search)}`;
  try {
    await navigator.clipboard.writeText(link);
    state.notice.value = { kind: "info", text: t("linkCopied", { version: answer.gallery_version }) };
  } catch {
    state.notice.value = { kind: "info", text: link };
  }
}
