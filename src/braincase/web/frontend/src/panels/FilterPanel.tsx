/** The filter bar: a choice for each column of the gallery writes the filter's text. */

import { t } from "../i18n";
import type { Column } from "../api/bodies";
import { runSearch } from "../actions";
import type { Clause, NumberClause } from "../lib/where";
import * as state from "../state";
import { ControlsField } from "./ChosenControls";

/** Columns with more values than this are filtered by text only. */
const MOST_VALUES = 12;

function choose(column: string, clause: Clause): void {
  const order = state.gallery.value?.columns.map(({ name }) => name) ?? [];
  const all = new Map(state.clauses.value).set(column, clause);
  state.clauses.value = new Map([...all].sort((a, b) => order.indexOf(a[0]) - order.indexOf(b[0])));
  state.typedWhere.value = null;
}

function NumberFilter({ column }: { column: Column }) {
  const now = state.clauses.value.get(column.name);
  const { low, high } = (now?.kind === "number" ? now : { low: null, high: null }) as NumberClause;
  const set = (end: "low" | "high", text: string): void =>
    choose(column.name, { kind: "number", low, high, [end]: text === "" ? null : Number(text) });
  const hint = (value: number | null | undefined): string =>
    typeof value === "number" ? `${Number(value.toPrecision(Math.abs(value) < 1000 ? 3 : 5))}` : "";
  return (
    <div class="filter-row" role="group" aria-label={column.name}>
      <span class="filter-name" title={column.name}>{column.name}</span>
      <input
        type="number" step="any" value={low ?? ""} placeholder={hint(column.minimum)}
        aria-label={`${column.name}, ${t("from")}`} data-filter={`${column.name}-low`}
        onChange={(event) => set("low", event.currentTarget.value)}
      />
      <span class="filter-dash" aria-hidden="true">–</span>
      <input
        type="number" step="any" value={high ?? ""} placeholder={hint(column.maximum)}
        aria-label={`${column.name}, ${t("to")}`} data-filter={`${column.name}-high`}
        onChange={(event) => set("high", event.currentTarget.value)}
      />
    </div>
  );
}

function TextFilter({ column }: { column: Column }) {
  const now = state.clauses.value.get(column.name);
  // A filter written by hand counts alone: then no choice is shown as if it did.
  const chosen = now?.kind === "text" && state.typedWhere.value === null ? now.values : [];
  const toggle = (value: string): void => {
    const values = (column.values ?? []).filter((v) => chosen.includes(v) !== (v === value));
    choose(column.name, { kind: "text", values });
  };
  return (
    <div class="filter-row" role="group" aria-label={column.name}>
      <span class="filter-name" title={column.name}>{column.name}</span>
      <div class="chips">
        {column.values?.map((value) => (
          <button
            key={value} type="button" class="chip" aria-pressed={chosen.includes(value)}
            onClick={() => toggle(value)}
          >
            {value}
          </button>
        ))}
      </div>
    </div>
  );
}

export function FilterPanel() {
  const columns = state.gallery.value?.columns ?? [];
  const texts = columns.filter(
    ({ kind, values }) => kind === "text" && values && values.length > 1 && values.length <= MOST_VALUES,
  );
  const numbers = columns.filter(({ kind }) => kind === "number");
  return (
    <section class="block" aria-labelledby="filter-title">
      <h2 id="filter-title">
        {t("filter")}
        {state.where.value && (
          <button
            type="button" class="quiet"
            onClick={() => {
              state.clauses.value = new Map();
              state.typedWhere.value = null;
            }}
          >
            {t("clear")}
          </button>
        )}
      </h2>
      <div class="filters" data-by-hand={state.typedWhere.value !== null}>
        {texts.map((column) => <TextFilter key={column.name} column={column} />)}
        {numbers.map((column) => <NumberFilter key={column.name} column={column} />)}
      </div>
      <textarea
        id="where" rows={2} spellcheck={false} autocomplete="off" aria-label={t("filterText")}
        placeholder={t("filterTextHint")} value={state.where.value}
        onInput={(event) => (state.typedWhere.value = event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey) return;
          event.preventDefault();
          void runSearch();
        }}
      />
      {state.typedWhere.value !== null && state.clauses.value.size > 0 && (
        <p class="hint">
          {t("byHand")}{" "}
          <button type="button" class="quiet" onClick={() => (state.typedWhere.value = null)}>
            {t("useChoices")}
          </button>
        </p>
      )}
      <ControlsField />
    </section>
  );
}
