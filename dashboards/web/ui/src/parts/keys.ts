// The keyboard: j and k walk over whatever the page lists, by real focus, so that Enter is the browser's own.
import type { App } from "../state/app";
import { address } from "../state/route";

const typing = (el: Element | null): boolean =>
  !!el && (el.matches("input:not([type=checkbox]), textarea, select") || (el as HTMLElement).isContentEditable);

/** walk focuses the next (or previous) item; from nowhere, the first one on the screen. */
function walk(by: 1 | -1): void {
  const all = [...document.querySelectorAll<HTMLElement>("main [data-item]")].filter((e) => e.offsetParent !== null);
  if (all.length === 0) return;
  const at = all.indexOf(document.activeElement as HTMLElement);
  const next = at >= 0 ? all[Math.min(all.length - 1, Math.max(0, at + by))] : (all.find((e) => e.getBoundingClientRect().top > 90) ?? all[0]);
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
}

/** listenToKeys answers the page's keys until the signal is aborted. */
export function listenToKeys(app: App, help: (open: boolean) => void, signal: AbortSignal): void {
  document.addEventListener(
    "keydown",
    (e) => {
      if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey) return;
      const el = document.activeElement;
      if (document.querySelector("dialog[open]")) return; // it has its own keys, Esc included
      if (e.key === "Escape") {
        if (el instanceof HTMLElement && el !== document.body) {
          el.blur();
          return;
        }
        const r = app.router.route.get();
        if (r.page !== "now") app.router.go(address("/", { env: r.query.env, region: r.query.region, kiosk: r.query.kiosk }));
        return;
      }
      if (typing(el)) return;
      if (e.key === "/") app.palette.set(true);
      else if (e.key === "?") help(true);
      else if (e.key === "j") walk(1);
      else if (e.key === "k") walk(-1);
      else return;
      e.preventDefault();
    },
    { signal },
  );
}
