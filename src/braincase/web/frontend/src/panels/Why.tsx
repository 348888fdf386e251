/** Why a case was found: where it is most and least alike, and behind it all the numbers. */

import type { Hit } from "../api/bodies";
import { number, percent, t } from "../i18n";
import { partList, regionText } from "../i18n/parts";
import { extremes } from "../lib/likeness";
import * as state from "../state";
import { NormalityDetails } from "./Normality";
import { Numbers } from "./Numbers";
import { RemoveButton } from "./RemoveCase";

/** Of a search by region: how alike query and case are in just those, before anything else. */
function ChosenRegions({ chosen }: { chosen: readonly (readonly [string, number])[] }) {
  return (
    <p class="why">
      {chosen.map(([name, ratio]) => (
        <span key={name} class="chosen-region">{t("inRegion", { region: regionText(name), share: percent(ratio) })}</span>
      ))}
    </p>
  );
}

/** One sentence on a card; nothing where the gallery is too small to say what is usual. */
export function WhyLine({ hit }: { hit: Hit }) {
  const chosen = hit.chosen ?? [];
  if (chosen.length > 0) return <ChosenRegions chosen={chosen} />;
  const likeness = hit.likeness ?? [];
  if (likeness.length === 0) return null;
  const { alike, unlike } = extremes(likeness);
  return (
    <p class="why">
      {alike.length > 0 ? (
        <>
          <span class="hint">{t("mostAlike")}</span> {partList(alike)}
          {unlike.length > 0 && <span class="hint">{t("leastAlikeAfter")}</span>}
        </>
      ) : (
        <>{t("alikeNowhere")} {unlike.length > 0 && <span class="hint">{t("leastAlike")}</span>}</>
      )}{" "}
      {partList(unlike)}
    </p>
  );
}

/** What stands behind the sentence, out of the way until it is opened. */
export function Details({ hit, own }: { hit: Hit; own: boolean }) {
  const likeness = hit.likeness ?? [];
  const shares = (hit.regions ?? []).filter(([name]) => name !== "outside");
  const gallery = state.gallery.value;
  const without = gallery?.without_regions ? t("withoutRegions", { encoder: gallery.encoder }) : "";
  if (likeness.length + shares.length === 0 && !without && !state.mayCurate.value) return null;
  return (
    <details class="details">
      <summary>{t("details")}<span class="unseen">: {hit.scan_id}</span></summary>
      {without && <p class="hint">{without}</p>}
      {likeness.length > 0 && (
        <Numbers
          title={t("likenessTitle")}
          rows={likeness.map(([name, ratio]) => [regionText(name), number(ratio, 2)])}
        />
      )}
      {shares.length > 0 && (
        <Numbers title={t("sharesTitle")} rows={shares.map(([name, share]) => [regionText(name), percent(share)])} />
      )}
      {!own && <NormalityDetails hit={hit} />}
      <RemoveButton scan={hit.scan_id} />
    </details>
  );
}
