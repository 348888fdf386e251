/** Two linked 3-plane viewers on NiiVue: the query and a case, one crosshair, one zoom. */

import { DRAG_MODE, MULTIPLANAR_TYPE, Niivue, NVImage, SLICE_TYPE } from "@niivue/niivue";
import { SCALES, type OverlayKind, type Scale, colormap } from "./overlays";

export type Millimetres = [number, number, number];

export interface Picture {
  anatomy: string | null;
  /** The standard volume of the same scan: maps belong to it. */
  standard: string | null;
  /** Voxel edge of the view volume that `anatomy` is; null where it is the standard one. */
  viewMm: number | null;
  /** False while it is not known what there is to show. */
  ready: boolean;
  overlay: { url: string; kind: Exclude<OverlayKind, "none"> } | null;
}

export interface Extent {
  low: Millimetres;
  high: Millimetres;
}

export interface View {
  nv: Niivue;
  shown: Picture;
  /** Ends when the anatomy that is shown has been loaded. */
  anatomy: Promise<void>;
  /** Counts what was to be shown: an anatomy that comes after the next one was asked for is not. */
  turn: number;
  /** While the anatomy is on its way nothing is shown. */
  isLoading: boolean;
}

export const NOTHING: Picture = { anatomy: null, standard: null, viewMm: null, ready: true, overlay: null };

const BLACK = [0, 0, 0, 1];
export const CROSS_MM = 0.8;
const CROSS = [0.486, 0.78, 0.91, 0.75];
const RULER = [1, 0.92, 0.35, 1];

/** How the planes stand in a view: three alike, one of them large over the other two, or slices side by side. */
export type Layout = "three" | "axial" | "coronal" | "sagittal" | "mosaic";
/** Axial slices every 11 mm through the brain, from the skull base up (MNI z, mm), row by row. */
const MOSAIC_MM = [[-50, -39, -28], [-17, -6, 5], [16, 27, 38], [49, 60, 71]];
const MOSAIC = MOSAIC_MM.map((row) => `A ${row.join(" ")}`).join(" ; ");
/** Grey levels shown black and white. */
export type GreyScale = readonly [black: number, white: number];
const PLANE = { axial: SLICE_TYPE.AXIAL, coronal: SLICE_TYPE.CORONAL, sagittal: SLICE_TYPE.SAGITTAL };
/** The part of a view's height that a large plane takes. */
const LARGE = 0.68;
const MOST_ZOOM = 10;

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
    // Light on NiiVue's own half-black: to be read on grey matter and on maps of either colour.
    rulerColor: RULER,
    rulerWidth: 2,
    measureLineColor: RULER,
    measureTextColor: [1, 1, 1, 1],
    measureTextHeight: 0.075,
    isOrientationTextVisible: true,
    showAllOrientationMarkers: true,
    multiplanarPadPixels: 4,
    multiplanarLayout: MULTIPLANAR_TYPE.GRID, // `arrange` chooses it
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
    // Left moves the cross; right and middle belong to `gestures.ts`, which keeps both views alike.
    mouseEventConfig: mouseConfig(false),
  } as ConstructorParameters<typeof Niivue>[0]);
  nv.setSliceType(SLICE_TYPE.MULTIPLANAR);
  // Without a picture there is no place to tell; NiiVue fails at it where the other view moves.
  const tellPlace = nv.createOnLocationChange.bind(nv);
  nv.createOnLocationChange = (plane) => {
    if (nv.volumes.length > 0) tellPlace(plane);
  };
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

function mouseConfig(measuring: boolean): NonNullable<Niivue["opts"]["mouseEventConfig"]> {
  return {
    leftButton: { primary: DRAG_MODE.crosshair },
    rightButton: measuring ? DRAG_MODE.measurement : DRAG_MODE.none,
    centerButton: DRAG_MODE.none,
  };
}

/**
 * With the ruler the right button measures a length instead of setting grey levels: in millimetres of MNI
 * space, since every scan has been brought to one size.
 */
