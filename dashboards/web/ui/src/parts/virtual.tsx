// A long list of which only what is on the screen is in the page. The window scrolls, not the list: one scroll bar, and a phone's address bar behaves.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useReducer, useRef } from "preact/hooks";

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
  const [, again] = useReducer<number, void>((n) => n + 1, 0);
  const whole = items.length <= wholeUpTo;

  const top = box.current ? box.current.getBoundingClientRect().top : 0;
  const screen = typeof window === "undefined" ? 900 : window.innerHeight;
  let first = 0;
  let last = items.length;
  let before = 0;
  let after = 0;
  if (!whole) {
    const from = -top - margin;
    const to = -top + screen + margin;
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

  useLayoutEffect(() => {
    if (whole) return;
    let asked = 0;
    const ask = (): void => {
      asked ||= requestAnimationFrame(() => {
        asked = 0;
        again();
      });
    };
    window.addEventListener("scroll", ask, { passive: true });
    window.addEventListener("resize", ask);
    again();
    return () => {
      cancelAnimationFrame(asked);
      window.removeEventListener("scroll", ask);
      window.removeEventListener("resize", ask);
    };
  }, [whole]);

  useLayoutEffect(() => {
    if (whole || !box.current) return;
    let moved = false;
    const rows = box.current.children;
    for (let i = first; i < last; i++) {
      const el = rows[i - first + 1];
      const h = el?.getBoundingClientRect().height ?? 0;
      const k = kind(items[i] as T);
      if (h > 0 && Math.abs((heights.current.get(k) ?? 0) - h) > 0.5) {
        heights.current.set(k, h);
        moved = true;
      }
      // One of each kind is enough, and kinds are few.
      if (i - first > 40) break;
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
