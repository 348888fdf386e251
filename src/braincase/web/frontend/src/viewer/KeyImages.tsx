/** Key images: places in shown cases that the reader keeps for the report. */

import { t } from "../i18n";
import * as state from "../state";
import { cross, moveCross } from "./place";

const MOST = 12;

/** Keep the place of the cross in the case that is shown. */
export function keepKeyImage(): void {
  const [answer, hit] = [state.answer.value, state.shownHit.value];
  if (!answer || !hit) return;
  const [x, y, z] = cross.value.map(Math.round) as [number, number, number];
  const image = { search: answer.search, scan_id: hit.scan_id, place: [x, y, z] as const };
  const others = state.keyImages.value.filter((other) => state.keyText(other) !== state.keyText(image));
  state.keyImages.value = [...others, image].slice(-MOST);
}

/** Show a key image again. */
function showKeyImage(image: state.KeyImage): void {
  const answer = state.answer.value;
  const hits = answer ? [...answer.hits, ...answer.same_subject] : [];
  state.beside.value = hits.find((hit) => hit.scan_id === image.scan_id) ?? state.beside.value;
  moveCross([...image.place]);
}

export function KeyImages() {
  const images = state.shownKeyImages.value;
  if (!images.length) return null;
  return (
    <div class="key-images" role="group" aria-label={t("keyImages")}>
      <span class="tool-name">{t("keyImages")}</span>
      {images.map((image) => (
        <span class="key-image" key={state.keyText(image)}>
          <button type="button" class="quiet" onClick={() => showKeyImage(image)}>
            {image.scan_id} <span class="key-place">{image.place.join(", ")}</span>
          </button>
          <button
            type="button" class="quiet icon" title={t("dropKeyImage")} aria-label={`${t("dropKeyImage")}: ${image.scan_id}`}
            onClick={() => (state.keyImages.value = state.keyImages.value.filter((other) => other !== image))}
          >
            ×
          </button>
        </span>
      ))}
    </div>
  );
}
