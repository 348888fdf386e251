/** What counts as alike: everything, anatomy or abnormality; the query as it is, or older. */

import type { SimilarBy } from "../api/bodies";
import { t } from "../i18n";
import type { Key } from "../i18n/en";
import * as state from "../state";
import { Segments } from "../viewer/OverlayTools";

/** Years that one click chooses; the field takes any other. */
const USUAL_YEARS = [0, 5, 10] as const;
/** The service takes no more. */
const MOST_YEARS = 100;

const yearsText = (years: number): string => (years === 0 ? "0" : `+${years}`);

function Older() {
  const years = state.older.value;
  return (
    <div class="options-row" role="group" aria-labelledby="older-title">
      <span class="filter-name" id="older-title">{t("older")}</span>
      <div class="older">
        {USUAL_YEARS.map((value) => (
          <button
            key={value} type="button" class="chip" aria-pressed={years === value}
            aria-label={t("yearsOlder", { years: yearsText(value) })}
            onClick={() => (state.older.value = value)}
          >
            {yearsText(value)}
          </button>
        ))}
        <input
          type="number" id="older" step="any" min={-MOST_YEARS} max={MOST_YEARS} value={years}
          aria-label={t("olderYears")} aria-describedby="older-hint"
          onChange={(event) => {
            const wanted = Number(event.currentTarget.value) || 0;
            state.older.value = Math.min(Math.max(wanted, -MOST_YEARS), MOST_YEARS);
            event.currentTarget.value = `${state.older.value}`;
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter") event.currentTarget.blur();
          }}
        />
      </div>
      <p class="hint options-hint" id="older-hint">{t("olderHint")}</p>
    </div>
  );
}

const KINDS: readonly { value: SimilarBy; text: Key; hint: Key }[] = [
  { value: "code", text: "overall", hint: "overallHint" },
  { value: "normal", text: "anatomy", hint: "anatomyHint" },
  { value: "abnormality", text: "abnormality", hint: "abnormalityHint" },
];

function Kind() {
  const byRegion = state.regions.value.length > 0;
  const value = byRegion ? "code" : state.similarBy.value;
  const hint = KINDS.find((kind) => kind.value === value)?.hint ?? "overallHint";
  return (
    <>
      <Segments
        label={t("similarBy")} value={value} disabled={byRegion}
        choices={KINDS.map((kind) => ({ value: kind.value, text: t(kind.text), hint: t(kind.hint) }))}
        onChoose={(chosen) => (state.similarBy.value = chosen)}
      />
      <p class="hint options-hint" aria-live="polite">{t(byRegion ? "regionsOverall" : hint)}</p>
    </>
  );
}

/** Age and sex of an uploaded scan's person, where the file does not tell or tells wrongly. */
function Person() {
  if (state.source.value?.kind !== "upload") return null;
  const { age, sex } = state.personLabels.value;
  const labels = state.answer.value?.query_labels ?? {};
  const hint = typeof labels["age"] === "number" ? `${Math.round(labels["age"])}` : "–";
  return (
    <div class="options-row" role="group" aria-label={t("person")}>
      <span class="filter-name">{t("person")}</span>
      <div class="older">
        <input
          type="number" id="known-age" min="0" max="130" step="any" value={age ?? ""} placeholder={hint}
          aria-label={t("personAge")}
          onChange={({ currentTarget }) => {
            const wanted = currentTarget.value === "" || !currentTarget.validity.valid ? null : Number(currentTarget.value);
            state.personLabels.value = { sex, age: wanted };
            currentTarget.value = wanted === null ? "" : `${wanted}`;
          }}
        />
        {(["F", "M"] as const).map((choice) => (
          <button
            key={choice} type="button" class="chip" aria-pressed={(sex ?? labels["sex"]) === choice}
            aria-label={t(choice === "F" ? "woman" : "man")}
            onClick={() => (state.personLabels.value = { age, sex: sex === choice ? null : choice })}
          >
            {choice}
          </button>
        ))}
      </div>
    </div>
  );
}

export function OptionsPanel() {
  return (
    <section class="block" aria-labelledby="options-title">
      <h2 id="options-title">{t("likenessOptions")}</h2>
      <Kind />
      <Person />
      <Older />
    </section>
  );
}
