/** Names for the generated types of `types.ts`, as the page uses them; no field is written here. */

import type { components } from "./types";

type Schemas = components["schemas"];

export type Me = Schemas["MeBody"];
export type SignIn = Schemas["SignInBody"];
export type Logout = Schemas["LogoutBody"];
export type Session = Schemas["SessionBody"];
export type Token = Schemas["TokenBody"];
export type NewToken = Schemas["NewTokenBody"];
export type Column = Schemas["ColumnBody"];
export type GalleryInfo = Schemas["GalleryBody"];
export type StoredCase = Schemas["CaseBody"];
/** A case as lists, hits and views show it. */
export type Case = Omit<StoredCase, "view_mm">;
export type CasePage = Schemas["CasesBody"];
export type NewCase = Schemas["NewCaseRequest"];
export type Change = Schemas["ChangeBody"];
export type EmbeddingMap = Schemas["MapBody"];
export type MapPoint = Schemas["PointBody"];
export type Job = Schemas["JobBody"];
export type OfferedSeries = Schemas["SeriesBody"];
export type StartedJob = Schemas["StartedBody"];
export type Failure = Schemas["FailureBody"];
export type AtlasRegion = Schemas["RegionBody"];
export type SearchRequest = Schemas["SearchRequest-Input"];
export type WeightedRegion = Schemas["RegionRequest-Output"];
export type Answer = Schemas["AnswerBody"];
export type Changes = Schemas["ChangesBody"];
export type Course = Schemas["CourseBody"];
export type Volume = Schemas["VolumeBody"];
export type StudyRequest = Schemas["StudyRequest"];
export type StudyCases = Schemas["StudyCasesBody"];
export type Viewer = Schemas["ViewerBody"];
export type Share = Schemas["ShareBody"];

export type Labels = Case["labels"];
export type Value = Labels[string];
export type SimilarBy = Answer["request"]["similar_by"];

/** A hit, or another scan of the query's own person, of which less is known. */
export type Hit = Schemas["HitBody"] & Partial<Schemas["AnsweredHitBody"]>;

/** What the reader knows of an uploaded scan's person. */
export interface PersonLabels {
  age: number | null;
  sex: "F" | "M" | null;
}
