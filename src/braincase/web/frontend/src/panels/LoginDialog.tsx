/** Shown where the service wants to know who is asking. */

import { useSignal } from "@preact/signals";
import { lineOf, logIn } from "../actions";
import { t } from "../i18n";
import { Dialog } from "./Dialog";

export function LoginDialog() {
  const fault = useSignal("");
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    try {
      await logIn(String(form.get("user")), String(form.get("password")));
    } catch (error) {
      fault.value = lineOf(error);
    }
  };
  return (
    <Dialog title={t("logIn")} className="login-dialog">
      <form onSubmit={(event) => void submit(event)}>
        <label>{t("user")}<input name="user" autocomplete="username" required /></label>
        <label>{t("password")}<input name="password" type="password" autocomplete="current-password" required /></label>
        {fault.value && <p class="fault" role="alert">{fault.value}</p>}
        <button class="primary">{t("logIn")}</button>
      </form>
    </Dialog>
  );
}
