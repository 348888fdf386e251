/** What the page knows, as signals; `actions.ts` alone changes most of them. */

import { computed, effect, signal } from "@preact/signals";
import type {
  Answer, Case, GalleryInfo, Hit, Job, Me, OfferedSeries, PersonLabels, SimilarBy, WeightedRegion,
} from "./api/bodies";
import { type Clauses, whereText } from "./lib/where";
import type { OverlayKind } from "./viewer/overlays";
import type { Layout } from "./viewer/pair";

/** Where the query comes from. */
export type Source =
  | { kind: "case"; scan_id: string }
  | { kind: "upload"; job: string; name: string; subject?: string | null };

/** A scan on its way: packing and sending happen in the browser, the rest is the service's job. */
export interface Transfer {
  name: string;
  phase: "packing" | "sending" | "job";
  share: number;
  job: Job | null;
}

/** A study that was sent and of which the reader has to choose a series: it is sent again with it. */
export interface SeriesChoice {
  name: string;
  parcel: { blob: Blob; name: string };
  series: OfferedSeries[];
}

/** A search of this session, to come back to. */
export interface PastSearch {
  search: string;
  query: string;
  answer: Answer;
}

export interface Notice {
  kind: "error" | "info";
  text: string;
}

export const me = signal<Me | null>(null);
/** Whether the person may add and remove cases. */
export const mayCurate = computed(() => (me.value?.role ?? "reader") !== "reader");
export const needsLogin = signal(false);
export const gallery = signal<GalleryInfo | null>(null);
export const notice = signal<Notice | null>(null);

export const source = signal<Source | null>(null);
export const transfer = signal<Transfer | null>(null);
export const seriesChoice = signal<SeriesChoice | null>(null);

export const clauses = signal<Clauses>(new Map());
/** The filter as the reader typed it, or null while the choices alone decide. */
export const typedWhere = signal<string | null>(null);
export const where = computed(() => typedWhere.value ?? whereText(clauses.value));
export const regions = signal<WeightedRegion[]>([]);
/** Years by which the query is made older before it is compared; negative: younger. */
export const older = signal(0);
export const similarBy = signal<SimilarBy>("code");
/** Whether query and hits are compared with the gallery's controls too. */
export const normality = signal(false);
/** Who the controls are, as a filter; null: by diagnosis. */
export const controls = signal<string | null>(null);
/** What the reader knows of an uploaded scan's person. */
export const personLabels = signal<PersonLabels>({ age: null, sex: null });
export const count = signal(8);
export const plus = signal<ReadonlySet<string>>(new Set());
export const minus = signal<ReadonlySet<string>>(new Set());

export const answer = signal<Answer | null>(null);
export const searching = signal(false);
/** This session's searches, the last first. */
export const searches = signal<readonly PastSearch[]>([]);
/** A place in a case that the reader keeps for the report, MNI mm. */
export interface KeyImage {
  search: string;
  scan_id: string;
  place: readonly [number, number, number];
}

export const keyImages = signal<readonly KeyImage[]>([]);
/** A key image as the report's address names it. */
export const keyText = ({ scan_id, place }: KeyImage): string => `${scan_id}@${place.join(",")}`;
/** Key images of the search that is shown. */
export const shownKeyImages = computed(() =>
  keyImages.value.filter((image) => image.search === answer.value?.search),
);
/** The case shown beside the query: a hit, an own scan, or one chosen in the map. */
export const beside = signal<Case | null>(null);

/** Whether the views show the scans as they were, or the volumes that the search compares. */
export const asScanned = signal(localStorage.getItem("braincase.picture") !== "standard");
export const overlay = signal<OverlayKind>("none");
export const opacity = signal(0.8);
export const radiological = signal(localStorage.getItem("braincase.convention") !== "neurological");
export const layout = signal<Layout>("three");
/** Whether the right button measures lengths. */
export const ruler = signal(false);
/** Counts what changes the views without changing the cross: pictures loaded, zoom. */
export const viewsMoved = signal(0);
export const crossShown = signal(true);
export const letterKeys = signal(localStorage.getItem("braincase.keys") !== "off");

effect(() => {
  localStorage.setItem("braincase.convention", radiological.value ? "radiological" : "neurological");
  localStorage.setItem("braincase.picture", asScanned.value ? "scan" : "standard");
  localStorage.setItem("braincase.keys", letterKeys.value ? "on" : "off");
});

export const sourceName = computed(() => {
  const from = source.value;
  if (!from) return "";
  return from.kind === "case" ? from.scan_id : from.name;
});

/** The hit that is shown beside the query, where it is one of the answer's. */
export const shownHit = computed<Hit | null>(() => {
  const all = answer.value ? [...answer.value.hits, ...answer.value.same_subject] : [];
  return all.find((hit) => hit.scan_id === beside.value?.scan_id) ?? null;
});

/** The gallery version whose pictures the query needs: an old link's; null for the newest. */
export const queryVersion = computed(() => {
  const version = answer.value?.gallery_version ?? null;
  return version === gallery.value?.version ? null : version;
});

/** What the answer is ranked by. */
export const answeredBy = computed<SimilarBy>(() => answer.value?.request.similar_by ?? "code");

/** Whether the query that was answered had been moved: by marked cases, or to be older or younger. */
export const isMoved = computed(() => {
  const { plus, minus, older } = answer.value?.request ?? { plus: [], minus: [], older: null };
  return plus.length + minus.length > 0 || Boolean(older);
});

export const hasMarks = computed(() => plus.value.size + minus.value.size > 0);
