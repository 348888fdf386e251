/** The gallery in two dimensions: a canvas of points, chosen by mouse or by arrow keys. */

import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { showCase, startFrom, tell } from "../actions";
import { readMap } from "../api/client";
import type { EmbeddingMap as Map2d, MapPoint } from "../api/bodies";
import { number, t } from "../i18n";
import { type Colouring, colouring, MISSING, scaleGradient } from "../lib/colour";
import { valueLine } from "../lib/labels";
import * as state from "../state";

const MARGIN = 14;

interface Frame {
  width: number;
  height: number;
  at: (point: { x: number; y: number }) => [number, number];
}

/** Fit the points into a picture of this size, one unit as long in x as in y. */
function frameOf(map: Map2d, width: number, height: number): Frame {
  const all = map.query ? [...map.points, map.query] : map.points;
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { x, y } of all) {
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [low, high] = [Math.min(low, y), Math.max(high, y)];
  }
  const scale = Math.min(
    (width - 2 * MARGIN) / (right - left || 1),
    (height - 2 * MARGIN) / (high - low || 1),
  );
  const [midX, midY] = [(left + right) / 2, (low + high) / 2];
  return {
    width, height,
    at: ({ x, y }) => [width / 2 + (x - midX) * scale, height / 2 - (y - midY) * scale],
  };
}

interface Marked {
  hits: ReadonlySet<string>;
  query: { x: number; y: number } | null;
  chosen: string | null;
}

function draw(canvas: HTMLCanvasElement, map: Map2d, frame: Frame, colours: Colouring, marked: Marked): void {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(frame.width * ratio);
  canvas.height = Math.round(frame.height * ratio);
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.scale(ratio, ratio);
  const size = Math.max(frame.width / 150, 2);
  const dot = (place: readonly [number, number], radius: number): void => {
    pen.beginPath();
    pen.arc(place[0], place[1], radius, 0, 2 * Math.PI);
  };
  pen.globalAlpha = 0.8;
  for (const point of map.points) {
    pen.fillStyle = colours.of(point.value);
    dot(frame.at(point), size);
    pen.fill();
  }
  pen.globalAlpha = 1;
  for (const point of map.points) {
    if (!marked.hits.has(point.scan_id) && point.scan_id !== marked.chosen) continue;
    pen.strokeStyle = point.scan_id === marked.chosen ? "#ffffff" : "#c9d3dd";
    pen.lineWidth = point.scan_id === marked.chosen ? 2 : 1.25;
    dot(frame.at(point), size * (point.scan_id === marked.chosen ? 2.4 : 1.9));
    pen.stroke();
  }
  if (marked.query) cross(pen, frame.at(marked.query), size * 3.2);
}

function cross(pen: CanvasRenderingContext2D, [x, y]: readonly [number, number], arm: number): void {
  for (const [colour, width] of [["#000000", 5], ["#ffffff", 2]] as const) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    pen.moveTo(x - arm, y);
    pen.lineTo(x + arm, y);
    pen.moveTo(x, y - arm);
    pen.lineTo(x, y + arm);
    pen.stroke();
  }
}

/** The point nearest to a place of the picture. */
function nearest(map: Map2d, frame: Frame, x: number, y: number): MapPoint | null {
  let [least, nearestPoint] = [Infinity, null as MapPoint | null];
  for (const point of map.points) {
    const [px, py] = frame.at(point);
    const away = (px - x) ** 2 + (py - y) ** 2;
    if (away < least) [least, nearestPoint] = [away, point];
  }
  return nearestPoint;
}

const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
};

/** The nearest point that lies in a direction: within 45 degrees of it. */
function towards(map: Map2d, frame: Frame, from: MapPoint, way: [number, number]): MapPoint | null {
  const [x, y] = frame.at(from);
  let [least, nearestPoint] = [Infinity, null as MapPoint | null];
  for (const point of map.points) {
    const [dx, dy] = [frame.at(point)[0] - x, frame.at(point)[1] - y];
    const along = dx * way[0] + dy * way[1];
    const across = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
    const away = along + 2 * across;
    if (along > 0 && across <= along && away < least) [least, nearestPoint] = [away, point];
  }
  return nearestPoint;
}

