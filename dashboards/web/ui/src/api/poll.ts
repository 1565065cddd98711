// Asking again and again while the page is looked at.
import { useEffect, useRef, useState } from "preact/hooks";
import { Poller } from "./poller";

export interface Polled<T> {
  data: T | null;
  error: Error | null;
  /** answeredAt is the local time of the last good answer; 0: none yet. */
  answeredAt: number;
}

const none = { data: null, error: null, answeredAt: 0 };

/** What is asked again and again is about now and comes at once or too late; what is asked once may be read from far back. */
const [soon, once] = [20_000, 60_000];

/**
 * usePoll asks at once and then everyMs after each answer (0: never again, once there is one), again from the start when key changes; a hidden page asks nothing. An error keeps the
 * last answer and is told beside it. keep holds the last answer while the one for a new key is on its way.
 */
export function usePoll<T>(key: string | null, everyMs: number, ask: (signal: AbortSignal) => Promise<T>, keep = false): Polled<T> {
  const [state, set] = useState<Polled<T> & { key: string | null }>({ ...none, key });
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    if (key == null) return;
    const p = new Poller<T>({
      everyMs,
      patienceMs: everyMs > 0 ? soon : once,
      ask: (signal) => latest.current(signal),
      told: (data) => set({ data, error: null, answeredAt: Date.now(), key }),
      failed: (error) => set((was) => ({ ...(was.key === key || keep ? was : none), error, key })),
      hidden: () => document.hidden,
    });
    const end = new AbortController();
    document.addEventListener("visibilitychange", p.look, { signal: end.signal });
    // A page that the browser keeps for the way back would hold its connections, of which there are six for all.
    window.addEventListener("pagehide", p.rest, { signal: end.signal });
    window.addEventListener("pageshow", p.look, { signal: end.signal });
    p.look();
    return () => {
      end.abort();
      p.stop();
    };
  }, [key, everyMs]);
  return state.key === key || keep ? state : none;
}
