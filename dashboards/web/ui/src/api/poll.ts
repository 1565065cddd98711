// Asking again and again while the page is looked at.
import { useEffect, useRef, useState } from "preact/hooks";

export interface Polled<T> {
  data: T | null;
  error: Error | null;
  /** answeredAt is the local time of the last good answer; 0: none yet. */
  answeredAt: number;
}

const none = { data: null, error: null, answeredAt: 0 };

/**
 * usePoll asks at once and then everyMs after each answer (0: never again), again from the start when key changes; a hidden page asks nothing. An error keeps the
 * last answer and is told beside it. keep holds the last answer while the one for a new key is on its way.
 */
export function usePoll<T>(key: string | null, everyMs: number, ask: (signal: AbortSignal) => Promise<T>, keep = false): Polled<T> {
  const [state, set] = useState<Polled<T> & { key: string | null }>({ ...none, key });
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    if (key == null) return;
    const cut = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let failed = 0;
    const round = async (): Promise<void> => {
      if (document.hidden) return; // visibilitychange asks
      try {
        const data = await latest.current(cut.signal);
        if (cut.signal.aborted) return;
        failed = 0;
        set({ data, error: null, answeredAt: Date.now(), key });
      } catch (e) {
        if (cut.signal.aborted) return;
        failed++;
        const error = e instanceof TypeError ? new Error("rollcall cannot be reached") : (e as Error);
        set((was) => ({ ...(was.key === key || keep ? was : none), error, key }));
      }
      if (everyMs > 0) timer = setTimeout(round, Math.min(15_000, everyMs * 2 ** failed));
    };
    const shown = (): void => {
      if (document.hidden) return;
      clearTimeout(timer);
      void round();
    };
    document.addEventListener("visibilitychange", shown, { signal: cut.signal });
    void round();
    return () => {
      cut.abort();
      clearTimeout(timer);
    };
  }, [key, everyMs]);
  return state.key === key || keep ? state : none;
}
