/** One's own account: change the password, end sessions, make and revoke API tokens. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { lineOf } from "../actions";
import type { Me, Session, Token } from "../api/bodies";
import * as service from "../api/client";
import { language, t } from "../i18n";
import { Dialog } from "./Dialog";

const time = (utc: string): string => new Date(utc).toLocaleString(language.value);

/** A form whose failure stands below it; it is emptied once it was sent. */
function Form(props: { button: string; send: (form: FormData) => Promise<string>; children: ComponentChildren }) {
  const told = useSignal({ text: "", fault: false });
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    try {
      told.value = { text: await props.send(new FormData(form)), fault: false };
      form.reset();
    } catch (error) {
      told.value = { text: lineOf(error), fault: true };
    }
  };
  return (
    <form onSubmit={(event) => void submit(event)}>
      {props.children}
      {told.value.text && (
        <p class={told.value.fault ? "fault" : "hint"} role={told.value.fault ? "alert" : "status"}>{told.value.text}</p>
      )}
      <button class="primary">{props.button}</button>
    </form>
  );
}

function PasswordForm({ onChanged }: { onChanged: () => void }) {
  const send = async (form: FormData): Promise<string> => {
    await service.changePassword(String(form.get("old")), String(form.get("new")));
    onChanged();
    return t("passwordChanged");
  };
  return (
    <Form button={t("changePassword")} send={send}>
      <label>{t("password")}<input name="old" type="password" autocomplete="current-password" required /></label>
      <label>{t("passwordNew")}<input name="new" type="password" autocomplete="new-password" required minLength={12} /></label>
    </Form>
  );
}

function Sessions({ sessions }: { sessions: readonly Session[] }) {
  const end = (): void => void service.endSessions().finally(() => location.reload());
  return (
    <section>
      <h3>{t("sessions")}</h3>
      <ul>
        {sessions.map(({ begun, used, current }) => (
          <li key={begun}>
            {t("sessionLine", { begun: time(begun), used: time(used) })} {current && <strong>{t("sessionCurrent")}</strong>}
          </li>
        ))}
      </ul>
      <button type="button" id="end-sessions" onClick={end}>{t("endSessions")}</button>
    </section>
  );
}

function Tokens({ tokens, onChanged }: { tokens: readonly Token[]; onChanged: () => void }) {
  const fresh = useSignal("");
  const fault = useSignal("");
  const send = async (form: FormData): Promise<string> => {
    fresh.value = (await service.makeToken(String(form.get("note")), Number(form.get("days")))).token;
    onChanged();
    return "";
  };
  const revoke = async (id: string): Promise<void> => {
    await service.revokeToken(id).catch((error: unknown) => (fault.value = lineOf(error)));
    onChanged();
  };
  return (
    <section>
      <h3>{t("tokens")}</h3>
      <p class="hint">{t("tokensHint")}</p>
      <ul>
        {tokens.map(({ id, note, made, until }) => (
          <li key={id}>
            {note || id}: {t("tokenLine", { made: time(made), until: until ? time(until) : t("tokenNever") })}{" "}
            <button type="button" class="quiet" onClick={() => void revoke(id)}>{t("revoke")}</button>
          </li>
        ))}
      </ul>
      {fault.value && <p class="fault" role="alert">{fault.value}</p>}
      {fresh.value && <p role="status">{t("tokenOnce")} <code class="fresh-token">{fresh.value}</code></p>}
      <Form button={t("tokenMake")} send={send}>
        <label>{t("tokenNote")}<input name="note" maxLength={200} autocomplete="off" /></label>
        <label>{t("tokenDays")}<input name="days" type="number" min={1} max={3650} value={90} required /></label>
      </Form>
    </section>
  );
}

export function AccountDialog({ user, onClose }: { user: Me; onClose: () => void }) {
  const sessions = useSignal<Session[]>([]);
  const tokens = useSignal<Token[]>([]);
  const fault = useSignal("");
  const read = async (): Promise<void> => {
    try {
      sessions.value = await service.readSessions();
      if (user.password) tokens.value = await service.readTokens();
    } catch (error) {
      fault.value = lineOf(error);
    }
  };
  useEffect(() => void read(), []);
  return (
    <Dialog title={t("account", { user: user.shown })} className="account-dialog" onClose={onClose}>
      <div class="account-body">
        {fault.value && <p class="fault" role="alert">{fault.value}</p>}
        {user.password && <PasswordForm onChanged={() => void read()} />}
        <Sessions sessions={sessions.value} />
        {user.password && <Tokens tokens={tokens.value} onChanged={() => void read()} />}
      </div>
    </Dialog>
  );
}
