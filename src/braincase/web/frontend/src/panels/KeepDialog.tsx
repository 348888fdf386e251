/** For curators: keep an uploaded scan as a case of the gallery, under a pseudonym. */

import { useSignal } from "@preact/signals";
import { keepScan, lineOf } from "../actions";
import type { Column, Labels } from "../api/bodies";
import { t } from "../i18n";
import * as state from "../state";
import { Dialog } from "./Dialog";

/** What the service takes as a person's or a visit's name. */
const NAME = "[A-Za-z0-9]+";

function LabelField({ column: { name, kind, values } }: { column: Column }) {
  if (kind === "number") return <input name={`label:${name}`} type="number" step="any" />;
  return (
    <>
      <input name={`label:${name}`} list={`values-${name}`} autocomplete="off" />
      <datalist id={`values-${name}`}>{values?.map((value) => <option key={value} value={value} />)}</datalist>
    </>
  );
}

function labelsOf(form: FormData, columns: readonly Column[]): Labels {
  const given = columns
    .map(({ name, kind }) => [name, kind, String(form.get(`label:${name}`) ?? "").trim()] as const)
    .filter(([, , text]) => text !== "");
  return Object.fromEntries(given.map(([name, kind, text]) => [name, kind === "number" ? Number(text) : text]));
}

export function KeepDialog({ onClose }: { onClose: () => void }) {
  const fault = useSignal("");
  const columns = (state.gallery.value?.columns ?? []).filter(({ name }) => !name.startsWith("true_"));
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    try {
      await keepScan(String(form.get("subject")), String(form.get("session")), labelsOf(form, columns));
      onClose();
    } catch (error) {
      fault.value = lineOf(error);
    }
  };
  return (
    <Dialog title={t("keepTitle")} className="keep-dialog" onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <p class="hint">{t("keepHint")}</p>
        <label>{t("subject")}<input name="subject" required pattern={NAME} maxLength={100} autocomplete="off" /></label>
        <label>{t("session")}<input name="session" pattern={NAME} maxLength={100} autocomplete="off" /></label>
        {columns.map((column) => (
          <label key={column.name}>{column.name}<LabelField column={column} /></label>
        ))}
        {fault.value && <p class="fault" role="alert">{fault.value}</p>}
        <button class="primary">{t("keep")}</button>
      </form>
    </Dialog>
  );
}
