/** Volumes of named regions with their percentiles for age and sex: the first thing one reads. */

import type { Volume } from "../api/bodies";
import { number, t } from "../i18n";
import { regionText } from "../i18n/parts";
import { whoTheyAre } from "../lib/controls";
import * as state from "../state";
import { ChosenControls } from "./ChosenControls";

/** As `braincase.population.volume_norms.USUAL`: nine of ten controls lie between. */
const [SMALL, LARGE] = [5, 95];
/** Regions named in a line; the table has all. */
const MOST_NAMED = 5;

type Placed = Volume & { percentile: number };

const isPlaced = (volume: Volume): volume is Placed => typeof volume.percentile === "number";
const farFromMiddle = (volume: Placed): number => Math.abs(volume.percentile - 50);

/** The volumes that few controls have, the most unusual first. */
function unusual(volumes: readonly Volume[]): Placed[] {
  return volumes
    .filter(isPlaced)
    .filter(({ percentile }) => percentile < SMALL || percentile > LARGE)
    .sort((a, b) => farFromMiddle(b) - farFromMiddle(a));
}

/** Beyond the first and the last percentile a normal curve knows nothing exactly. */
function percentileText(percentile: number): string {
  if (percentile < 1) return "< 1";
  return percentile > 99 ? "> 99" : number(percentile, 0);
}

function Named({ volumes, most }: { volumes: readonly Placed[]; most: number }) {
  const rest = volumes.length - most;
  return (
    <>
      {volumes.slice(0, most).map(({ name, percentile }) => (
        <li key={name}>
          {regionText(name)} <span class="number">{percentile < SMALL ? "↓" : "↑"} {percentileText(percentile)}</span>
        </li>
      ))}
      {rest > 0 && <li class="hint">{t("beyondMore", { n: rest })}</li>}
    </>
  );
}

/** Of a hit, on its card: which of its volumes are unusual; nothing where none is. */
export function VolumesLine({ volumes }: { volumes: readonly Volume[] }) {
  const few = unusual(volumes);
  if (few.length === 0) return null;
  return (
    <ul class="beyond" title={t("volumesHint")}>
      <li class="hint">{t("volumePercentiles")}:</li>
      <Named volumes={few} most={3} />
    </ul>
  );
}

/** What percentiles are of, or why there are none. */
function Told() {
  const answer = state.answer.value;
  const norms = answer?.volume_norms;
  const who = norms && whoTheyAre(norms.controls, norms.ages, norms.sexes);
  if (!who) return <p class="hint">{t("noVolumeNorms")}</p>;
  return <p class="hint">{t(answer?.volumes.some(isPlaced) ? "volumesTold" : "volumesNotPlaced", who)}</p>;
}

/** Of the query, beside it. */
export function QueryVolumes() {
  const volumes = state.answer.value?.volumes ?? [];
  if (volumes.length === 0) return null;
  const few = unusual(volumes);
  return (
    <div class="query-volumes">
      <h3>{t("volumes")}</h3>
      {volumes.some(isPlaced) && (
        <ul class="beyond">
          {few.length > 0 ? <Named volumes={few} most={MOST_NAMED} /> : <li>{t("volumesUsual", { n: volumes.length })}</li>}
        </ul>
      )}
      <Told />
      <ChosenControls />
    </div>
  );
}

/** Where query (dot) and hit (ring) lie among controls; the band holds nine of ten. */
function Strip({ query, hit }: { query: Volume; hit: Volume | undefined }) {
  return (
    <svg class="percentiles" viewBox="-4 0 108 14" aria-hidden="true">
      <rect class="share-ground" x="0" y="6" width="100" height="2" />
      <rect class="usual-band" x={SMALL} y="4" width={LARGE - SMALL} height="6" />
      <line class="middle" x1="50" x2="50" y1="3" y2="11" />
      {hit && isPlaced(hit) && <circle class="of-hit" cx={hit.percentile} cy="7" r="5" />}
      {isPlaced(query) && <circle class="of-query" cx={query.percentile} cy="7" r="3.6" />}
    </svg>
  );
}

function Row({ query, hit }: { query: Volume; hit: Volume | undefined }) {
  const of = (volume: Volume | undefined): string => (volume && isPlaced(volume) ? percentileText(volume.percentile) : "–");
  return (
    <tr>
      <th scope="row">{regionText(query.name)}</th>
      <td class="number">{number(query.ml, query.ml < 10 ? 1 : 0)}</td>
      <td class="number">{of(query)}</td>
      <td><Strip query={query} hit={hit} /></td>
      {hit && <td class="number hint">{of(hit)}</td>}
    </tr>
  );
}

/** All volumes of the query, and the percentiles of the case shown beside it. */
export function VolumesTable() {
  const volumes = state.answer.value?.volumes ?? [];
  if (volumes.length === 0) return null;
  const beside = state.shownHit.value?.volumes ?? [];
  const byName = new Map(beside.map((volume) => [volume.name, volume]));
  return (
    <>
      <h3>{t("volumes")}</h3>
      <table class="shares volumes">
        <thead>
          <tr>
            <th scope="col">{t("volumeRegion")}</th>
            <th scope="col">ml</th>
            <th scope="col">{t("volumePercentiles")}</th>
            <td />
            {beside.length > 0 && <th scope="col">{t("hit")}</th>}
          </tr>
        </thead>
        <tbody>
          {volumes.map((volume) => <Row key={volume.name} query={volume} hit={byName.get(volume.name)} />)}
        </tbody>
      </table>
      <p class="hint">{t("volumesHint")}</p>
      <Told />
      <ChosenControls />
    </>
  );
}
