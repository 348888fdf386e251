/** The HTTP client: one function a request; every failure becomes a `ServiceError` with a line to show. */

import type {
  Answer, AtlasRegion, CasePage, Change, Changes, EmbeddingMap, Failure, GalleryInfo, Job, Logout, Me,
  NewCase, NewToken, SearchRequest, Session, SignIn, StoredCase, StudyCases, StudyRequest, Token, Viewer,
} from "./bodies";

const ROOT = "api/v1";

export class ServiceError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

let csrf = "";

function path(...parts: string[]): string {
  return [ROOT, ...parts.map(encodeURIComponent)].join("/");
}

/** Read the service's error record; anything else (a proxy's page, no answer) gets a plain name. */
export function errorOf(status: number, body: string): ServiceError {
  try {
    const record = JSON.parse(body) as Partial<Failure>;
    if (record.message) return new ServiceError(status, record.error ?? "error", record.message);
  } catch {
    // Not JSON: say only what the status says.
  }
  return new ServiceError(status, status === 0 ? "unreachable" : "unexpected", `HTTP ${status}`);
}

async function ask<T>(url: string, init: RequestInit = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...init });
  } catch {
    throw errorOf(0, "");
  }
  const body = await response.text();
  if (!response.ok) throw errorOf(response.status, body);
  return (body ? JSON.parse(body) : null) as T;
}

function send<T>(method: string, url: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method, headers: writingHeaders() };
  if (body !== undefined) init.body = JSON.stringify(body);
  return ask<T>(url, init);
}

/** Headers of a request that changes something; another site's form cannot send them. */
export function writingHeaders(): Record<string, string> {
  return { "Content-Type": "application/json", "X-CSRF-Token": csrf };
}

export async function readMe(): Promise<Me> {
  const me = await ask<Me>(path("me"));
  csrf = me.csrf;
  return me;
}

export const logIn = (user: string, password: string): Promise<unknown> =>
  send("POST", path("login"), { user, password });
export const logOut = (): Promise<Logout> => send("POST", path("logout"));
/** How one may sign in. */
export const readSignIn = (): Promise<SignIn> => ask(path("login"));
/** Where a link leads to sign in at the OpenID provider, and to come back to what the address names. */
export const providerSignIn = (): string =>
  `${path("oidc", "login")}?${new URLSearchParams({ then: `/${location.search}${location.hash}` })}`;

export async function changePassword(old: string, fresh: string): Promise<void> {
  csrf = (await send<Me>("POST", path("password"), { old, new: fresh })).csrf;
}
export const readSessions = (): Promise<Session[]> => ask(path("sessions"));
export const endSessions = (): Promise<unknown> => send("DELETE", path("sessions"));
export const readTokens = (): Promise<Token[]> => ask(path("tokens"));
export const makeToken = (note: string, days: number): Promise<NewToken> =>
  send("POST", path("tokens"), { note, days });
export const revokeToken = (id: string): Promise<unknown> => send("DELETE", path("tokens", id));

export const readGallery = (): Promise<GalleryInfo> => ask(path("gallery"));
export const readMap = (colour: string, search: string | null): Promise<EmbeddingMap> => {
  const query = new URLSearchParams();
  if (colour) query.set("colour", colour);
  if (search) query.set("search", search);
  return ask(`${path("gallery", "map")}?${query}`);
};
export const readCases = (text: string, offset: number, limit: number): Promise<CasePage> =>
  ask(`${path("cases")}?${new URLSearchParams({ text, offset: `${offset}`, limit: `${limit}` })}`);
export const readCase = (id: string, version: number | null = null): Promise<StoredCase> =>
  ask(path("cases", id) + asOf(version));
export const keepCase = (request: NewCase): Promise<Change> => send("POST", path("cases"), request);
/** `seen` is the version of the gallery that the curator looked at. */
export const removeCase = (id: string, seen: number): Promise<Change> =>
  send("DELETE", `${path("cases", id)}?seen=${seen}`);
/** Which cases a study of the archive has; its number goes in the body, where no log shows it. */
export const findStudy = (request: StudyRequest): Promise<StudyCases> =>
  send("POST", path("studies"), request);
export const viewerOf = (id: string, version: number | null): Promise<Viewer> =>
  send("POST", path("cases", id, "viewer") + (version === null ? "" : `?as_of=${version}`));
export const readRegions = (): Promise<AtlasRegion[]> => ask(path("regions"));

export const readJob = (job: string): Promise<Job> => ask(path("jobs", job));
export const cancelJob = (job: string): Promise<unknown> => send("DELETE", path("jobs", job));
export const jobEvents = (job: string): string => path("jobs", job, "events");
export const uploadsUrl = (series: number | null): string =>
  path("uploads") + (series === null ? "" : `?series=${series}`);

export const search = (request: SearchRequest): Promise<Answer> =>
  send("POST", path("searches"), request);
/** People whose brain changed as the query's person has since an earlier scan. */
export const readChanges = (search: string, prior: string, k: number): Promise<Changes> =>
  ask(`${path("searches", search, "changes", prior)}?k=${k}`);
export const readSearch = (id: string): Promise<Answer> => ask(path("searches", id));

/** Why a file could not be had, as the service tells; NiiVue only says that it could not. */
export async function whyNot(url: string): Promise<ServiceError | null> {
  try {
    const response = await fetch(url, { credentials: "same-origin" });
    return response.ok ? null : errorOf(response.status, await response.text());
  } catch {
    return errorOf(0, "");
  }
}

/** A case may have left the gallery since; an earlier version still has its picture. */
const asOf = (version: number | null): string => (version === null ? "" : `?as_of=${version}`);

/** Where pictures and files lie. */
export const urls = {
  caseVolume: (id: string, version: number | null): string =>
    path("cases", id, "volume.nii.gz") + asOf(version),
  caseView: (id: string, version: number | null): string => path("cases", id, "view.nii.gz") + asOf(version),
  caseThumbnail: (id: string, version: number | null): string =>
    path("cases", id, "thumbnail.png") + asOf(version),
  uploadVolume: (job: string): string => path("uploads", job, "volume.nii.gz"),
  uploadView: (job: string): string => path("uploads", job, "view.nii.gz"),
  uploadThumbnail: (job: string): string => path("uploads", job, "thumbnail.png"),
  slice: (volume: string, plane: string, index: number): string =>
    volume.replace(/(volume|view)\.nii\.gz(?=$|\?)/, (_, name: string) =>
      `${name === "view" ? "view/" : ""}slices/${plane}/${index}.png`),
  map: (search: string, scan: string, kind: string): string =>
    path("searches", search, "maps", scan, `${kind}.nii.gz`),
  report: (search: string, language: string, keys: readonly string[]): string =>
    `${path("searches", search, "report.html")}?${new URLSearchParams([["lang", language], ...keys.map((key) => ["key", key])])}`,
  table: (search: string): string => path("searches", search, "cases.tsv"),
  template: (): string => path("regions", "template.nii.gz"),
  atlas: (): string => path("regions", "atlas.nii.gz"),
};
