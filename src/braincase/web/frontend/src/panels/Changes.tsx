/** Search by change: people whose brain changed alike since an earlier scan of the query's person. */

import { useSignal } from "@preact/signals";
import { tell } from "../actions";
import { readCase, readChanges } from "../api/client";
import type { Changes, Course, Hit } from "../api/bodies";
import { number, t } from "../i18n";
import { regionText } from "../i18n/parts";
import { valueLine } from "../lib/labels";
import * as state from "../state";

/** As `braincase.search.courses.LEAST_YEARS`: scans nearer in time show noise and no change. */
const LEAST_YEARS = 0.25;
/** Volumes whose change is told in the line; the others stand in the title. */
const TOLD = ["left-hippocampus", "right-hippocampus", "lateral-ventricle"];

const signed = (rate: number): string => (rate > 0 ? "+" : "−") + number(Math.abs(rate), 1);

/** Years from an own scan to the query, by the ages in their labels; null where that is not known. */
function yearsSince(prior: Hit): number | null {
  const [before, now] = [prior.labels.age, state.answer.value?.query_labels.age];
  return typeof before === "number" && typeof now === "number" ? now - before : null;
}

/** How volumes changed, percent a year; nothing where the code holds none. */
function Rates({ rates }: { rates: Course["volume_rates"] }) {
  const told = TOLD.filter((name) => name in rates);
  if (told.length === 0) return null;
  return (
    <p class="rates">
      <span class="hint">{t("percentAYear")}:</span>{" "}
      {told.map((name) => (
        <span key={name}>{regionText(name)} <span class="number">{signed(rates[name] ?? 0)}</span> </span>
      ))}
    </p>
  );
}

function CourseRow({ course, label }: { course: Course; label: string }) {
  const [before, after] = [course.prior_labels[label] ?? null, course.labels[label] ?? null];
  const line = before === after ? valueLine(after) : `${valueLine(before)} → ${valueLine(after)}`;
  // The later scan is shown beside the query: that is the one it was compared with.
  const show = (): void => {
    readCase(course.current, state.answer.value?.gallery_version ?? null)
      .then((stored) => (state.beside.value = stored))
      .catch(tell);
  };
  return (
    <li class="course-row">
      <button type="button" class="quiet" onClick={show} aria-label={`${t("showBeside")}: ${course.current}`}>
        <span class="rank">{course.rank}</span> {course.current}
      </button>
      <span>{line}</span>
      <span class="hint number">{t("yearsApart", { years: number(course.years, 1) })}</span>
      <Rates rates={course.volume_rates} />
    </li>
  );
}

function Found({ changes }: { changes: Changes }) {
  const [low, high] = changes.like_time;
  const label = state.answer.value?.label ?? "diagnosis";
  return (
    <section class="changes" aria-label={t("changedAlike")}>
      <p class="hint">
        {t("changesTold", { people: changes.n_people, low: number(low, 1), high: number(high, 1) })}
      </p>
      <Rates rates={changes.volume_rates} />
      <ol>{changes.hits.map((course) => <CourseRow key={course.current} course={course} label={label} />)}</ol>
      {changes.notes.map((note) => <p key={note} class="hint">{note}</p>)}
    </section>
  );
}

/** On the card of an earlier scan of the query's person: who has changed alike since? */
export function ChangedAlike({ prior }: { prior: Hit }) {
  const found = useSignal<Changes | null>(null);
  const asking = useSignal(false);
  const years = yearsSince(prior);
  if (years === null || years < LEAST_YEARS) return null;
  const ask = (): void => {
    asking.value = true;
    readChanges(state.answer.value?.search ?? "", prior.scan_id, state.count.value)
      .then((changes) => (found.value = changes))
      .catch(tell)
      .finally(() => (asking.value = false));
  };
  return (
    <div class="changed-alike">
      <button type="button" class="chip" disabled={asking.value} title={t("changedAlikeHint")} onClick={ask}>
        {t("changedAlike")}
      </button>
      {found.value && <Found changes={found.value} />}
    </div>
  );
}
