/** What the people found have in common: shares with intervals, and whether anyone is similar. */

import type { Share } from "../api/bodies";
import { number, percent, t } from "../i18n";
import { valueLine } from "../lib/labels";
import * as state from "../state";
import { AnyoneSimilar } from "./Cases";
import { VolumesTable } from "./Volumes";

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

/** A label that no neighbour has, and that is probable all the same. */
function UnseenRow({ value, probability }: { value: string; probability: number }) {
  return (
    <tr class="unseen-label">
      <th scope="row">{value}</th>
      <td class="number">{percent(0)}</td>
      <td class="number hint">–</td>
      <td class="number">{percent(probability)}</td>
    </tr>
  );
}

/** Why the shares are not calibrated. */
function notCalibrated(): "notCalibrated" | "notCalibratedFiltered" | "onlyOverallCalibrated" {
  if (state.answeredBy.value !== "code") return "onlyOverallCalibrated";
  return state.answer.value?.request.where ? "notCalibratedFiltered" : "notCalibrated";
}

function Shares() {
  const neighbours = state.answer.value?.neighbours;
  if (!neighbours) return <p class="hint">{t("noNeighbours")}</p>;
  const seen = new Set(neighbours.shares.map(({ value }) => value));
  const others = Object.entries(neighbours.probabilities ?? {}).filter(([value]) => !seen.has(value));
  return (
    <>
      <p>{t("neighboursText", { label: neighbours.label, people: neighbours.people })}</p>
      <table class="shares">
        <thead>
          <tr>
            <th scope="col">{neighbours.label}</th>
            <th scope="col">{t("share")}</th>
            <th scope="col">{t("interval")}</th>
            <th scope="col">{t("probability")}</th>
          </tr>
        </thead>
        <tbody>
          {neighbours.shares.map((share) => <ShareRow key={share.value} share={share} />)}
          {others.map(([value, probability]) => (
            <UnseenRow key={value} value={value} probability={probability} />
          ))}
        </tbody>
      </table>
      {neighbours.unknown > 0 && <p class="hint">{t("unknownPeople", { n: neighbours.unknown })}</p>}
      <p class="hint">
        {neighbours.calibration
          ? t("calibrationText", { people: number(neighbours.calibration.people) })
          : t(notCalibrated())}
      </p>
    </>
  );
}

/** '1.0–2.5', or '1.0'. */
function spanText(years: readonly [number, number]): string {
  const [least, most] = [number(years[0], 1), number(years[1], 1)];
  return least === most ? least : `${least}–${most}`;
}

/** Of all hits together: seen again, and whose label had changed when they were last seen. */
function SeenAgain() {
  const answer = state.answer.value;
  if (!answer?.seen_again) return null;
  const { seen, years, known, changes } = answer.seen_again;
  const people = answer.hits.length;
  const changed = changes.reduce((sum, change) => sum + change.people, 0);
  const label = answer.label ?? "";
  return (
    <div class="outcomes">
      <h3>{t("outcome")}</h3>
      <p>
        {years
          ? t("seenAgainAfter", { seen, people, span: spanText(years) })
          : t("seenAgain", { seen, people })}{" "}
        {known > 0 && (changed > 0 ? t("labelChanged", { label, changed, known }) : t("labelKept", { label, known }))}
      </p>
      <ul class="beyond">
        {changes.map(({ before, after, people: count }) => (
          <li key={`${before} ${after}`}>{valueLine(before)} → {valueLine(after)} <span class="number">{count}</span></li>
        ))}
      </ul>
    </div>
  );
}

function Typical() {
  return state.answer.value?.typicality ? <AnyoneSimilar /> : <p class="hint">{t("noTypicality")}</p>;
}

export function Neighbours() {
  if (!state.answer.value) return <p class="hint empty">{t("noQueryHint")}</p>;
  return (
    <div class="neighbours">
      <Shares />
      <SeenAgain />
      <h3>{t("typicality")}</h3>
      <Typical />
      <VolumesTable />
    </div>
  );
}
