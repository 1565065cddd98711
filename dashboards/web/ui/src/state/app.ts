// What every part of the page may ask for, made once in main and handed down.
import { createContext } from "preact";
import { useCallback, useContext } from "preact/hooks";
import type { Me } from "../api/answers";
import type { Stream } from "../api/stream";
import type { Zone } from "../say/time";
import type { Clock } from "./clock";
import type { Prefs } from "./prefs";
import { address, type Route, type Router } from "./route";
import { useStore, type Store } from "./store";
import type { Turns } from "./turns";

export interface App {
  clock: Clock;
  prefs: Store<Prefs>;
  router: Router;
  stream: Stream;
  /** turns are when what changes each second is drawn. */
  turns: Turns;
  /** cursor is the time under the reader's pointer, shared by all charts of the page; null: none, so now. */
  cursor: Store<number | null>;
  /** palette: is the search open? */
  palette: Store<boolean>;
  /** me is who looks, and what they may; null: not known yet. */
  me: Store<Me | null>;
}

export const AppContext = createContext<App>(null as unknown as App);

export const useApp = (): App => useContext(AppContext);

export const useRoute = (): Route => useStore(useApp().router.route);

export const useZone = (): Zone => useStore(useApp().prefs, (p) => p.zone);

/** defaultEnv is shown when the address names none. */
export const defaultEnv = "prod";

export const useEnv = (): string => useRoute().query.env ?? defaultEnv;

/** useRegion is the region that is looked at; empty: all of them. */
export const useRegion = (): string => useRoute().query.region ?? "";

/** useNow is the server's time, changing every step milliseconds; at least a second. */
export function useNow(step = 1000): number {
  const { clock } = useApp();
  return useStore(clock.second, () => Math.floor(clock.now() / step) * step);
}

/** useHref makes addresses that keep the environment and its region, and the wall. */
export function useHref(): (path: string, query?: Record<string, string | undefined>) => string {
  const { env, region, kiosk } = useRoute().query;
  return useCallback(
    (path, query = {}) => {
      const here = (query.env ?? env ?? defaultEnv) === (env ?? defaultEnv); // another environment has regions of its own
      return address(path, { env, region: here ? region : undefined, kiosk, ...query });
    },
    [env, region, kiosk],
  );
}
