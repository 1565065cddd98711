// The smallest thing that holds a value and tells who asked when it changes.
import { useEffect, useReducer, useRef } from "preact/hooks";
import type { Turns } from "./turns";

export class Store<T> {
  private readonly heard = new Set<() => void>();

  /** turns, where they are given, are when those who listen are told: one after another, over as many frames as it takes. */
  constructor(
    private value: T,
    private readonly turns?: Turns,
  ) {}

  get = (): T => this.value;

  set(value: T): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const f of [...this.heard]) this.turns ? this.turns.ask(f) : f();
  }

  /** listen calls f after each change until the returned function is called. */
  listen(f: () => void): () => void {
    this.heard.add(f);
    return () => {
      this.heard.delete(f);
      this.turns?.forget(f);
    };
  }
}

/** useStore draws the component again when the value, or what pick takes from it, changes. */
export function useStore<T>(s: Store<T>): T;
export function useStore<T, P>(s: Store<T>, pick: (v: T) => P): P;
export function useStore<T, P>(s: Store<T>, pick?: (v: T) => P): T | P {
  const [, again] = useReducer<number, void>((n) => n + 1, 0);
  const value = pick ? pick(s.get()) : s.get();
  const latest = useRef({ value, pick });
  latest.current = { value, pick };
  useEffect(() => {
    const check = (): void => {
      const { value: was, pick: p } = latest.current;
      if (!Object.is(p ? p(s.get()) : s.get(), was)) again();
    };
    check(); // it may have changed between drawing and listening
    return s.listen(check);
  }, [s]);
  return value;
}
