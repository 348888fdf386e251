/** Where the cross stands in MNI millimetres, one slider a plane: the keyboard's way to scroll. */

import { t } from "../i18n";
import type { Key } from "../i18n/en";
import type { Millimetres } from "./pair";
import { cross, extent, moveCross } from "./place";

const AXES: readonly { place: 0 | 1 | 2; plane: Key; name: string; ends: [string, string] }[] = [
  { place: 0, plane: "planeSagittal", name: "x", ends: ["L", "R"] },
  { place: 1, plane: "planeCoronal", name: "y", ends: ["P", "A"] },
  { place: 2, plane: "planeAxial", name: "z", ends: ["I", "S"] },
];

export function SliceSliders() {
  const range = extent.value;
  return (
    <div class="sliders" aria-label={t("position")} role="group">
      {AXES.map(({ place, plane, name, ends }) => (
        <label key={name}>
          <span class="slider-name">{t(plane)}</span>
          <span class="slider-end" aria-hidden="true">{ends[0]}</span>
          <input
            type="range" step="1" disabled={!range} data-axis={name}
            min={Math.ceil(range?.low[place] ?? -80)} max={Math.floor(range?.high[place] ?? 80)}
            value={cross.value[place]}
            aria-label={`${t(plane)} ${name}, ${t("position")}`}
            onInput={(event) => {
              const to = [...cross.value] as Millimetres;
              to[place] = Number(event.currentTarget.value);
              moveCross(to);
            }}
          />
          <span class="slider-end" aria-hidden="true">{ends[1]}</span>
          <output>{`${name} ${Math.round(cross.value[place])}`}</output>
        </label>
      ))}
    </div>
  );
}
