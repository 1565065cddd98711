// What a reader chose for this browser: colours, time zone and name. It stays in local storage.
import type { Zone } from "../say/time";
import { Store } from "./store";

export type Theme = "auto" | "light" | "dark";

export interface Prefs {
  theme: Theme;
  zone: Zone;
  /** me is who acknowledges and silences here, where nobody signs in. */
  me: string;
}

const key = "rollcall";

function read(win: Window): Prefs {
  let was: unknown = null;
  try {
    was = JSON.parse(win.localStorage.getItem(key) ?? "null");
  } catch {
    // Storage may be forbidden or hold something else: the defaults do.
  }
  const p = (was ?? {}) as Partial<Prefs>;
  return { theme: p.theme === "light" || p.theme === "dark" ? p.theme : "auto", zone: p.zone === "local" ? "local" : "utc", me: typeof p.me === "string" ? p.me : "" };
}

/** openPrefs reads what was chosen and keeps what is chosen. */
export function openPrefs(win: Window): Store<Prefs> {
  const s = new Store(read(win));
  const wear = (): void => {
    win.document.documentElement.dataset.theme = s.get().theme;
  };
  wear();
  s.listen(() => {
    wear();
    try {
      win.localStorage.setItem(key, JSON.stringify(s.get()));
    } catch {
      // then it holds for this page only
    }
  });
  return s;
}