export function setRuler({ nv }: View, measuring: boolean): void {
  nv.opts.mouseEventConfig = mouseConfig(measuring);
  nv.onMeasurementCompleted = ({ distance }) => {
    if (nv.canvas) nv.canvas.dataset["measured"] = distance.toFixed(1);
  };
  if (!measuring) nv.clearAllMeasurements();
}

/**
 * Put the three planes in a column, a grid or a row, as they become largest in both views. Left to NiiVue they
 * would be put anew with every line that comes and goes below the views.
 */
export function arrange(views: readonly View[], [x, y, z]: Millimetres): void {
  for (const { nv } of views) {
    const { clientWidth: width, clientHeight: height } = nv.canvas ?? { clientWidth: 0, clientHeight: 0 };
    const scales: [MULTIPLANAR_TYPE, number][] = [
      [MULTIPLANAR_TYPE.GRID, Math.min(width / (x + y), height / (y + z))],
      [MULTIPLANAR_TYPE.COLUMN, Math.min(width / Math.max(x, y), height / (y + 2 * z))],
      [MULTIPLANAR_TYPE.ROW, Math.min(width / (2 * x + y), height / Math.max(y, z))],
    ];
    const [largest] = scales.reduce((best, next) => (next[1] > best[1] ? next : best));
    nv.setMultiplanarLayout(largest);
    if (nv.canvas) nv.canvas.dataset["arranged"] = MULTIPLANAR_TYPE[largest].toLowerCase();
  }
}

export function setLayout({ nv }: View, layout: Layout): void {
  nv.setSliceMosaicString(layout === "mosaic" ? MOSAIC : "");
  if (layout === "three" || layout === "mosaic") {
    nv.clearCustomLayout();
    return;
  }
  const [first, second] = Object.values(PLANE).filter((plane) => plane !== PLANE[layout]);
  nv.setCustomLayout([
    { sliceType: PLANE[layout], position: [0, 0, 1, LARGE] },
    { sliceType: first ?? SLICE_TYPE.AXIAL, position: [0, LARGE, 0.5, 1 - LARGE] },
    { sliceType: second ?? SLICE_TYPE.AXIAL, position: [0.5, LARGE, 0.5, 1 - LARGE] },
  ]);
}

/** The scale on which both brains are shown as they are: 0 is black, the brighter one's white is white. */
export function fullScale(views: readonly View[]): GreyScale {
  const whites = views.map(({ nv }) => nv.volumes[0]?.robust_max ?? 0);
  return [0, Math.max(...whites) || 255];
}

/** One grey scale for both views: what is equally bright in both is the same grey level. */
export function setGreyScale(views: readonly View[], [black, white]: GreyScale): void {
  for (const { nv } of views) {
    const volume = nv.volumes[0];
    if (nv.canvas) nv.canvas.dataset["grey"] = `${Math.round(black)} ${Math.round(white)}`;
    if (!volume || (volume.cal_min === black && volume.cal_max === white)) continue;
    [volume.cal_min, volume.cal_max] = [black, white];
    nv.updateGLVolume();
  }
}

/** Zoom both views about the cross. */
export function zoom(views: readonly View[], factor: number): void {
  const nv = views.find((view) => !isEmpty(view))?.nv;
  if (!nv) return;
  const now = nv.scene.pan2Dxyzmm;
  const wanted = Math.min(Math.max((now[3] ?? 1) * factor, 1), MOST_ZOOM);
  const cross = nv.frac2mm(nv.scene.crosshairPos);
  const pan = (axis: 0 | 1 | 2): number => (wanted === 1 ? 0 : now[axis] + (now[3] - wanted) * (cross[axis] ?? 0));
  moveViews(views, [pan(0), pan(1), pan(2), wanted]);
}

