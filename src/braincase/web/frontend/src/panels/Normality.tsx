/** How far from normal: hits against the query, and on request everybody against the controls. */

import { runSearch } from "../actions";
import type { Hit } from "../api/bodies";
import { number, t } from "../i18n";
import { regionText } from "../i18n/parts";
import { whoTheyAre } from "../lib/controls";
import * as state from "../state";
import { ChosenControls } from "./ChosenControls";
import { Numbers } from "./Numbers";

/** Regions named beside the query; the rest is counted. */
const MOST_NAMED = 5;

const signed = (z: number): string => (z > 0 ? "+" : "−") + number(Math.abs(z), 1);

/** A hit's two distances from the query in one line; nothing where they are unknown. */
export function NormalityLine({ hit }: { hit: Hit }) {
  const { normal_anatomy: anatomy, abnormality } = hit.normality ?? {};
  if (typeof anatomy !== "number" || typeof abnormality !== "number") return null;
  return (
    <p class="normality" title={t("apartTitle")}>
      <span class="hint">{t("anatomy")}</span> <span class="number">{number(anatomy, 1)}</span>
      <span class="hint"> · {t("abnormality")}</span> <span class="number">{number(abnormality, 1)}</span>
      <span class="hint"> {t("sdFromQuery")}</span>
    </p>
  );
}

/** Of people unlike the gallery's controls in age or sex: nothing is known of them. */
function NotKnownHere({ normality }: { normality: NonNullable<Hit["normality"]> }) {
  const who = whoTheyAre(normality.controls ?? 0, normality.control_ages ?? [], normality.control_sexes ?? []);
  return who && <p class="not-known">{t("otherAge", who)}</p>;
}

/** What the line means, and the regions beyond normal where they were asked for. */
export function NormalityDetails({ hit }: { hit: Hit }) {
  const normality = hit.normality;
  if (typeof normality?.normal_anatomy !== "number" && !normality?.abnormal) return <p class="hint">{t("apartUnknown")}</p>;
  const beyond = normality.abnormal?.slice(0, 2 * MOST_NAMED);
  return (
    <>
      {!beyond && <NotKnownHere normality={normality} />}
      {typeof normality.normal_anatomy === "number" && <p class="hint">{t("apartTitle")}</p>}
      {beyond && (
        <Numbers
          title={beyond.length > 0 ? t("beyondOf", { n: normality.controls ?? 0 }) : t("beyondNone")}
          rows={beyond.map(([name, z]) => [regionText(name), signed(z)])}
        />
      )}
    </>
  );
}

function Beyond() {
  const normality = state.answer.value?.normality;
  if (normality?.control_ages && !normality.abnormal) return <NotKnownHere normality={normality} />;
  if (!normality?.abnormal) return <p class="hint">{t("normalUnknown")}</p>;
  const rest = normality.abnormal.length - MOST_NAMED;
  return (
    <>
      {normality.abnormal.length === 0 ? (
        <p>{t("beyondNone")}</p>
      ) : (
        <ul class="beyond" aria-label={t("beyond")}>
          <li class="hint">{t("beyond")}:</li>
          {normality.abnormal.slice(0, MOST_NAMED).map(([name, z]) => (
            <li key={name}>{regionText(name)} <span class="number">{signed(z)}</span></li>
          ))}
          {rest > 0 && <li class="hint">{t("beyondMore", { n: rest })}</li>}
        </ul>
      )}
      <p class="hint">{t("beyondTold", { n: normality.controls ?? 0 })}</p>
    </>
  );
}

/** For the query: a choice, since it reads the images of the gallery's controls. */
export function QueryNormality() {
  if (!state.answer.value) return null;
  const shown = state.answer.value.request.normality ?? false;
  return (
    <div class="query-normality">
      <button
        type="button" class="chip" id="normality" aria-pressed={state.normality.value}
        title={t("compareHint")} disabled={state.searching.value}
        onClick={() => {
          state.normality.value = !state.normality.value;
          void runSearch();
        }}
      >
        {t("compareNormal")}
      </button>
      {shown && <Beyond />}
      {shown && <ChosenControls />}
    </div>
  );
}
