/** Three planes of a scan, small, in the chosen convention and with their letters. */

import * as state from "../state";

/** As `braincase.images.planes`: the widths of the planes side by side in one picture, mm. */
const WIDTHS = [192, 160, 160] as const;
const WHOLE = WIDTHS.reduce((sum, width) => sum + width, 0);

export function Thumbnail({ src }: { src: string }) {
  const mirrored = !state.radiological.value;
  const [left, right] = mirrored ? ["L", "R"] : ["R", "L"];
  let before = 0;
  return (
    <span class="thumbnail" aria-hidden="true">
      {WIDTHS.map((width, place) => {
        const style = { width: `${(100 * WHOLE) / width}%`, left: `${(-100 * before) / width}%` };
        before += width;
        const isSagittal = place === 0; // its nose points to the left in either convention
        // The letters are part of the picture: as text they would be words of the button that it stands in.
        const sides = isSagittal ? {} : { "data-left": left, "data-right": right };
        return (
          <span key={place} class="thumbnail-plane" style={{ flexGrow: width }} {...sides}>
            <span class={mirrored && !isSagittal ? "thumbnail-cut mirrored" : "thumbnail-cut"}>
              <img src={src} alt="" loading="lazy" style={style} />
            </span>
          </span>
        );
      })}
    </span>
  );
}
