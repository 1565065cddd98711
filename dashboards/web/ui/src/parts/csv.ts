// A chart's lines as a table for other programs: a row a step, a column a line.
import type { ChartLine } from "../draw/chart";

/** cell quotes what needs it. A name that a spreadsheet would take for a formula gets an apostrophe before it. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}

/** csv has the time (RFC 3339, UTC) first; a line with bounds has two more columns, and each column's name says of what it is. What is not known is empty. */
export function csv(t0: number, step: number, lines: readonly ChartLine[], of = ""): string {
  const bounded = (l: ChartLine): boolean => !!l.lo?.some((v) => v != null) && !!l.hi;
  const heads = lines.flatMap((l) => {
    const name = [of, l.name || (of ? "" : "all")].filter(Boolean).join(" ");
    return bounded(l) ? [name, `${name} lo`, `${name} hi`] : [name];
  });
  const out = [["time", ...heads].map(cell).join(",")];
  const n = lines.reduce((m, l) => Math.max(m, l.values.length), 0);
  const said = (v: number | null | undefined): string => (v == null ? "" : String(v));
  for (let i = 0; i < n; i++)
    out.push(
      [new Date(t0 + i * step).toISOString(), ...lines.flatMap((l) => (bounded(l) ? [said(l.values[i]), said(l.lo?.[i]), said(l.hi?.[i])] : [said(l.values[i])]))].join(
        ",",
      ),
    );
  return out.join("\r\n") + "\r\n";
}

/** save hands a text to the browser as a file. */
export function save(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const a = document.createElement("a");
  a.href = url;
  a.download = name.replace(/[^\w.-]+/g, "_").slice(-100);
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