function useMap(colour: string): Map2d | null {
  const map = useSignal<Map2d | null>(null);
  const search = state.answer.value?.search ?? null;
  useEffect(() => {
    let current = true;
    readMap(colour, search)
      .then((read) => {
        if (current) map.value = read;
      })
      .catch(tell);
    return () => {
      current = false;
    };
  }, [colour, search, state.gallery.value?.version]);
  return map.value;
}

function queryPlace(map: Map2d): { x: number; y: number } | null {
  if (map.query) return map.query;
  const from = state.source.value;
  return from?.kind === "case" ? (map.points.find((p) => p.scan_id === from.scan_id) ?? null) : null;
}

function Legend({ colours, missing }: { colours: Colouring; missing: boolean }) {
  return (
    <ul class="map-legend">
      {colours.classes.map(({ text, colour }) => (
        <li key={text}><i style={{ backgroundColor: colour }} />{text}</li>
      ))}
      {colours.range && (
        <li>
          <span class="number">{number(colours.range[0], 1)}</span>
          <i class="map-scale" style={{ backgroundImage: scaleGradient }} />
          <span class="number">{number(colours.range[1], 1)}</span>
        </li>
      )}
      {missing && <li><i style={{ backgroundColor: MISSING }} />{t("missing")}</li>}
      <li><i class="map-cross" aria-hidden="true">+</i>{t("queryMark")}</li>
      <li><i class="map-ring" />{t("hitMark")}</li>
    </ul>
  );
}

export function EmbeddingMap() {
  const columns = state.gallery.value?.columns ?? [];
  // On a wide screen the map is there before the gallery's columns are.
  const wanted = useSignal<string | null>(null);
  const colour = wanted.value ?? state.gallery.value?.label ?? columns[0]?.name ?? "";
  const map = useMap(colour);
  const chosen = useSignal<MapPoint | null>(null);
  const size = useSignal<[number, number]>([300, 260]);
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (!box.current) return;
    const watch = new ResizeObserver(([entry]) => {
      if (entry) size.value = [entry.contentRect.width, entry.contentRect.height];
    });
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  const colours = useMemo(() => colouring(map?.points.map((point) => point.value) ?? []), [map]);
  const frame = useMemo(() => (map ? frameOf(map, ...size.value) : null), [map, size.value]);
  const hits = state.answer.value?.hits;
  useEffect(() => {
    if (!canvas.current || !map || !frame) return;
    draw(canvas.current, map, frame, colours, {
      hits: new Set(hits?.map((hit) => hit.scan_id)),
      query: queryPlace(map),
      chosen: chosen.value?.scan_id ?? state.beside.value?.scan_id ?? null,
    });
  }, [map, frame, colours, hits, chosen.value, state.beside.value, state.source.value]);
  const open = (point: MapPoint | null): void => {
    chosen.value = point;
    if (point) void showCase(point.scan_id);
  };
  const onKey = (event: KeyboardEvent): void => {
    if (!map || !frame) return;
    const way = ARROWS[event.key];
    if (!way && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    const now = chosen.value ?? map.points[0] ?? null;
    if (!way) open(now);
    else if (now) chosen.value = chosen.value ? (towards(map, frame, now, way) ?? now) : now;
  };
  const point = chosen.value;
  return (
    <div class="map">
      <label class="map-colour">
        <span>{t("colourBy")}</span>
        <select value={colour} onChange={(event) => (wanted.value = event.currentTarget.value)}>
          {columns.map(({ name }) => <option key={name} value={name}>{name}</option>)}
        </select>
      </label>
      <div class="map-box" ref={box}>
        <canvas
          ref={canvas} tabIndex={0} role="application" aria-label={`${t("map")}. ${t("mapKeys")}`}
          onKeyDown={onKey} data-points={map?.points.length ?? 0}
          onClick={(event) => {
            if (map && frame) open(nearest(map, frame, event.offsetX, event.offsetY));
          }}
        />
      </div>
      <Legend colours={colours} missing={map?.points.some((p) => p.value === null) ?? false} />
      <div class="map-chosen" aria-live="polite">
        {point ? (
          <>
            <strong>{point.scan_id}</strong>
            <span class="hint">{`${colour} ${valueLine(point.value)}`}</span>
            <button type="button" class="quiet" onClick={() => void startFrom(point.scan_id)}>
              {t("startFrom")}
            </button>
          </>
        ) : (
          <span class="hint">{t("mapHint")}</span>
        )}
      </div>
    </div>
  );
}
