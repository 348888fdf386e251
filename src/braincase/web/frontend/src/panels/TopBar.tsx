/** What is always visible: which gallery this is, that it is no diagnosis, that it is simulated. */

import { useSignal } from "@preact/signals";
import { logOut } from "../actions";
import { language, number, t } from "../i18n";
import { gallery, me } from "../state";
import { AccountDialog } from "./AccountDialog";
import { HelpDialog } from "./HelpDialog";

function GalleryLine() {
  const now = gallery.value;
  if (!now) return null;
  const { cases, people, version } = now;
  return (
    <span class="gallery" title={now.fingerprint}>
      <strong>{now.name}</strong>
      <span>{t("galleryLine", { cases: number(cases), people: number(people), version })}</span>
    </span>
  );
}

export function TopBar() {
  const help = useSignal(false);
  const account = useSignal(false);
  const user = me.value;
  const otherLanguage = language.value === "en" ? "ja" : "en";
  return (
    <header class="top">
      <h1><img src="./icon.svg" alt="" />Braincase</h1>
      <GalleryLine />
      <span class="spacer" />
      {gallery.value?.simulated && (
        <span class="badge badge-simulated" title={t("simulatedHint")}>{t("simulated")}</span>
      )}
      <span class="badge">{t("research")}</span>
      <button type="button" class="quiet" id="help" onClick={() => (help.value = true)}>{t("help")}</button>
      <button
        type="button" class="quiet" id="language" lang={otherLanguage} title={t("languageHint")}
        onClick={() => (language.value = otherLanguage)}
      >
        {t("language")}
      </button>
      {user?.login && (
        <span class="user">
          <button type="button" class="quiet" id="account" onClick={() => (account.value = true)}>{user.shown}</button>
          <button type="button" class="quiet" onClick={() => void logOut()}>{t("logOut")}</button>
        </span>
      )}
      {account.value && user && <AccountDialog user={user} onClose={() => (account.value = false)} />}
      {help.value && <HelpDialog onClose={() => (help.value = false)} />}
    </header>
  );
}
