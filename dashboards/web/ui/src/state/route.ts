// Every state of the page is in its address: this reads and writes it.
import { Store } from "./store";

export type Query = Readonly<Record<string, string>>;

export type Page = "now" | "services" | "service" | "explore" | "canaries" | "roster" | "host" | "finding" | "none";

export interface Route {
  page: Page;
  service: string; // of the page "service"; the host of "host", the id of "finding"
  query: Query;
}

const pages = new Map<string, Page>([
  ["", "now"],
  ["services", "services"],
  ["explore", "explore"],
  ["canaries", "canaries"],
  ["roster", "roster"],
]);

/** decode undoes percent-encoding and keeps what is not one as it stands. */
function decode(s: string): string {
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}

/** parse reads a path and a query; an unknown path is page "none". */
export function parse(path: string, search: string): Route {
  const query: Record<string, string> = Object.fromEntries(new URLSearchParams(search));
  const [head = "", ...rest] = path.replace(/^\/+|\/+$/g, "").split("/");
  if ((head === "service" || head === "host" || head === "finding") && rest.length > 0) return { page: head, service: decode(rest.join("/")), query };
  const page = rest.length === 0 ? pages.get(head) : undefined;
  return { page: page ?? "none", service: "", query };
}

/** address writes a path with its query; empty values are left out, so that an address says only what differs from the page's own choice. */
export function address(path: string, query: Readonly<Record<string, string | undefined>>): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) if (v || (k === "kiosk" && v === "")) q.set(k, v);
  const s = q.toString().replace(/(^|&)kiosk=(?=&|$)/, "$1kiosk");
  return s ? `${path}?${s}` : path;
}

export const servicePath = (service: string): string => "/service/" + encodeURIComponent(service);

export const hostPath = (host: string): string => "/host/" + encodeURIComponent(host);

export const findingPath = (id: string): string => "/finding/" + encodeURIComponent(id);

/** Router follows the browser's address. Its run blocks no one: it listens until the signal is aborted. */
export class Router {
  readonly route: Store<Route>;

  constructor(private readonly win: Window) {
    this.route = new Store(this.read());
  }

  private read(): Route {
    return parse(this.win.location.pathname, this.win.location.search);
  }

  private readonly reread = (): void => this.route.set(this.read());

  run(signal: AbortSignal): void {
    this.win.addEventListener("popstate", this.reread, { signal });
    this.win.document.addEventListener("click", (e) => this.click(e), { signal });
  }

  /** go moves to an address on this host; replace leaves no step in the history, for states that change while one types. */
  go(to: string, replace = false): void {
    if (to === this.win.location.pathname + this.win.location.search) return;
    this.win.history[replace ? "replaceState" : "pushState"](null, "", to);
    const was = this.route.get();
    this.reread();
    const now = this.route.get();
    if (was.page !== now.page || was.service !== now.service) this.win.scrollTo(0, 0);
  }

  /** change keeps the page and changes some of the query. */
  change(query: Record<string, string | undefined>, replace = true): void {
    this.go(address(this.win.location.pathname, { ...this.route.get().query, ...query }), replace);
  }

  /** click follows links of this page without loading it again; what opens tabs or windows is the browser's. */
  private click(e: MouseEvent): void {
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    const a = e.target instanceof Element ? e.target.closest("a") : null;
    if (!a || a.origin !== this.win.location.origin || a.target || a.hasAttribute("download") || !a.hasAttribute("data-in")) return;
    e.preventDefault();
    this.go(a.pathname + a.search);
  }
}
