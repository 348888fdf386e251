/** The cases found, as cards: picture, distance, labels, course, where they are alike, marks. */

import { mark } from "../actions";
import { urls } from "../api/client";
import type { Hit, Value } from "../api/bodies";
import { number, percent, t } from "../i18n";
import { shownLabels, valueLine } from "../lib/labels";
import * as state from "../state";
import { NormalityLine } from "./Normality";
import { Details, WhyLine } from "./Why";

function Distance({ hit, most }: { hit: Hit; most: number }) {
  const unit = state.answeredBy.value === "code" ? "" : ` ${t("sd")}`;
  return (
    <div class="distance" title={`${t("distance")} ${number(hit.distance, 3)}`}>
      <meter min={0} max={most} value={hit.distance} aria-label={t("distance")} />
      <span class="number">{number(hit.distance, 3)}{unit}</span>
    </div>
  );
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
      {typeof last === "number" && <span class="hint number">+{number(last, 1)} y</span>}
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

function Card({ hit, most, own }: { hit: Hit; most: number; own: boolean }) {
  const chosen = state.beside.value?.scan_id === hit.scan_id;
  return (
    <li class="card" data-scan={hit.scan_id} data-chosen={chosen}>
      <div class="card-head">
        {!own && <span class="rank" title={t("rank", { rank: hit.rank })}>{hit.rank}</span>}
        <span class="card-name" title={hit.scan_id}>{hit.scan_id}</span>
        {!own && <Marks scan={hit.scan_id} />}
      </div>
      <button
        type="button" class="card-picture" aria-pressed={chosen}
        aria-label={`${t("showBeside")}: ${hit.scan_id}`} onClick={() => (state.beside.value = hit)}
      >
        <img src={urls.caseThumbnail(hit.scan_id, state.answer.value?.gallery_version ?? null)} alt="" loading="lazy" />
      </button>
      <div class="card-facts">
        <p class="card-labels">
          {shownLabels(hit.labels).map(([name, text], i) => (
            <span key={name} title={name} class={i === 0 ? "first-label" : ""}>{text}</span>
          ))}
        </p>
        {/* Own scans are told by the model's distance, whatever the hits are ranked by. */}
        {(!own || state.answeredBy.value === "code") && <Distance hit={hit} most={most} />}
        <Course hit={hit} />
      </div>
      <WhyLine hit={hit} />
      <NormalityLine hit={hit} />
      <Details hit={hit} own={own} />
    </li>
  );
}

export function Cases() {
  const answer = state.answer.value;
  if (!answer) return <p class="hint empty">{t("noQueryHint")}</p>;
  const compared = state.answeredBy.value === "code" ? [...answer.hits, ...answer.same_subject] : answer.hits;
  const most = Math.max(...compared.map((hit) => hit.distance), 0);
  const explanation = answer.subject_detected
    ? t("ownScansFound", { subject: answer.own_subject ?? "" })
    : t("ownScansTold");
  return (
    <>
      {answer.typicality?.unlike && <Unlike share={answer.typicality.p_value} people={answer.typicality.people} />}
      {answer.notes.length > 0 && (
        <section class="notes" aria-label={t("notes")}>
          {answer.notes.map((note) => <p key={note} class="hint">{note}</p>)}
        </section>
      )}
      {answer.hits.length === 0 && <p class="hint empty">{t("noHits")}</p>}
      <ol class="cards" id="hits">
        {answer.hits.map((hit) => <Card key={hit.scan_id} hit={hit} most={most} own={false} />)}
      </ol>
      {answer.same_subject.length > 0 && (
        <section class="own" aria-labelledby="own-title">
          <h3 id="own-title">{t("ownScans")}</h3>
          <p class="hint">{explanation}</p>
          <ul class="cards">
            {answer.same_subject.map((hit) => <Card key={hit.scan_id} hit={hit} most={most} own />)}
          </ul>
        </section>
      )}
    </>
  );
}

/** The warning that nobody in the gallery is like the query. */
export function Unlike({ share, people }: { share: number; people: number }) {
  return (
    <div class="warning" role="alert">
      <strong>{t("unlikeTitle")}</strong>
      <p>{t("unlikeText", { share: percent(share, 1), people: number(people) })}</p>
    </div>
  );
}
