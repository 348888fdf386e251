/** Keys and mouse, and the switch for single-letter keys (WCAG 2.1.4). */

import { t } from "../i18n";
import type { Key } from "../i18n/en";
import { letterKeys } from "../state";
import { Dialog } from "./Dialog";

const KEYS: readonly [string, Key][] = [
  ["J  K", "keyNext"], ["+  −", "keyPlus"], ["O", "keyOverlay"], ["V", "keyPicture"], ["I", "keyKeep"], ["R", "keyConvention"],
  ["F", "keyFull"], ["S", "keySearch"],
];

export function HelpDialog({ onClose }: { onClose: () => void }) {
  const more: readonly [Key, Key][] = [
    ["arrows", "keySlices"], ["mouseWheel", "keyWheel"], ["mouseLeft", "keySlices2"],
    ["mouseCtrlWheel", "keyZoom"], ["mouseMiddle", "keyPan"], ["mouseRight", "keyDrag"],
  ];
  return (
    <Dialog title={t("keysTitle")} className="help-dialog" onClose={onClose}>
      <dl class="keys">
        {KEYS.map(([key, text]) => [<dt key={key}><kbd>{key}</kbd></dt>, <dd>{t(text)}</dd>])}
        {more.map(([key, text]) => [<dt key={key}>{t(key)}</dt>, <dd>{t(text)}</dd>])}
      </dl>
      <label class="check">
        <input
          type="checkbox" checked={letterKeys.value}
          onChange={(event) => (letterKeys.value = event.currentTarget.checked)}
        />
        {t("keysOn")}
      </label>
      <p class="licences"><a href="./static/licences.txt" target="_blank" rel="noopener">{t("licences")}</a></p>
    </Dialog>
  );
}
