/** The right side: cases, neighbours and map, side by side where the screen is wide enough. */

import { signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { copyLink, requestNow, runSearch, unmarked } from "../actions";
import { urls } from "../api/client";
import { language, number, t } from "../i18n";
import type { Key } from "../i18n/en";
import * as state from "../state";
import { Cases } from "./Cases";
import { EmbeddingMap } from "./EmbeddingMap";
import { ChosenControls } from "./ChosenControls";
import { Neighbours } from "./Neighbours";

type Tab = "cases" | "neighbours" | "map";
const TABS: readonly Tab[] = ["cases", "neighbours", "map"];
const WIDE = "(min-width: 1900px)";

const isWide = signal(matchMedia(WIDE).matches);
matchMedia(WIDE).addEventListener("change", (event) => (isWide.value = event.matches));

const BODIES: Record<Tab, () => preact.JSX.Element> = {
  cases: Cases,
  neighbours: Neighbours,
  map: EmbeddingMap,
};

function Exports() {
  const answer = state.answer.value;
  if (!answer) return null;
  return (
    <div class="exports">
      <a class="button quiet" id="report" href={urls.report(answer.search, language.value, state.shownKeyImages.value.map(state.keyText))} target="_blank" rel="noopener">
        {t("report")}
      </a>
      <a class="button quiet" id="table" href={urls.table(answer.search)} download>{t("table")}</a>
      <button type="button" class="quiet" id="copy-link" onClick={() => void copyLink()}>{t("link")}</button>
    </div>
  );
}

/** Whether the page's choices are other than those that the shown cases were found with. */
function isStale(): boolean {
  const [answer, now] = [state.answer.value, requestNow()];
  if (!answer || !now) return false;
  const asked = answer.request;
  const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);
  return !(
    same(now.k, asked.k) && same(now.where, asked.where) && same(now.regions, asked.regions) &&
    same([...(now.plus ?? [])].sort(), [...asked.plus].sort()) &&
    same([...(now.minus ?? [])].sort(), [...asked.minus].sort()) &&
    same(now.older ?? null, asked.older) && same(now.similar_by, asked.similar_by) &&
    same(now.controls ?? null, asked.controls) &&
    same(now.known ?? {}, asked.known)
  );
}

function AgainBar() {
  const stale = isStale();
  if (!state.hasMarks.value && !stale) return null;
  return (
    <div class="again" role="status">
      <span>
        {state.hasMarks.value && t("marked", { plus: state.plus.value.size, minus: state.minus.value.size })}
        {stale && <strong class="stale">{t("stale")}</strong>}
      </span>
      {state.hasMarks.value && (
        <button
          type="button" class="quiet"
          onClick={() => {
            state.plus.value = new Set();
            state.minus.value = new Set();
          }}
        >
          {t("clearMarks")}
        </button>
      )}
      <button type="button" class="primary" id="search-again" onClick={() => void runSearch()}>
        {t("searchAgain")}
      </button>
    </div>
  );
}

/** 'as if 10 years older', or younger. */
function olderText(years: number): string {
  return t(years > 0 ? "asOlder" : "asYounger", { years: number(Math.abs(years), Number.isInteger(years) ? 0 : 1) });
}

function Summary() {
  const answer = state.answer.value;
  if (!answer) return null;
  const by = state.answeredBy.value;
  return (
    <p class="found" role="status">
      {t("found", { hits: unmarked(answer).length, searched: number(answer.n_searched) })}
      {by !== "code" ? (
        <span class="hint"> · {t(by === "normal" ? "byAnatomy" : "byAbnormality")}</span>
      ) : (
        answer.weights_name && <span class="hint"> · {answer.weights_name}</span>
      )}
      {answer.request.older ? <span class="hint"> · {olderText(answer.request.older)}</span> : null}
      {answer.request.controls !== null && <> · <ChosenControls /></>}
    </p>
  );
}

function Tabs({ tab, onChoose }: { tab: Tab; onChoose: (tab: Tab) => void }) {
  const onKey = (event: KeyboardEvent): void => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (by === 0) return;
    event.preventDefault();
    const next = TABS[(TABS.indexOf(tab) + by + TABS.length) % TABS.length] ?? tab;
    onChoose(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label={t("results")} onKeyDown={onKey}>
      {TABS.map((name) => (
        <button
          key={name} type="button" role="tab" id={`tab-${name}`} aria-selected={tab === name}
          aria-controls={`panel-${name}`} tabIndex={tab === name ? 0 : -1} onClick={() => onChoose(name)}
        >
          {t(name satisfies Key)}
        </button>
      ))}
    </div>
  );
}

function Panel({ name, role }: { name: Tab; role: "tabpanel" | "region" }) {
  const Body = BODIES[name];
  const named = role === "tabpanel" ? { "aria-labelledby": `tab-${name}` } : { "aria-label": t(name) };
  return (
    <section class={`panel panel-${name}`} id={`panel-${name}`} role={role} tabIndex={0} {...named}>
      {role === "region" && <h2>{t(name)}</h2>}
      <Body />
    </section>
  );
}

export function Results() {
  const tab = useSignal<Tab>("cases");
  const anyAnswer = state.answer.value !== null;
  useEffect(() => {
    if (!anyAnswer) tab.value = "cases";
  }, [anyAnswer]);
  return (
    <aside class={isWide.value ? "results results-wide" : "results"} aria-label={t("results")} data-busy={state.searching.value}>
      {isWide.value ? (
        <div class="results-head"><Summary /><Exports /></div>
      ) : (
        <>
          <Tabs tab={tab.value} onChoose={(name) => (tab.value = name)} />
          {anyAnswer && <div class="results-head"><Summary /><Exports /></div>}
        </>
      )}
      {isWide.value ? (
        <div class="results-body">{TABS.map((name) => <Panel key={name} name={name} role="region" />)}</div>
      ) : (
        <Panel key={tab.value} name={tab.value} role="tabpanel" />
      )}
      <AgainBar />
    </aside>
  );
}
