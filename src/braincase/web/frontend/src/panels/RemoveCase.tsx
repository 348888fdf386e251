/** For curators: take a case out of the gallery, after saying what that means. */

import { useSignal } from "@preact/signals";
import { lineOf, removeCase } from "../actions";
import { t } from "../i18n";
import * as state from "../state";
import { Dialog } from "./Dialog";

function RemoveDialog({ scan, onClose }: { scan: string; onClose: () => void }) {
  const fault = useSignal("");
  const busy = useSignal(false);
  const version = state.gallery.value?.version ?? 0;
  const remove = async (): Promise<void> => {
    busy.value = true;
    try {
      await removeCase(scan);
      onClose();
    } catch (error) {
      fault.value = lineOf(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <Dialog title={t("removeTitle", { scan })} className="remove-dialog" onClose={onClose}>
      <div class="remove-body">
        <p>{t("removeNow")}</p>
        <p>{t("removeEarlier", { version })}</p>
        <p class="hint">{t("removeErase", { command: `braincase gallery remove GALLERY ${scan} --erase` })}</p>
        {fault.value && <p class="fault" role="alert">{fault.value}</p>}
        <div class="remove-buttons">
          <button type="button" onClick={onClose}>{t("cancel")}</button>
          <button type="button" class="danger" disabled={busy.value} onClick={() => void remove()}>
            {t("removeCase")}
          </button>
        </div>
      </div>
    </Dialog>
  );
}

/** The button that asks first; not there for readers. */
export function RemoveButton({ scan }: { scan: string }) {
  const asking = useSignal(false);
  if (!state.mayCurate.value) return null;
  return (
    <>
      <button
        type="button" class="quiet remove" aria-label={`${t("removeCase")}: ${scan}`}
        onClick={() => (asking.value = true)}
      >
        {t("removeCase")}
      </button>
      {asking.value && <RemoveDialog scan={scan} onClose={() => (asking.value = false)} />}
    </>
  );
}
