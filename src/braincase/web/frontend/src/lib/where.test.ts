import { describe, expect, it } from "vitest";
import { type Clause, columnText, whereText } from "./where";

const text = (...clauses: [string, Clause][]): string => whereText(new Map(clauses));

describe("whereText", () => {
  it("joins chosen columns and leaves the others out", () => {
    expect(
      text(
        ["age", { kind: "number", low: 60, high: 75.5 }],
        ["sex", { kind: "text", values: ["F"] }],
        ["site", { kind: "text", values: [] }],
        ["diagnosis", { kind: "text", values: ["CN", "AD"] }],
        ["mmse", { kind: "number", low: null, high: null }],
      ),
    ).toBe("age between 60 and 75.5 and sex = 'F' and diagnosis in ('CN', 'AD')");
  });

  it("writes half-open ranges", () => {
    expect(text(["age", { kind: "number", low: 60, high: null }])).toBe("age >= 60");
    expect(text(["age", { kind: "number", low: null, high: -0.5 }])).toBe("age <= -0.5");
  });

  it("doubles quotes in values, so a value can never become part of the filter", () => {
    expect(text(["site", { kind: "text", values: ["O'Hare' or age > 0"] }])).toBe(
      "site = 'O''Hare'' or age > 0'",
    );
  });

  it("quotes columns that are no plain words, and words of the language", () => {
    expect(columnText("true_severity")).toBe("true_severity");
    expect(columnText("MMSE total")).toBe('"MMSE total"');
    expect(columnText("In")).toBe('"In"');
  });
});
