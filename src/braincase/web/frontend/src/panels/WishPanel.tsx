/** What counts as alike: the query as it is, or as if it were older. */

import { t } from "../i18n";
import * as state from "../state";

/** Years that one click chooses; the field takes any other. */
const USUAL_YEARS = [0, 5, 10] as const;
/** The service takes no more. */
const MOST_YEARS = 100;

function Older() {
  const years = state.older.value;
  return (
    <div class="wish-row" role="group" aria-labelledby="older-title">
      <span class="filter-name" id="older-title">{t("older")}</span>
      <div class="older">
        {USUAL_YEARS.map((value) => (
          <button
            key={value} type="button" class="chip" aria-pressed={years === value}
            aria-label={value === 0 ? t("asItIs") : t("yearsOlder", { years: value })}
            onClick={() => (state.older.value = value)}
          >
            {value === 0 ? "0" : `+${value}`}
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
      <p class="hint wish-hint" id="older-hint">{t("olderHint")}</p>
    </div>
  );
}

export function WishPanel() {
  return (
    <section class="block" aria-labelledby="wish-title">
      <h2 id="wish-title">{t("wish")}</h2>
      <Older />
    </section>
  );
}
