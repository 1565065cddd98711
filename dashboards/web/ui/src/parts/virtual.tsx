// A long list of which only what is on the screen is in the page. The window scrolls, not the list: one scroll bar, and a phone's address bar behaves.
import type { ComponentChildren } from "preact";
import { useEffect, useReducer, useRef } from "preact/hooks";
import { useInTurns } from "./turns";

interface Props<T> {
  items: readonly T[];
  keyOf: (item: T) => string;
  /** kind says which items are equally high; heights are measured, not promised. */
  kind?: (item: T) => string;
  /** layout, where it is given, is the same object as long as which items there are, and of which kinds, is the same: then nobody counts their heights again. */
  layout?: object;
  render: (item: T, index: number) => ComponentChildren;
  /** Shorter lists are in the page whole, so that the browser's own search finds everything. */
  wholeUpTo?: number;
  class?: string;
  role?: "rowgroup" | "list" | "presentation";
}

/** Placed is where each item begins, in pixels from the list's own beginning, and after the last where it ends. */
interface Placed {
  layout: object | undefined;
  of: number; // heights that were known then
  at: Float64Array;
}

/** above is the first item that ends at y or below it. */
function above(at: Float64Array, y: number): number {
  let lo = 0;
  let hi = at.length - 1;
  while (lo < hi) {
    const m = (lo + hi) >> 1;
    if ((at[m + 1] as number) < y) lo = m + 1;
    else hi = m;
  }
  return lo;
}

/** below is the one after the last item that begins at y or above it. */
function below(at: Float64Array, y: number): number {
  let lo = 0;
  let hi = at.length - 1;
  while (lo < hi) {
    const m = (lo + hi) >> 1;
    if ((at[m] as number) <= y) lo = m + 1;
    else hi = m;
  }
  return lo;
}

const guess = 32;
const margin = 600; // pixels drawn beyond the screen, so that scrolling and j/k find something there

export function Virtual<T>({ items, keyOf, kind = () => "", layout, render, wholeUpTo = 80, role = "rowgroup", ...rest }: Props<T>) {
  const box = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<string, number>());
  // Where the screen is: asked for when it moves, for whoever asks while the page changes has the browser lay it out at once.
  const view = useRef({ top: 0, height: 0 });
  if (view.current.height === 0) view.current = { top: window.scrollY, height: window.innerHeight };
  const placed = useRef<Placed | null>(null);
  const start = useRef(0); // where the list begins in the document, in pixels
  const [, again] = useReducer<number, void>((n) => n + 1, 0);
  const whole = items.length <= wholeUpTo;

  let first = 0;
  let last = items.length;
  let before = 0;
  let after = 0;
  let seenFrom = 0; // the first and the one behind the last that the reader sees
  let seenTo = items.length;
  if (!whole) {
    const from = view.current.top - start.current - margin;
    const to = from + view.current.height + 2 * margin;
    const tops = placed.current;
    if (!tops || !layout || tops.layout !== layout || tops.of !== heights.current.size || tops.at.length !== items.length + 1) {
      const at = new Float64Array(items.length + 1);
      for (let i = 0; i < items.length; i++) at[i + 1] = (at[i] as number) + (heights.current.get(kind(items[i] as T)) ?? guess);
      placed.current = { layout, of: heights.current.size, at };
    }
    const at = (placed.current as Placed).at;
    first = above(at, from);
    last = Math.max(first, below(at, to));
    seenFrom = above(at, from + margin);
    seenTo = below(at, to - margin);
    before = at[first] as number;
    after = (at[items.length] as number) - (at[last] as number);
  }

  useEffect(() => {
    if (whole) return;
    let asked = 0;
    const ask = (): void => {
      asked ||= requestAnimationFrame(() => {
        asked = 0;
        view.current = { top: window.scrollY, height: window.innerHeight };
        again();
      });
    };
    const resize = (): void => {
      heights.current.clear(); // a phone's rows are higher
      placed.current = null;
      ask();
    };
    window.addEventListener("scroll", ask, { passive: true });
    window.addEventListener("resize", resize);
    ask();
    return () => {
      cancelAnimationFrame(asked);
      window.removeEventListener("scroll", ask);
      window.removeEventListener("resize", resize);
    };
  }, [whole]);

  // Where the list begins is asked for when what stands above it has become higher or lower, in the frame in which the browser has laid that out anyway.
  useEffect(() => {
    if (whole || !box.current) return;
    const look = (): void => {
      if (!box.current) return;
      const top = box.current.getBoundingClientRect().top + window.scrollY;
      if (Math.abs(top - start.current) <= 1) return;
      start.current = top;
      again();
    };
    const grown = new ResizeObserver(look);
    grown.observe(document.body);
    for (let e: Element | null = box.current; e && e !== document.body; e = e.parentElement) grown.observe(e);
    return () => grown.disconnect();
  }, [whole]);

  // Heights are measured once for each kind, after the paint.
  useEffect(() => {
    if (whole || !box.current) return;
    const rows = box.current.children;
    const seen = new Map<string, number[]>();
    for (let i = first; i < Math.min(last, first + 40); i++) {
      const k = kind(items[i] as T);
      if (heights.current.has(k)) continue;
      const h = rows[i - first + 1]?.getBoundingClientRect().height ?? 0;
      if (h > 0) seen.set(k, [...(seen.get(k) ?? []), h]);
    }
    // The middle one: on a phone a row with a long reason is no measure of the others.
    let moved = false;
    for (const [k, all] of seen) {
      const h = all.sort((x, y) => x - y)[all.length >> 1] as number;
      heights.current.set(k, h);
      moved ||= h !== guess;
    }
    if (moved) again();
  });

  // A row beyond the screen stays as it was drawn until somebody scrolls there.
  const rows = useInTurns(
    whole ? items : items.slice(first, last),
    keyOf,
    render,
    first,
    (i) => i >= seenFrom && i < seenTo,
  );

  return (
    <div ref={box} role={role} class={rest.class}>
      <div key="before" class="pad" role="presentation" style={{ height: before + "px" }} />
      {rows}
      <div key="after" class="pad" role="presentation" style={{ height: after + "px" }} />
    </div>
  );
}
