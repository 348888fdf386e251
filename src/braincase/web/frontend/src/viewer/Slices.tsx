/** Where a browser has no WebGL 2: three slices as PNG from the service, at the cross. */

import { urls } from "../api/client";
import { t } from "../i18n";
import type { Key } from "../i18n/en";
import { gallery, radiological } from "../state";
import { CORNER, cross, EDGES, VIEW_AROUND } from "./place";

const PLANES: readonly { name: string; axis: 0 | 1 | 2; title: Key }[] = [
  { name: "sagittal", axis: 0, title: "planeSagittal" },
  { name: "coronal", axis: 1, title: "planeCoronal" },
  { name: "axial", axis: 2, title: "planeAxial" },
];

export function Slices({ volume, viewMm }: { volume: string; viewMm: number | null }) {
  const mm = viewMm ?? gallery.value?.resolution_mm ?? 2;
  const around = viewMm === null ? 0 : VIEW_AROUND;
  const index = (axis: 0 | 1 | 2): number => {
    const place = Math.floor((cross.value[axis] - CORNER[axis] + around) / mm);
    return Math.min(Math.max(place, 0), (EDGES[axis] + 2 * around) / mm - 1);
  };
  const sides = radiological.value ? ["R", "L"] : ["L", "R"];
  return (
    <div class={radiological.value ? "slices" : "slices slices-neurological"}>
      {PLANES.map(({ name, axis, title }) => (
        <span key={name} class="slice">
          <img class={`slice-${name}`} src={urls.slice(volume, name, index(axis))} alt={t(title)} />
          <span class="side">{axis === 0 ? "A" : sides[0]}</span>
          <span class="side side-right">{axis === 0 ? "P" : sides[1]}</span>
        </span>
      ))}
    </div>
  );
}
