/** This session's searches: one goes back to any of them, as it was found. */

import { showEarlier } from "../actions";
import { number, t } from "../i18n";
import { regionText } from "../i18n/parts";
import * as state from "../state";

/** What a search asked for beside its query, in few words. */
function wishText({ request }: state.PastSearch["answer"]): string {
  const by = request.similar_by === "normal" ? t("byAnatomy") : request.similar_by === "abnormality" ? t("byAbnormality") : "";
  const marks = request.plus.length + request.minus.length > 0
    ? t("marked", { plus: request.plus.length, minus: request.minus.length })
    : "";
  const older = request.older ? t("yearsOlder", { years: number(request.older, 0) }) : "";
  const regions = request.regions.map(({ name }) => regionText(name)).join(" + ");
  const controls = request.controls === null ? "" : t("controlsTold", { filter: request.controls });
  return [request.where, regions, by, controls, older, marks].filter((text) => text !== "").join(" · ") || t("wholeBrain");
}

export function Searches() {
  const searches = state.searches.value;
  if (searches.length < 2) return null;
  const now = state.answer.value?.search;
  return (
    <section class="block" aria-labelledby="searches-title">
      <h2 id="searches-title">{t("searches")}</h2>
      <ol class="searches">
        {searches.map((entry) => (
          <li key={entry.search}>
            <button type="button" aria-pressed={entry.search === now} onClick={() => showEarlier(entry)}>
              <span>{entry.query}</span>
              <span class="hint">{wishText(entry.answer)}</span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}
