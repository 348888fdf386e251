/** The cases found, as cards: picture, distance, labels, course, where they are alike, marks. */

import { mark, openInViewer, unmarked } from "../actions";
import { urls } from "../api/client";
import type { Hit, Value } from "../api/bodies";
import { number, percent, t } from "../i18n";
import { noteText } from "../i18n/notes";
import { labelText, shownLabels, valueLine } from "../lib/labels";
import * as state from "../state";
import { ChangedAlike } from "./Changes";
import { ChosenControls } from "./ChosenControls";
import { NormalityLine } from "./Normality";
import { Thumbnail } from "./Thumbnail";
import { VolumesLine } from "./Volumes";
import { Details, WhyLine } from "./Why";

/** As `braincase.population.typicality.USUAL`: the nearest case is as close as is usual here. */
const USUAL = 0.25;

/** How near a case is, in words and, where pairs of people tell what near is here, as a bar. */
function Nearness({ hit }: { hit: Hit }) {
  const by = state.answeredBy.value;
  const distance = number(hit.distance, 3);
  if (by !== "code") {
    return (
      <p class="distance">
        <span class="hint">{t(by === "normal" ? "anatomy" : "abnormality")}</span>{" "}
        <span class="number">{`${distance} ${t("sd")}`}</span> <span class="hint">{t("fromQuery")}</span>
      </p>
    );
  }
  const closer = hit.closer_than;
  if (typeof closer !== "number") {
    return <p class="distance"><span class="hint">{t("distance")}</span> <span class="number">{distance}</span></p>;
  }
  const moved = state.isMoved.value;
  const text = t(moved ? "closerThanMoved" : "closerThan", { share: shareBelow(closer) });
  return (
    <div class="distance" title={t(moved ? "closerHintMoved" : "closerHint", { distance })}>
      <meter min={0} max={1} value={closer} aria-label={text} />
      <span>{text}</span>
    </div>
  );
}

/** A share of pairs, rounded down: nobody is closer than all. */
function shareBelow(share: number): string {
  return percent(Math.min(Math.floor(share * 100) / 100, 0.99));
}

/** The course of a person as a line (scores) or a row of labels; needs a visit after the hit's. */
function Course({ hit }: { hit: Hit }) {
  const visits = hit.outcome ?? [];
  const answer = state.answer.value;
  if (visits.length === 0 || !answer) return null;
  const label = answer.label ?? "";
  const labels = [hit.labels[label] ?? null, ...visits.map((visit) => visit.label)];
  const scores = [answer.score ? (hit.labels[answer.score] ?? null) : null, ...visits.map((v) => v.score)];
  const changes = labels.filter((value, i) => i === 0 || value !== labels[i - 1]).map(valueLine);
  const last = visits.at(-1)?.years;
  return (
    <div class="course">
      <span class="hint">{t("course")}</span>
      <Sparkline values={scores} name={answer.score ?? ""} />
      <span>{changes.join(" → ")}</span>
      {typeof last === "number" && <span class="hint number">{t("yearsLater", { years: number(last, 1) })}</span>}
    </div>
  );
}

function Sparkline({ values, name }: { values: readonly Value[]; name: string }) {
  const numbers = values.filter((value) => typeof value === "number");
  if (numbers.length < 2) return null;
  const low = Math.min(...numbers);
  const range = Math.max(...numbers) - low || 1;
  const points = numbers.map((value, i) => [
    2 + (i * 44) / (numbers.length - 1),
    14 - ((value - low) / range) * 12,
  ] as const);
  const [x, y] = points.at(-1) ?? [0, 0];
  return (
    <svg class="sparkline" viewBox="0 0 50 16" role="img" aria-label={`${name}: ${numbers.map((v) => number(v, 2)).join(", ")}`}>
      <title>{`${name}: ${numbers.map((v) => number(v, 2)).join(" → ")}`}</title>
      <polyline points={points.map((point) => point.join(",")).join(" ")} />
      <circle cx={x} cy={y} r="2" />
    </svg>
  );
}

function Marks({ scan }: { scan: string }) {
  const sides = [
    { side: "plus", sign: "+", set: state.plus, text: t("moreLike") },
    { side: "minus", sign: "−", set: state.minus, text: t("lessLike") },
  ] as const;
  return (
    <div class="marks" role="group" aria-label={t("marks")}>
      {sides.map(({ side, sign, set, text }) => (
        <button
          key={side} type="button" class={`mark mark-${side}`} title={text}
          aria-label={`${text}: ${scan}`} aria-pressed={set.value.has(scan)}
          onClick={() => mark(scan, side)}
        >
          {sign}
        </button>
      ))}
    </div>
  );
}

/** The labels of a case; the one that the neighbours vote on is the first, also where it is missing. */
function Labels({ hit }: { hit: Hit }) {
  const voted = state.answer.value?.label ?? null;
  return (
    <p class="card-labels">
      {voted !== null && (
        <span class="first-label" title={voted}>
          {hit.labels[voted] === null || hit.labels[voted] === undefined
            ? t("withoutLabel", { label: voted })
            : labelText(voted, hit.labels[voted])}
        </span>
      )}
      {shownLabels(hit.labels, 5, voted).map(([name, text]) => <span key={name} title={name}>{text}</span>)}
    </p>
  );
}