/** Move both views by pixels of one of them, along the plane that lies under the pointer. */
export function pan(views: readonly View[], { nv }: View, at: readonly [number, number], by: readonly [number, number]): void {
  const ratio = nv.uiData.dpr ?? 1;
  const tile = nv.screenSlices[nv.tileIndex(at[0] * ratio, at[1] * ratio)];
  if (!tile || tile.axCorSag > SLICE_TYPE.SAGITTAL) return;
  const [x, y, z, zoomed] = nv.scene.pan2Dxyzmm as [number, number, number, number];
  // The field of view is negative where left and right are swapped.
  const scale = (ratio * zoomed * Math.abs(tile.fovMM[0] ?? 0)) / (tile.leftTopWidthHeight[2] ?? 1);
  const sagittal = tile.axCorSag === SLICE_TYPE.SAGITTAL;
  const flipped = sagittal ? nv.opts.sagittalNoseLeft : nv.opts.isRadiologicalConvention;
  const move: [number, number, number] = [0, 0, 0];
  move[sagittal ? 1 : 0] = (flipped ? -1 : 1) * by[0] * scale;
  move[tile.axCorSag === SLICE_TYPE.AXIAL ? 1 : 2] = -by[1] * scale;
  moveViews(views, [x + move[0], y + move[1], z + move[2], zoomed]);
}

/** Set pan and zoom of all views before any is drawn: a drawn one with the focus writes into the other. */
function moveViews(views: readonly View[], pan: readonly [number, number, number, number]): void {
  for (const { nv } of views) {
    nv.scene.pan2Dxyzmm = [...pan];
    if (nv.canvas) nv.canvas.dataset["view"] = pan.map((value) => value.toFixed(2)).join(" ");
  }
  for (const { nv } of views) nv.drawScene();
}

/** CSS pixels of a millimetre in the first plane of a view; 0 where nothing is shown. */
export function pixelsPerMm({ nv }: View): number {
  const tile = nv.screenSlices.find(({ axCorSag }) => axCorSag <= SLICE_TYPE.SAGITTAL);
  if (!tile || nv.volumes.length === 0 || !tile.fovMM[0]) return 0;
  return (tile.leftTopWidthHeight[2] ?? 0) / (nv.uiData.dpr ?? 1) / Math.abs(tile.fovMM[0]);
}

export interface Tile {
  mm: number;
  /** Left, top, width and height in CSS pixels of the canvas. */
  box: [number, number, number, number];
}

/** Where the slices side by side stand, and at which MNI z; NiiVue writes neither letters nor places on them. */
export function mosaicTiles({ nv }: View): Tile[] {
  const ratio = nv.uiData.dpr ?? 1;
  const places = MOSAIC_MM.flat();
  if (nv.screenSlices.length !== places.length) return [];
  return nv.screenSlices.map(({ leftTopWidthHeight: [left = 0, top = 0, width = 0, height = 0] }, i) => ({
    mm: places[i] ?? 0,
    box: [left / ratio, top / ratio, width / ratio, height / ratio],
  }));
}

/** The value of a view's layer (0 the anatomy, 1 the map) at a place; null where there is none. */
export function valueAt({ nv }: View, layer: 0 | 1, mm: Millimetres): number | null {
  const volume = nv.volumes[layer];
  return volume ? valueOf(volume, mm) : null;
}

export function valueOf(volume: NVImage, mm: Millimetres): number {
  const [x, y, z] = volume.mm2vox([...mm]) as [number, number, number];
  return volume.getValue(x, y, z);
}

export const loadImage = (url: string): Promise<NVImage> => NVImage.loadFromUrl({ url });

/** NiiVue sends what one view does to the other only while its canvas has the focus. */
export function link(first: View, second: View): void {
  first.nv.broadcastTo([second.nv], { "2d": true, "3d": false });
  second.nv.broadcastTo([first.nv], { "2d": true, "3d": false });
}

