/** The regions a search is restricted to, and the button that opens the brain picture. */

import { lazy, Suspense } from "preact/compat";
import { useSignal } from "@preact/signals";
import { t } from "../i18n";
import * as state from "../state";
import { RegionList } from "./RegionList";

const RegionDialog = lazy(() => import("./RegionDialog"));

export function RegionPanel() {
  const open = useSignal(false);
  const gallery = state.gallery.value;
  if (gallery?.without_regions) {
    return (
      <section class="block" aria-labelledby="regions-title">
        <h2 id="regions-title">{t("regions")}</h2>
        <p class="hint" id="without-regions">{t("withoutRegions", { encoder: gallery.encoder })}</p>
      </section>
    );
  }
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
