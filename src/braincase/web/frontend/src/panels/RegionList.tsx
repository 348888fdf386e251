/** The chosen regions with their weights, as the panel and the dialog show them. */

import { t } from "../i18n";
import { regionChoice } from "../i18n/parts";
import * as state from "../state";

function setWeight(name: string, weight: number): void {
  state.regions.value = state.regions.value.map((region) =>
    region.name === name ? { name, weight } : region,
  );
}

export function toggleRegion(name: string): void {
  const now = state.regions.value;
  const without = now.filter((region) => region.name !== name);
  state.regions.value = without.length < now.length ? without : [...now, { name, weight: 1 }];
}

export function RegionList() {
  if (state.regions.value.length === 0) return <p class="hint">{t("wholeBrain")}</p>;
  return (
    <ul class="region-list">
      {state.regions.value.map(({ name, weight }) => (
        <li key={name}>
          <span title={name}>{regionChoice(name)}</span>
          <input
            type="number" min="0.25" max="10" step="0.25" value={weight}
            aria-label={`${t("weight")}: ${name}`}
            onChange={(event) => setWeight(name, Math.max(0.25, Number(event.currentTarget.value) || 1))}
          />
          <button
            type="button" class="quiet" aria-label={`${t("remove")}: ${name}`}
            onClick={() => toggleRegion(name)}
          >
            ×
          </button>
        </li>
      ))}
    </ul>
  );
}
