/** The service's records (see /api/v1/openapi.json); names as the service writes them. */

export type Value = string | number | boolean | null;
export type Labels = Record<string, Value>;

export interface Me {
  user: string;
  role: "reader" | "curator" | "admin";
  csrf: string;
  /** Whether one signs in here; false on a service for this machine only. */
  login: boolean;
}

export interface Column {
  name: string;
  kind: "number" | "text";
  values?: string[] | null;
  minimum?: number | null;
  maximum?: number | null;
}

export interface GalleryInfo {
  name: string;
  version: number;
  cases: number;
  people: number;
  fingerprint: string;
  resolution_mm: number;
  label: string | null;
  columns: Column[];
  can_upload: boolean;
  regions: string[];
  simulated: boolean | null;
}

export interface Case {
  scan_id: string;
  subject: string;
  session: string | null;
  labels: Labels;
}

export interface CasePage {
  total: number;
  cases: Case[];
}

export interface MapPoint {
  scan_id: string;
  subject: string;
  x: number;
  y: number;
  value: Value;
}

export interface EmbeddingMap {
  columns: string[];
  points: MapPoint[];
  query?: { x: number; y: number } | null;
}

export type JobState = "queued" | "running" | "done" | "failed" | "cancelled";

export interface Job {
  job: string;
  state: JobState;
  stage: string;
  progress: number;
  message: string;
  notes: string[];
}

export interface RegionWish {
  name: string;
  weight: number;
}

/** Everything the model sees; built alike whatever the disease; ill alike whatever the build. */
export type SimilarBy = "code" | "normal" | "abnormality";

export interface Known {
  age: number | null;
  sex: "F" | "M" | null;
}

export interface SearchRequest {
  case?: string | null;
  upload?: string | null;
  code?: number[] | null;
  k: number;
  where: string;
  regions: RegionWish[];
  as_of?: number | null;
  plus: string[];
  minus: string[];
  older?: number | null;
  similar_by?: SimilarBy;
  normality?: boolean;
  known?: Labels;
}

/** From normal for age and sex; all null where that is unknown or was not asked for. */
export interface Normality {
  /** From the query, in standard deviations of controls. */
  normal_anatomy: number | null;
  abnormality: number | null;
  controls: number | null;
  /** Regions beyond the normal range with their z, farthest first. */
  abnormal: [string, number][] | null;
}

export interface Visit {
  scan_id: string;
  session: string | null;
  years: number | null;
  age: number | null;
  label: Value;
  score: Value;
}

export interface Hit extends Case {
  rank: number;
  distance: number;
  score: number;
  /** The regions with the largest shares of the distance. */
  regions?: [string, number][];
  /** Parts of the brain, most alike first; 1: as different as two people usually are there. */
  likeness?: [string, number][];
  outcome?: Visit[];
  normality?: Normality | null;
}

export interface Share {
  value: string;
  share: number;
  low: number;
  high: number;
  probability: number | null;
}

export interface Neighbours {
  label: string;
  people: number;
  unknown: number;
  shares: Share[];
  calibration: { people: number; brier_before: number; brier_after: number } | null;
}

export interface Typicality {
  p_value: number;
  people: number;
  unlike: boolean;
  text: string;
}

export interface Answer {
  search: string;
  request: SearchRequest;
  query_id: string | null;
  query_labels: Labels;
  gallery: string;
  gallery_version: number;
  n_cases: number;
  n_selected: number;
  n_searched: number;
  where: string;
  weights_name: string | null;
  exact: boolean;
  hits: Hit[];
  same_subject: Hit[];
  own_subject: string | null;
  subject_detected: boolean;
  label: string | null;
  score: string | null;
  neighbours: Neighbours | null;
  typicality: Typicality | null;
  normality?: Normality | null;
  notes: string[];
}

export interface AtlasRegion {
  index: number;
  name: string;
  hemisphere: string | null;
}

/** A curator's wish to keep an uploaded scan as a case of the gallery. */
export interface NewCase {
  upload: string;
  scan_id: string;
  subject: string;
  session: string | null;
  labels: Labels;
}
