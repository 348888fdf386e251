/** The reading room: query and choices on the left, the views in the middle, results on the right. */

import "@fontsource-variable/inter/wght.css";
import "./style.css";
import { render } from "preact";
import { begin, followAddress, runSearch } from "./actions";
import { t } from "./i18n";
import { listenToKeys } from "./keys";
import { FilterPanel } from "./panels/FilterPanel";
import { LoginDialog } from "./panels/LoginDialog";
import { QueryPanel } from "./panels/QueryPanel";
import { RegionPanel } from "./panels/RegionPanel";
import { Results } from "./panels/Results";
import { Searches } from "./panels/Searches";
import { TopBar } from "./panels/TopBar";
import { OptionsPanel } from "./panels/OptionsPanel";
import * as state from "./state";
import { takeDropped } from "./transfers";
import { Viewers } from "./viewer/Viewers";

function Notice() {
  const now = state.notice.value;
  if (!now) return null;
  return (
    <div class={`notice notice-${now.kind}`} role={now.kind === "error" ? "alert" : "status"}>
      <p>{now.text}</p>
      <button type="button" class="quiet" onClick={() => (state.notice.value = null)}>{t("dismiss")}</button>
    </div>
  );
}

function SearchBar() {
  return (
    <div class="search-bar">
      <label>
        <span>{t("count")}</span>
        <input
          type="number" id="count" min="1" max="100" value={state.count.value}
          onChange={(event) => {
            const wanted = Math.round(Number(event.currentTarget.value)) || 8;
            state.count.value = Math.min(Math.max(wanted, 1), 100);
          }}
        />
      </label>
      <button
        type="button" class="primary" id="search" disabled={!state.source.value || state.searching.value}
        onClick={() => void runSearch()}
      >
        {state.searching.value ? t("searching") : t("search")}
      </button>
    </div>
  );
}

function Page() {
  return (
    <>
      <TopBar />
      <main class="room">
        <div class="left">
          <div class="left-scroll">
            <QueryPanel />
            <FilterPanel />
            <RegionPanel />
            <OptionsPanel />
            <Searches />
          </div>
          <SearchBar />
        </div>
        <Viewers />
        <Results />
      </main>
      <Notice />
      {state.needsLogin.value && <LoginDialog />}
    </>
  );
}

// A file dropped anywhere is a scan to search with, also while another query stands; it must not replace the page.
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer?.types.includes("Files")) takeDropped(event.dataTransfer);
});
listenToKeys();
window.addEventListener("popstate", () => void followAddress());
const root = document.getElementById("page");
if (root) render(<Page />, root);
void begin();
