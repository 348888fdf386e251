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
        return (
          <span key={place} class="thumbnail-plane" style={{ flexGrow: width }}>
            <span class={mirrored && !isSagittal ? "thumbnail-cut mirrored" : "thumbnail-cut"}>
              <img src={src} alt="" loading="lazy" style={style} />
            </span>
            {!isSagittal && <><span class="side">{left}</span><span class="side side-right">{right}</span></>}
          </span>
        );
      })}
    </span>
  );
}
