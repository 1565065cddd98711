// A table that sorts by its heads, keeps long lists light and turns into lines on a phone.
import type { ComponentChildren } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { Virtual } from "./virtual";

export type SortValue = number | string | null | undefined;

export interface Column<T> {
  key: string;
  head: string;
  /** num columns are set right, in tabular figures, and sort the largest first. */
  num?: boolean;
  sort?: (row: T) => SortValue;
  cell: (row: T) => ComponentChildren;
}

const collate = new Intl.Collator("en", { numeric: true }).compare;

/**
 * order sorts by one column; "-rate" is descending. What is not known comes last either way, and equals keep their order. was is an order that is nearly it, such
 * as the one a second ago: from there it is a short way.
 */
export function order<T>(rows: readonly T[], columns: readonly Column<T>[], by: string, was?: { keys: readonly string[]; keyOf: (row: T) => string }): readonly T[] {
  const down = by.startsWith("-");
  const value = columns.find((c) => c.key === by.replace(/^-/, ""))?.sort;
  if (!value) return rows;
  const unknown = (v: SortValue): boolean => v == null || v === "" || Number.isNaN(v);
  let all = rows.map((row, i) => ({ row, i, v: value(row) }));
  if (was?.keys.length) {
    const at = new Map(all.map((x) => [was.keyOf(x.row), x]));
    // Two rows of one key are no order to begin with.
    if (at.size === all.length) {
      const known = was.keys.flatMap((k) => at.get(k) ?? []);
      const placed = new Set(known);
      all = [...known, ...all.filter((x) => !placed.has(x))];
    }
  }
  return all
    .sort((a, b) => {
      const ua = unknown(a.v);
      const ub = unknown(b.v);
      if (ua || ub) return Number(ua) - Number(ub) || a.i - b.i;
      const c = typeof a.v === "string" || typeof b.v === "string" ? collate(String(a.v), String(b.v)) : Number(a.v) - Number(b.v);
      return (down ? -c : c) || a.i - b.i;
    })
    .map((x) => x.row);
}

/** nextSort is what a click on a head asks for: its own direction first, then the other one. */
export function nextSort(was: string, key: string, num: boolean): string {
  const first = num ? "-" + key : key;
  return was === first ? (num ? key : "-" + key) : first;
}

interface Props<T> {
  name: string; // its class, which gives the columns their widths
  label: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
  /** at, where rows stay the same objects while what they are sorted by changes, is another when it has. */
  at?: number;
  sort: string;
  onSort: (sort: string) => void;
  rowClass?: (row: T) => string;
  rowTestId: string;
  attrs?: (row: T) => Record<string, string>;
  /** below is drawn under an opened row. */
  below?: (row: T) => ComponentChildren;
  empty?: ComponentChildren;
  /** most is how many of the sorted rows are drawn, if not all; those that pin names are drawn besides; after stands below them. */
  most?: number;
  pin?: (row: T) => boolean;
  after?: ComponentChildren;
}

export function Table<T>({ name, label, columns, rows, keyOf, at, sort, onSort, rowClass, rowTestId, attrs, below, empty, most, pin, after }: Props<T>) {
  const keys = useRef<readonly string[]>([]);
  const ordered = useMemo(() => {
    const all = order(rows, columns, sort, { keys: keys.current, keyOf });
    keys.current = all.map(keyOf);
    return most == null ? all : all.filter((r, i) => i < most || pin?.(r));
  }, [rows, columns, at, sort, most]);
  const by = sort.replace(/^-/, "");
  return (
    <div class={`table ${name}`}>
      <div role="table" aria-label={label} aria-rowcount={rows.length + 1}>
        <div role="rowgroup" class="thead">
          <div role="row" class="tr">
            {columns.map((c) => (
              <span
                key={c.key}
                role="columnheader"
                class={`td c-${c.key} ${c.num ? "num" : ""}`}
                aria-sort={c.sort && by === c.key ? (sort.startsWith("-") ? "descending" : "ascending") : undefined}
              >
                {c.sort ? (
                  <button type="button" onClick={() => onSort(nextSort(sort, c.key, !!c.num))}>
                    {c.head}
                    <span aria-hidden="true">{by === c.key ? (sort.startsWith("-") ? " ↓" : " ↑") : ""}</span>
                  </button>
                ) : (
                  c.head
                )}
              </span>
            ))}
          </div>
        </div>
        <Virtual
          items={ordered}
          keyOf={keyOf}
          layout={below ? undefined : ordered}
          kind={(r) => (below?.(r) ? keyOf(r) : "")}
          render={(row, i) => (
            <div role="row" aria-rowindex={i + 2} class={`tr ${rowClass?.(row) ?? ""}`} data-testid={rowTestId} {...attrs?.(row)}>
              {columns.map((c) => (
                <span key={c.key} role={c === columns[0] ? "rowheader" : "cell"} class={`td c-${c.key} ${c.num ? "num" : ""}`} data-head={c.head}>
                  {c.cell(row)}
                </span>
              ))}
              {below?.(row)}
            </div>
          )}
        />
      </div>
      {rows.length === 0 && <p class="empty">{empty}</p>}
      {after}
    </div>
  );
}