function Card({ hit, own, marked = false, rank = hit.rank }: { hit: Hit; own: boolean; marked?: boolean; rank?: number }) {
  const chosen = state.beside.value?.scan_id === hit.scan_id;
  return (
    <li class="card" data-scan={hit.scan_id} data-chosen={chosen}>
      <div class="card-head">
        {!own && !marked && <span class="rank" title={t("rank", { rank })}>{rank}</span>}
        <span class="card-name" title={hit.scan_id}>{hit.scan_id}</span>
        {!own && <Marks scan={hit.scan_id} />}
      </div>
      <button
        type="button" class="card-picture" aria-pressed={chosen}
        aria-label={`${t("showBeside")}: ${hit.scan_id}`} onClick={() => (state.beside.value = hit)}
      >
        <Thumbnail src={urls.caseThumbnail(hit.scan_id, state.answer.value?.gallery_version ?? null)} />
      </button>
      <div class="card-facts">
        <Labels hit={hit} />
        {/* Own scans are told by the model's distance, whatever the hits are ranked by. */}
        {!marked && (!own || state.answeredBy.value === "code") && <Nearness hit={hit} />}
        <Course hit={hit} />
      </div>
      <WhyLine hit={hit} />
      <VolumesLine volumes={hit.volumes ?? []} />
      <NormalityLine hit={hit} />
      {(hit.normality || (hit.volumes ?? []).length > 0) && <ChosenControls />}
      {own && <ChangedAlike prior={hit} />}
      {state.me.value?.opens_viewer && (
        <button
          type="button" class="quiet open-viewer" aria-label={`${t("openInViewer")}: ${hit.scan_id}`}
          title={t("openInViewerHint")}
          onClick={() => void openInViewer(hit.scan_id, state.answer.value?.gallery_version ?? null)}
        >
          {t("openInViewer")}
        </button>
      )}
      <Details hit={hit} own={own} />
    </li>
  );
}

/** One sentence above the cards: whether anybody in this gallery is like the query. */
export function AnyoneSimilar() {
  const typicality = state.answer.value?.typicality;
  if (!typicality) return null;
  const { p_value, people, as_far: n, unlike } = typicality;
  if (unlike) return <Unlike n={n} people={people} />;
  const key = p_value >= USUAL ? "likeText" : "farText";
  return <p class="anyone"><OfTheScanItself />{t(key, { n: number(n), people: number(people) })}<UsuallyCloser /></p>;
}

/** The sentence is about the scan as it is, among who passes the filter; the cards, about a query that may be moved. */
function OfTheScanItself() {
  const ways = [state.isMoved.value && t("unmoved"), state.answeredBy.value !== "code" && t("rankedOverall")];
  const how = ways.filter(Boolean).join(t("and"));
  return (
    <>
      {how && <><span class="hint">{t("scanItself", { how })}</span> </>}
      {state.answer.value?.typicality?.filtered && <><span class="hint">{t("amongPassing")}</span> </>}
    </>
  );
}

/** How close the nearest case of a person is as a rule: what a card's share is to be held against. */
function UsuallyCloser() {
  const usually = state.answer.value?.usually_closer_than;
  return typeof usually === "number" && <> <span class="hint">{t("closerUsually", { share: shareBelow(usually) })}</span></>;
}

/** What to do where there is nothing to search in yet. */
function EmptyGallery() {
  return (
    <div class="empty">
      <p><strong>{t("emptyGallery")}</strong></p>
      <p class="hint">{t("emptyGalleryHint", { command: "braincase index COHORT --gallery GALLERY --model MODEL" })}</p>
    </div>
  );
}

export function Cases() {
  const answer = state.answer.value;
  if (state.gallery.value?.cases === 0) return <EmptyGallery />;
  if (!answer) return <p class="hint empty">{t("noQueryHint")}</p>;
  const marked = answer.hits.filter((hit) => answer.request.plus.includes(hit.scan_id));
  // A stored case that is the query stands there already.
  const own = answer.same_subject.filter((hit) => hit.scan_id !== answer.request.case);
  const explanation = answer.subject_detected
    ? t("ownScansFound", { subject: answer.own_subject ?? "" })
    : t("ownScansTold");
  return (
    <>
      {answer.model_simulated && <p class="model-simulated">{t("modelSimulated")}</p>}
      <AnyoneSimilar />
      {answer.notes.length > 0 && (
        <section class="notes" aria-label={t("notes")}>
          {answer.notes.map((note) => <p key={note} class="hint">{noteText(note)}</p>)}
        </section>
      )}
      {answer.hits.length === 0 && <p class="hint empty">{t("noHits")}</p>}
      <ol class="cards" id="hits">
        {unmarked(answer).map((hit, i) => <Card key={hit.scan_id} hit={hit} own={false} rank={i + 1} />)}
      </ol>
      {marked.length > 0 && (
        <section class="own marked-cases" aria-labelledby="marked-title">
          <h3 id="marked-title">{t("markedCases")}</h3>
          <p class="hint">{t("markedHint")}</p>
          <ul class="cards">
            {marked.map((hit) => <Card key={hit.scan_id} hit={hit} own={false} marked />)}
          </ul>
        </section>
      )}
      {own.length > 0 && (
        <section class="own" aria-labelledby="own-title">
          <h3 id="own-title">{t("ownScans")}</h3>
          <p class="hint">{explanation}</p>
          <ul class="cards">
            {own.map((hit) => <Card key={hit.scan_id} hit={hit} own />)}
          </ul>
        </section>
      )}
    </>
  );
}

/** The warning that nobody in the gallery is like the query. */
function Unlike({ n, people }: { n: number; people: number }) {
  return (
    <div class="warning" role="alert">
      <strong>{t("unlikeTitle")}</strong>
      <p><OfTheScanItself />{t("unlikeText", { n: number(n), people: number(people) })}<UsuallyCloser /></p>
    </div>
  );
}
