/** The filter bar's choices as text of the filter language (braincase.gallery.filter). */

export interface NumberClause {
  kind: "number";
  low: number | null;
  high: number | null;
}
export interface TextClause {
  kind: "text";
  values: string[];
}
export type Clause = NumberClause | TextClause;
/** The chosen clause of each column, in the order of the gallery's columns. */
export type Clauses = ReadonlyMap<string, Clause>;

const WORDS = new Set(["and", "or", "not", "between", "in", "is", "null", "missing"]);

/** A column's name, quoted where it is no plain word of the language. */
export function columnText(name: string): string {
  const plain = /^[A-Za-z_]\w*(?:[.-]\w+)*$/.test(name) && !WORDS.has(name.toLowerCase());
  return plain ? name : `"${name}"`;
}

export function valueText(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

function clauseText(column: string, clause: Clause): string | null {
  const name = columnText(column);
  if (clause.kind === "text") {
    if (clause.values.length === 0) return null;
    if (clause.values.length === 1) return `${name} = ${valueText(clause.values[0] ?? "")}`;
    return `${name} in (${clause.values.map(valueText).join(", ")})`;
  }
  const { low, high } = clause;
  if (low !== null && high !== null) return `${name} between ${low} and ${high}`;
  if (low !== null) return `${name} >= ${low}`;
  return high !== null ? `${name} <= ${high}` : null;
}

/** The whole filter; empty where nothing is chosen. */
export function whereText(clauses: Clauses): string {
  return [...clauses]
    .map(([column, clause]) => clauseText(column, clause))
    .filter((text) => text !== null)
    .join(" and ");
}
