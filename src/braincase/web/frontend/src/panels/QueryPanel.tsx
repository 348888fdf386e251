/** Where a search starts: a scan from the reader's disk, or a stored case. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { dropSource, startFrom, tell } from "../actions";
import { readCases, urls } from "../api/client";
import type { CasePage } from "../api/bodies";
import { number, percent, t } from "../i18n";
import { stageText } from "../i18n/notes";
import { chosenFiles } from "../lib/folder";
import { labelLine } from "../lib/labels";
import * as state from "../state";
import { cancelTransfer, chooseSeries, takeDropped, uploadFiles } from "../transfers";
import { KeepDialog } from "./KeepDialog";
import { QueryNormality } from "./Normality";
import { RemoveButton } from "./RemoveCase";
import { Thumbnail } from "./Thumbnail";
import { QueryVolumes } from "./Volumes";
import { Segments } from "../viewer/OverlayTools";

/** What had the focus goes when a query comes or goes: keys go on from what stands in its place. */
function focusSoon(what: string): void {
  requestAnimationFrame(() => document.querySelector<HTMLElement>(what)?.focus());
}

function Chosen() {
  const keeping = useSignal(false);
  const from = state.source.value;
  if (!from) return null;
  const picture =
    from.kind === "case" ? urls.caseThumbnail(from.scan_id, state.queryVersion.value) : urls.uploadThumbnail(from.job);
  return (
    <div class="chosen">
      <Thumbnail src={picture} />
      <div class="chosen-text">
        <strong title={state.sourceName.value}>{state.sourceName.value}</strong>
        {from.kind === "upload" && state.mayCurate.value && (
          <button type="button" class="quiet" id="keep" onClick={() => (keeping.value = true)}>
            {t("keep")}
          </button>
        )}
        <button
          type="button" class="quiet" id="change"
          onClick={() => {
            dropSource();
            focusSoon("#query-ways button[aria-pressed=true]");
          }}
        >
          {t("change")}
        </button>
      </div>
      <QueryVolumes />
      <QueryNormality />
      {from.kind === "case" && state.mayCurate.value && (
        <details class="more">
          <summary>{t("more")}</summary>
          <RemoveButton scan={from.scan_id} />
        </details>
      )}
      {keeping.value && <KeepDialog onClose={() => (keeping.value = false)} />}
    </div>
  );
}

function TransferLine() {
  const now = state.transfer.value;
  if (!now) return null;
  const job = now.job?.state === "queued" ? t("queued") : (now.job ? stageText(now.job.stage, now.job.message) : "") || t("running");
  const text = now.phase === "packing" ? t("packing") : now.phase === "sending" ? t("sending") : job;
  return (
    <div class="transfer" data-phase={now.phase}>
      <strong title={now.name}>{now.name}</strong>
      <progress max="1" value={now.share} aria-label={text} />
      <div class="transfer-line">
        <span role="status">{text}</span>
        <span class="number">{percent(now.share)}</span>
        <button type="button" class="quiet" onClick={cancelTransfer}>{t("cancel")}</button>
      </div>
    </div>
  );
}

/** The series of a study of which nothing says which one is the T1w. */
function SeriesChoice({ choice }: { choice: state.SeriesChoice }) {
  return (
    <div class="series-choice" role="group" aria-labelledby="series-title">
      <p id="series-title" role="status">{t("whichSeries", { name: choice.name })}</p>
      <ul>
        {choice.series.map(({ number, description, slices }) => (
          <li key={number}>
            <button type="button" onClick={() => void chooseSeries(choice, number)}>
              <span>{description || t("noDescription")}</span>
              <span class="hint">{t("seriesLine", { number, slices })}</span>
            </button>
          </li>
        ))}
      </ul>
      <button type="button" class="quiet" onClick={dropSource}>{t("cancel")}</button>
    </div>
  );
}

function Drop() {
  const over = useSignal(false);
  const file = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  useEffect(() => folder.current?.setAttribute("webkitdirectory", ""), []);
  const take = (input: HTMLInputElement): void => {
    if (input.files?.length) void uploadFiles(chosenFiles(input.files));
    input.value = "";
  };
  return (
    <div
      class="drop" data-over={over.value}
      onDragOver={(event) => {
        event.preventDefault();
        over.value = true;
      }}
      onDragLeave={() => (over.value = false)}
      onDrop={(event) => {
        event.preventDefault();
        over.value = false;
        event.stopPropagation(); // or the page would take it as well
        if (event.dataTransfer) takeDropped(event.dataTransfer);
      }}
    >
      <p class="drop-title">{t("drop")}</p>
      <p class="hint">{t("dropKinds")}</p>
      <div class="drop-buttons">
        <button type="button" onClick={() => file.current?.click()}>{t("chooseFile")}</button>
        <button type="button" onClick={() => folder.current?.click()}>{t("chooseFolder")}</button>
      </div>
      <input
        ref={file} id="scan-file" type="file" hidden aria-label={t("chooseFile")}
        onChange={(event) => take(event.currentTarget)}
      />
      <input
        ref={folder} id="scan-folder" type="file" hidden multiple aria-label={t("chooseFolder")}
        onChange={(event) => take(event.currentTarget)}
      />
    </div>
  );
}

const SHOWN = 30;

function CaseFinder() {
  const text = useSignal("");
  const listed = useSignal<CasePage | null>(null);
  const turn = useRef(0);
  useEffect(() => {
    const mine = ++turn.current;
    const wait = setTimeout(() => {
      readCases(text.value, 0, SHOWN)
        .then((page) => {
          if (mine === turn.current) listed.value = page;
        })
        .catch(tell);
    }, 150);
    return () => clearTimeout(wait);
  }, [text.value]);
  const page = listed.value;
  const choose = (scan: string): void => {
    void startFrom(scan);
    focusSoon("#change");
  };
  return (
    <div class="finder">
      <input
        type="search" id="case-finder" placeholder={t("findCaseHint")} aria-label={t("findCase")}
        value={text.value} onInput={(event) => (text.value = event.currentTarget.value)}
      />
      <ul class="finder-list">
        {page?.cases.map((stored) => (
          <li key={stored.scan_id}>
            <button type="button" onClick={() => choose(stored.scan_id)}>
              <span>{stored.scan_id}</span>
              <span class="hint">{labelLine(stored.labels, 3)}</span>
            </button>
          </li>
        ))}
      </ul>
      {page && (
        <p class="hint">
          {page.total === 0
            ? t("noCases")
            : t("casesShown", { shown: number(page.cases.length), total: number(page.total) })}
        </p>
      )}
    </div>
  );
}

export function QueryPanel() {
  const canUpload = state.gallery.value?.can_upload ?? true;
  const from = useSignal<"upload" | "case">("upload");
  const way = canUpload ? from.value : "case";
  return (
    <section class="block" aria-labelledby="query-title">
      <h2 id="query-title">{t("query")}</h2>
      {state.source.value ? (
        <Chosen />
      ) : state.transfer.value ? (
        <TransferLine />
      ) : state.seriesChoice.value ? (
        <SeriesChoice choice={state.seriesChoice.value} />
      ) : (
        <>
          <Segments
            id="query-ways" label={t("query")}
            choices={[
              { value: "upload", text: t("upload") },
              { value: "case", text: t("storedCase") },
            ]}
            value={way}
            onChoose={(value) => (from.value = value)}
          />
          {way === "upload" ? <Drop /> : <CaseFinder />}
          {!canUpload && <p class="hint">{t("noUpload")}</p>}
        </>
      )}
    </section>
  );
}
