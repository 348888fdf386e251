/** Shown where the service wants to know who is asking. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { lineOf, logIn, providerLogout } from "../actions";
import type { SignIn } from "../api/bodies";
import * as service from "../api/client";
import { t } from "../i18n";
import { Dialog } from "./Dialog";

/** The way to the OpenID provider, and after signing out here the way to sign out there too. */
function Provider({ name }: { name: string }) {
  const logout = useSignal<string | null>(null);
  useEffect(() => void (logout.value = providerLogout()), []);
  return (
    <div class="provider">
      <a class="button primary" id="provider" href={service.providerSignIn()}>{t("logInAt", { name })}</a>
      {logout.value && (
        <p class="hint" role="status">
          {t("stillSignedIn", { name })} <a href={logout.value}>{t("logOutAt")}</a>
        </p>
      )}
    </div>
  );
}

function PasswordForm() {
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
    <form onSubmit={(event) => void submit(event)}>
      <label>{t("user")}<input name="user" autocomplete="username" required /></label>
      <label>{t("password")}<input name="password" type="password" autocomplete="current-password" required /></label>
      {fault.value && <p class="fault" role="alert">{fault.value}</p>}
      <button class="primary">{t("logIn")}</button>
    </form>
  );
}

export function LoginDialog() {
  const choices = useSignal<SignIn | null>(null);
  const read = async (): Promise<void> => {
    // Behind a proxy that signs people in there is neither; the form then says what is wrong.
    choices.value = await service.readSignIn().catch(() => ({ password: true, provider: null }));
  };
  useEffect(() => void read(), []);
  const now = choices.value;
  if (!now) return null;
  return (
    <Dialog title={t("logIn")} className="login-dialog">
      {now.provider && <Provider name={now.provider} />}
      {(now.password || !now.provider) && <PasswordForm />}
    </Dialog>
  );
}
