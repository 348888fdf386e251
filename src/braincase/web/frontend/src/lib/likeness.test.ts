import { expect, it } from "vitest";
import { type Likeness, type Part, extremes } from "./likeness";

const said = (parts: Part[]): string[] => parts.map(({ side, name }) => (side ? `${side} ${name}` : name));

const ALL: Likeness[] = [
  ["left-medial-temporal", 0.01], ["right-medial-temporal", 0.02], ["ventricles", 0.03],
  ["insula", 0.5], ["left-occipital", 1.1], ["left-parietal", 1.2],
];

it("names the three most and the two least alike, both sides as one", () => {
  const { alike, unlike } = extremes(ALL);
  expect(said(alike)).toEqual(["both medial-temporal", "ventricles"]);
  expect(said(unlike)).toEqual(["left parietal", "left occipital"]);
});

it("never names a part twice where a search by region leaves few", () => {
  const { alike, unlike } = extremes(ALL.slice(0, 4));
  expect(said(alike)).toEqual(["both medial-temporal", "ventricles"]);
  expect(said(unlike)).toEqual(["insula"]);
  expect(said(extremes(ALL.slice(0, 2)).unlike)).toEqual([]);
});

it("calls nothing alike that is further apart than two people usually are", () => {
  const { alike, unlike } = extremes([["insula", 1.4], ["ventricles", 3]]);
  expect(alike).toEqual([]);
  expect(said(unlike)).toEqual(["ventricles", "insula"]);
});
