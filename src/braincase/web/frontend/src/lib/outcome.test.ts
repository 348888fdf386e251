import { expect, it } from "vitest";
import type { Hit } from "../api/bodies";
import { outcomeOf } from "./outcome";

/** A person's labels over time; years count from the first. */
const person = (...labels: (string | null)[]): Hit => ({
  rank: 1, scan_id: "s", subject: "s", session: null, distance: 1, score: 0.5,
  labels: { diagnosis: labels[0] ?? null },
  outcome: labels.slice(1).map((label, i) => ({ scan_id: `v${i}`, session: null, years: i + 1, age: null, label, score: null })),
});

it("counts who was seen again and whose label had changed at the last visit", () => {
  const hits = [person("MCI", "MCI", "AD"), person("MCI", "AD"), person("CN", "CN"), person("CN"), person("CN", "AD", "CN")];
  expect(outcomeOf(hits, "diagnosis")).toEqual({ seen: 4, years: [1, 2], known: 4, changes: [["MCI", "AD", 2]] });
});

it("says nothing of labels that are not known at both ends, or where none is followed", () => {
  expect(outcomeOf([person("CN", null), person(null, "AD")], "diagnosis")).toMatchObject({ seen: 2, known: 0, changes: [] });
  expect(outcomeOf([person("CN", "AD")], null)).toMatchObject({ seen: 1, known: 0 });
});
