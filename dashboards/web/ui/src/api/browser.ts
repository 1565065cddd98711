// Who this browser is to the server, where that matters: by HTTP/1 it has six connections to a host for all its windows, and the server lets it use some of them for streams.

const key = "rollcall-browser";

/** browserName is the same for all windows of this browser. Empty: it has no need of one, or may keep nothing. */
export function browserName(win: Window): string {
  const [page] = win.performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  if (/^h[23]/.test(page?.nextHopProtocol ?? "")) return ""; // as many as it likes, over one connection
  try {
    const had = win.localStorage.getItem(key);
    if (had) return had.slice(0, 32);
    const made = Array.from(win.crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36)).join("");
    win.localStorage.setItem(key, made);
    return made;
  } catch {
    return "";
  }
}
