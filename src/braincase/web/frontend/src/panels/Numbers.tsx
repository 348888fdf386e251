/** A list of [name, text] in two columns, under a line that says what it is. */
export function Numbers({ title, rows }: { title: string; rows: readonly [string, string][] }) {
  return (
    <>
      <p class="hint">{title}</p>
      <dl class="numbers">
        {rows.map(([name, text]) => <div key={name}><dt>{name}</dt><dd class="number">{text}</dd></div>)}
      </dl>
    </>
  );
}
