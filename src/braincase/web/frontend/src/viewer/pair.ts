/** Two linked 3-plane viewers on NiiVue: the query and a case, one crosshair, one zoom. */

import { MULTIPLANAR_TYPE, Niivue, SLICE_TYPE, type NVImage } from "@niivue/niivue";
import { SCALES, type OverlayKind, type Scale, colormap } from "./overlays";

export type Millimetres = [number, number, number];

export interface Picture {
  anatomy: string | null;
  overlay: { url: string; kind: Exclude<OverlayKind, "none"> } | null;
}

export interface Extent {
  low: Millimetres;
  high: Millimetres;
}

export interface View {
  nv: Niivue;
  shown: Picture;
}

const BLACK = [0, 0, 0, 1];
export const CROSS_MM = 0.8;
const CROSS = [0.486, 0.78, 0.91, 0.75];

/** A NiiVue that only shows: no drag and drop, no single-key surprises, nothing written on top. */
export function plainNiivue(onMove: (mm: Millimetres) => void): Niivue {
  const nv = new Niivue({
    backColor: BLACK,
    crosshairColor: CROSS,
    crosshairWidth: CROSS_MM,
    crosshairWidthUnit: "mm",
    crosshairGap: 5,
    fontColor: [0.86, 0.9, 0.94, 1],
    fontMinPx: 12,
    fontSizeScaling: 0.25,
    show3Dcrosshair: false,
    isOrientationTextVisible: true,
    showAllOrientationMarkers: true,
    multiplanarPadPixels: 4,
    multiplanarLayout: MULTIPLANAR_TYPE.AUTO,
    multiplanarShowRender: 0,
    tileMargin: 0,
    dragAndDropEnabled: false,
    isResizeCanvas: true,
    loadingText: "",
    logLevel: "warn",
    clipPlaneHotKey: "",
    cycleClipPlaneHotKey: "",
    viewModeHotKey: "",
    isRadiologicalConvention: true,
    sagittalNoseLeft: true,
    trustCalMinMax: false,
  } as ConstructorParameters<typeof Niivue>[0]);
  nv.setSliceType(SLICE_TYPE.MULTIPLANAR);
  nv.onLocationChange = (location) => {
    const { mm } = location as { mm: ArrayLike<number> };
    onMove([mm[0] ?? 0, mm[1] ?? 0, mm[2] ?? 0]);
  };
  for (const { warm, cold } of Object.values(SCALES)) {
    nv.addColormap(warm.name, colormap(warm));
    if (cold) nv.addColormap(cold.name, colormap(cold));
  }
  return nv;
}

/** NiiVue sends what one view does to the other only while its canvas has the focus. */
export function link(first: View, second: View): void {
  first.nv.broadcastTo([second.nv], { "2d": true, "3d": false });
  second.nv.broadcastTo([first.nv], { "2d": true, "3d": false });
}

/** Show a picture; what is shown already is not loaded again, and the view stays where it was. */
export async function show(view: View, wanted: Picture, opacity: number, place: Millimetres): Promise<void> {
  const { nv } = view;
  const before = view.shown;
  view.shown = wanted;
  if (wanted.anatomy !== before.anatomy) await showAnatomy(view, wanted.anatomy, place);
  else if (wanted.overlay?.url === before.overlay?.url) return;
  if (view.shown !== wanted) return;
  for (const old of nv.volumes.slice(1)) nv.removeVolume(old);
  if (wanted.overlay && nv.volumes.length > 0) {
    const layer = await loadOverlay(nv, wanted.overlay.url, SCALES[wanted.overlay.kind], opacity);
    if (wanted.overlay.kind === "agreement") clipToBrain(layer, nv.volumes[0]);
    if (view.shown !== wanted) nv.removeVolume(layer);
  }
  nv.updateGLVolume();
}

async function showAnatomy({ nv }: View, url: string | null, place: Millimetres): Promise<void> {
  if (!url) {
    for (const old of [...nv.volumes].reverse()) nv.removeVolume(old);
    nv.drawScene();
    return;
  }
  const pan = [...nv.scene.pan2Dxyzmm] as [number, number, number, number];
  await nv.loadVolumes([{ url, colormap: "gray", opacity: 1 }]);
  const volume = nv.volumes[0];
  if (volume) {
    volume.cal_min = 0;
    volume.cal_max = volume.robust_max ?? volume.cal_max ?? 255;
  }
  nv.scene.crosshairPos = nv.mm2frac(place);
  nv.scene.pan2Dxyzmm = pan;
  nv.createOnLocationChange();
}

async function loadOverlay(nv: Niivue, url: string, scale: Scale, opacity: number): Promise<NVImage> {
  const layer = await nv.addVolumeFromUrl({
    url,
    colormap: scale.warm.name,
    colormapNegative: scale.cold?.name ?? "",
    cal_min: scale.least,
    cal_max: scale.most,
    opacity,
  });
  layer.cal_min = scale.least;
  layer.cal_max = scale.most;
  return layer;
}

/** Nothing is 'alike' where there is no brain; a difference there is one, another's is larger. */
function clipToBrain(layer: NVImage, anatomy: NVImage | undefined): void {
  const [values, brain] = [layer.img, anatomy?.img];
  if (!values || !brain || values.length !== brain.length) return;
  for (let i = 0; i < values.length; i++) if (brain[i] === 0) values[i] = 0;
}

export function moveTo(view: View, mm: Millimetres): void {
  const { nv } = view;
  if (nv.volumes.length === 0) return;
  nv.scene.crosshairPos = nv.mm2frac(mm);
  nv.createOnLocationChange();
  nv.drawScene();
}

export function setOpacity(view: View, opacity: number): void {
  if (view.nv.volumes.length > 1) view.nv.setOpacity(1, opacity);
}

/** The field of view in MNI millimetres. */
export function extentOf(view: View): Extent | null {
  if (view.nv.volumes.length === 0) return null;
  const [low, high] = view.nv.sceneExtentsMinMax(true);
  const three = (of: ArrayLike<number> | undefined): Millimetres => [of?.[0] ?? 0, of?.[1] ?? 0, of?.[2] ?? 0];
  return { low: three(low), high: three(high) };
}

export function resetView(view: View): void {
  view.nv.scene.pan2Dxyzmm = [0, 0, 0, 1];
  view.nv.drawScene();
}