/** Nothing of one person may stand under the name of the next: black until the next picture is there. */
export function clear(view: View, isLoading: boolean): void {
  const { nv } = view;
  view.turn++;
  view.shown = NOTHING;
  view.anatomy = Promise.resolve();
  view.isLoading = isLoading;
  nv.clearAllMeasurements();
  for (const old of [...nv.volumes].reverse()) nv.removeVolume(old);
  nv.screenSlices = []; // NiiVue would let the pointer pick places in the planes of the old picture
  nv.uiData.isDragging = false;
  nv.drawScene();
}

export const isEmpty = ({ nv }: View): boolean => nv.volumes.length === 0;

/**
 * Show a picture; what is shown already is not loaded again, and the view stays where it was.
 * `place` tells where the cross stands by the time the picture is there.
 */
export async function show(view: View, wanted: Picture, opacity: number, place: () => Millimetres): Promise<void> {
  const { nv } = view;
  const before = view.shown;
  const isSame = wanted.anatomy === before.anatomy;
  if (!isSame) {
    clear(view, wanted.anatomy !== null);
    if (wanted.anatomy) view.anatomy = showAnatomy(view, wanted.anatomy, place);
  }
  view.shown = wanted;
  await view.anatomy; // an earlier call may still be at it
  if (view.shown !== wanted || (isSame && wanted.overlay?.url === before.overlay?.url)) return;
  for (const old of nv.volumes.slice(1)) nv.removeVolume(old);
  if (wanted.overlay && nv.volumes.length > 0) {
    const layer = await loadOverlay(nv, wanted.overlay.url, SCALES[wanted.overlay.kind], opacity);
    if (wanted.overlay.kind === "agreement" && wanted.standard) {
      const brain = wanted.viewMm === null ? nv.volumes[0] : await loadImage(wanted.standard);
      clipToBrain(layer, brain);
    }
    if (view.shown !== wanted) nv.removeVolume(layer);
  }
  nv.updateGLVolume();
}

async function showAnatomy(view: View, url: string, place: () => Millimetres): Promise<void> {
  const { nv, turn } = view;
  try {
    const volume = await NVImage.loadFromUrl({ url, colormap: "gray", opacity: 1 });
    if (turn !== view.turn) return;
    const pan = [...nv.scene.pan2Dxyzmm] as [number, number, number, number];
    nv.addVolume(volume);
    nv.scene.crosshairPos = nv.mm2frac(place());
    nv.scene.pan2Dxyzmm = pan;
    nv.createOnLocationChange();
    nv.drawScene();
  } catch (error) {
    // Not shown: the next try loads it again.
    if (turn === view.turn) clear(view, false);
    throw error;
  } finally {
    if (turn === view.turn) view.isLoading = false;
  }
}

async function loadOverlay(nv: Niivue, url: string, scale: Scale, opacity: number): Promise<NVImage> {
  const layer = await nv.addVolumeFromUrl({
    url,
    colormap: scale.warm.name,
    colormapNegative: scale.cold?.name ?? "",
    cal_min: scale.least,
    cal_max: scale.most,
    opacity: opacity * scale.strength,
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
  if (isEmpty(view)) return;
  nv.scene.crosshairPos = nv.mm2frac(mm);
  nv.createOnLocationChange();
  nv.drawScene();
}

export function setOpacity(view: View, opacity: number): void {
  const kind = view.shown.overlay?.kind;
  if (kind && view.nv.volumes.length > 1) view.nv.setOpacity(1, opacity * SCALES[kind].strength);
}

/** The field of view in MNI millimetres. */
export function extentOf(view: View): Extent | null {
  if (isEmpty(view)) return null;
  const [low, high] = view.nv.sceneExtentsMinMax(true);
  const three = (of: ArrayLike<number> | undefined): Millimetres => [of?.[0] ?? 0, of?.[1] ?? 0, of?.[2] ?? 0];
  return { low: three(low), high: three(high) };
}

export function resetViews(views: readonly View[]): void {
  moveViews(views, [0, 0, 0, 1]);
  for (const { nv } of views) nv.clearAllMeasurements();
}
