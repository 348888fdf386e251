/** Who the controls are: the reader's choice, and with every comparison whom it was made with. */

import { runSearch } from "../actions";
import { t } from "../i18n";
import * as state from "../state";

/** The choice: a filter in the same language as that of the cases. */
export function ControlsField() {
  return (
    <div class="options-row">
      <label class="filter-name" for="controls">{t("controls")}</label>
      <input
        id="controls" type="text" maxLength={2000} spellcheck={false} autocomplete="off"
        placeholder={t("controlsUsual")} aria-describedby="controls-hint" value={state.controls.value ?? ""}
        onInput={({ currentTarget: { value } }) => (state.controls.value = value.trim() === "" ? null : value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") void runSearch();
        }}
      />
      <p class="hint options-hint" id="controls-hint">{t("controlsHint")}</p>
    </div>
  );
}

/** Whom the shown answer compares with, where that was chosen. */
export function ChosenControls() {
  const chosen = state.answer.value?.request.controls ?? null;
  return chosen === null ? null : <span class="hint chosen-controls">{t("controlsTold", { filter: chosen })}</span>;
}
