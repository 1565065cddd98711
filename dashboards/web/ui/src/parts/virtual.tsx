// A long list of which only what is on the screen is in the page. The window scrolls, not the list: one scroll bar, and a phone's address bar behaves.
import type { ComponentChildren } from "preact";
import { useEffect, useReducer, useRef } from "preact/hooks";

interface Props<T> {
  items: readonly T[];
  keyOf: (item: T) => string;
  /** kind says which items are equally high; heights are measured, not promised. */
  kind?: (item: T) => string;
  render: (item: T, index: number) => ComponentChildren;
  /** Shorter lists are in the page whole, so that the browser's own search finds everything. */
  wholeUpTo?: number;
  class?: string;
  role?: "rowgroup" | "list" | "presentation";
}

const guess = 32;
const margin = 600; // pixels drawn beyond the screen, so that scrolling and j/k find something there

export function Virtual<T>({ items, keyOf, kind = () => "", render, wholeUpTo = 80, role = "rowgroup", ...rest }: Props<T>) {
  const box = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<string, number>());
  const start = useRef(0); // where the list begins in the document, in pixels
  const [, again] = useReducer<number, void>((n) => n + 1, 0);
  const whole = items.length <= wholeUpTo;

  let first = 0;
  let last = items.length;
  let before = 0;
  let after = 0;
  if (!whole) {
    const from = window.scrollY - start.current - margin;
    const to = window.scrollY - start.current + window.innerHeight + margin;
    let y = 0;
    first = -1;
    last = 0;
    for (let i = 0; i < items.length; i++) {
      const h = heights.current.get(kind(items[i] as T)) ?? guess;
      if (y + h < from) before += h;
      else if (y > to) after += h;
      else {
        if (first < 0) first = i;
        last = i + 1;
      }
      y += h;
    }
    if (first < 0) first = last = 0;
  }

  useEffect(() => {
    if (whole) return;
    let asked = 0;
    const ask = (): void => {
      asked ||= requestAnimationFrame(() => {
        asked = 0;
        again();
      });
    };
    const resize = (): void => {
      heights.current.clear(); // a phone's rows are higher
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

  // After the paint, when asking for a place makes the browser lay out nothing that it has not laid out already.
  useEffect(() => {
    if (whole || !box.current) return;
    let moved = false;
    const top = box.current.getBoundingClientRect().top + window.scrollY;
    if (Math.abs(top - start.current) > 1) {
      start.current = top;
      moved = true;
    }
    const rows = box.current.children;
    const seen = new Map<string, number[]>();
    for (let i = first; i < Math.min(last, first + 40); i++) {
      const k = kind(items[i] as T);
      if (heights.current.has(k)) continue;
      const h = rows[i - first + 1]?.getBoundingClientRect().height ?? 0;
      if (h > 0) seen.set(k, [...(seen.get(k) ?? []), h]);
    }
    // The middle one: on a phone a row with a long reason is no measure of the others.
    for (const [k, all] of seen) {
      const h = all.sort((x, y) => x - y)[all.length >> 1] as number;
      heights.current.set(k, h);
      moved ||= h !== guess;
    }
    if (moved) again();
  });

  return (
    <div ref={box} role={role} class={rest.class}>
      <div key="before" class="pad" role="presentation" style={{ height: before + "px" }} />
      {items.slice(first, last).map((item, i) => (
        <Row key={keyOf(item)}>{render(item, first + i)}</Row>
      ))}
      <div key="after" class="pad" role="presentation" style={{ height: after + "px" }} />
    </div>
  );
}

const Row = ({ children }: { children?: ComponentChildren }): ComponentChildren => children;
