/** What the people found have in common: shares with intervals, and whether anyone is similar. */

import type { Share } from "../api/types";
import { number, percent, t } from "../i18n";
import * as state from "../state";
import { Unlike } from "./Cases";

function ShareRow({ share }: { share: Share }) {
  const { value, low, high, probability } = share;
  const wide = (part: number): string => `${(part * 100).toFixed(1)}`;
  return (
    <>
      <tr>
        <th scope="row">{value}</th>
        <td class="number">{percent(share.share)}</td>
        <td class="number hint">{`${Math.round(low * 100)}–${Math.round(high * 100)}`}</td>
        <td class="number">{typeof probability === "number" ? percent(probability) : "–"}</td>
      </tr>
      <tr class="share-picture" aria-hidden="true">
        <td colSpan={4}>
          <svg viewBox="0 0 100 14" preserveAspectRatio="none">
            <rect class="share-ground" x="0" y="4" width="100" height="6" />
            <rect class="share-bar" x="0" y="4" width={wide(share.share)} height="6" />
            <line class="share-interval" x1={wide(low)} x2={wide(high)} y1="7" y2="7" />
            <line class="share-interval" x1={wide(low)} x2={wide(low)} y1="2" y2="12" />
            <line class="share-interval" x1={wide(high)} x2={wide(high)} y1="2" y2="12" />
          </svg>
        </td>
      </tr>
    </>
  );
}

function Shares() {
  const told = state.answer.value?.neighbours;
  if (!told) return <p class="hint">{t("noNeighbours")}</p>;
  return (
    <>
      <p>{t("neighboursText", { label: told.label, people: told.people })}</p>
      <table class="shares">
        <thead>
          <tr>
            <th scope="col">{told.label}</th>
            <th scope="col">{t("share")}</th>
            <th scope="col">{t("interval")}</th>
            <th scope="col">{t("probability")}</th>
          </tr>
        </thead>
        <tbody>{told.shares.map((share) => <ShareRow key={share.value} share={share} />)}</tbody>
      </table>
      {told.unknown > 0 && <p class="hint">{t("unknownPeople", { n: told.unknown })}</p>}
      <p class="hint">
        {told.calibration
          ? t("calibrationText", {
              people: number(told.calibration.people),
              before: number(told.calibration.brier_before, 3),
              after: number(told.calibration.brier_after, 3),
            })
          : t(state.answeredBy.value === "code" ? "notCalibrated" : "onlyOverallCalibrated")}
      </p>
    </>
  );
}

function Typical() {
  const told = state.answer.value?.typicality;
  if (!told) return <p class="hint">{t("noTypicality")}</p>;
  if (told.unlike) return <Unlike share={told.p_value} people={told.people} />;
  return <p>{t("likeText", { share: percent(told.p_value), people: number(told.people) })}</p>;
}

export function Neighbours() {
  if (!state.answer.value) return <p class="hint empty">{t("noQueryHint")}</p>;
  return (
    <div class="neighbours">
      <Shares />
      <h3>{t("typicality")}</h3>
      <Typical />
    </div>
  );
}
