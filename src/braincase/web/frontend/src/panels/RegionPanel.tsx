/** The regions a search is restricted to, and the button that opens the brain picture. */

import { lazy, Suspense } from "preact/compat";
import { useSignal } from "@preact/signals";
import { t } from "../i18n";
import * as state from "../state";

const RegionDialog = lazy(() => import("./RegionDialog"));

export function setWeight(name: string, weight: number): void {
  state.regions.value = state.regions.value.map((one) => (one.name === name ? { name, weight } : one));
}

export function toggleRegion(name: string): void {
  const now = state.regions.value;
  const without = now.filter((one) => one.name !== name);
  state.regions.value = without.length < now.length ? without : [...now, { name, weight: 1 }];
}

export function RegionList() {
  if (state.regions.value.length === 0) return <p class="hint">{t("wholeBrain")}</p>;
  return (
    <ul class="region-list">
      {state.regions.value.map(({ name, weight }) => (
        <li key={name}>
          <span>{name}</span>
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

export function RegionPanel() {
  const open = useSignal(false);
  return (
    <section class="block" aria-labelledby="regions-title">
      <h2 id="regions-title">
        {t("regions")}
        <button type="button" class="quiet" id="pick-regions" onClick={() => (open.value = true)}>
          {t("pickRegions")}
        </button>
      </h2>
      <RegionList />
      {open.value && (
        <Suspense fallback={null}>
          <RegionDialog onClose={() => (open.value = false)} />
        </Suspense>
      )}
    </section>
  );
}
