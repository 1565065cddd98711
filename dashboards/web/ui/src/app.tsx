// The frame around every page: where one is, what the page is worth, and the keys.
import { useEffect, useState } from "preact/hooks";
import { getMe } from "./api/fetch";
import { BreakMenu } from "./parts/break";
import { Guard } from "./parts/guard";
import { Herald } from "./parts/herald";
import { Help } from "./parts/help";
import { listenToKeys } from "./parts/keys";
import { Palette } from "./parts/palette";
import { Banner, Strip, useTrust } from "./parts/strip";
import { Canaries } from "./pages/canaries";
import { Explore } from "./pages/explore";
import { FindingPage } from "./pages/finding";
import { Host } from "./pages/host";
import { Now } from "./pages/now";
import { Roster } from "./pages/roster";
import { Service } from "./pages/service";
import { Services } from "./pages/services";
import { defaultEnv, useApp, useEnv, useHref, useRegion, useRoute } from "./state/app";
import type { Theme } from "./state/prefs";
import type { Page } from "./state/route";
import { useStore } from "./state/store";

const places: [page: Page, name: string, path: string][] = [
  ["now", "Now", "/"],
  ["services", "Services", "/services"],
  ["explore", "Explore", "/explore"],
  ["canaries", "Canaries", "/canaries"],
  ["roster", "Roster", "/roster"],
];

const shows: Record<Page, () => preact.ComponentChildren> = {
  now: () => <Now />,
  services: () => <Services />,
  service: () => <Service />,
  explore: () => <Explore />,
  canaries: () => <Canaries />,
  roster: () => <Roster />,
  host: () => <Host />,
  finding: () => <FindingPage />,
  none: () => <Nowhere />,
};

export function Frame() {
  const app = useApp();
  const { stream, palette, cursor } = app;
  const route = useRoute();
  const env = useEnv();
  const region = useRegion();
  const demo = useStore(stream.known, (k) => k.demo);
  const [help, setHelp] = useState(false);

  useEffect(() => {
    const end = new AbortController();
    let cut = new AbortController();
    const begin = (): void => {
      cut.abort();
      cut = new AbortController();
      void stream.run(env, region, cut.signal);
    };
    begin();
    // A page that the browser keeps for the way back would hold its connection, of which there are six for all pages of a host.
    window.addEventListener("pagehide", () => cut.abort(), { signal: end.signal });
    window.addEventListener("pageshow", (e) => e.persisted && begin(), { signal: end.signal });
    return () => {
      end.abort();
      cut.abort();
    };
  }, [env, region]);

  useEffect(() => {
    const cut = new AbortController();
    // Where it cannot be had, what one does says by itself whether one may.
    getMe(cut.signal).then(app.me.set.bind(app.me), () => undefined);
    return () => cut.abort();
  }, []);

  useEffect(() => {
    const cut = new AbortController();
    listenToKeys(app, setHelp, cut.signal);
    return () => cut.abort();
  }, []);

  // What the pointer was in may be gone with its page, and says no more that it has left.
  useEffect(() => cursor.set(null), [route.page, route.service]);
  useDefaultEnv();
  // On a wall nobody clicks: the page without its frame, larger.
  const kiosk = route.query.kiosk != null;
  useEffect(() => {
    document.documentElement.classList.toggle("kiosk", kiosk);
  }, [kiosk]);
  return (
    <>
      <Title />
      <Herald />
      <a class="skip" href="#main">
        To the content
      </a>
      <header class="top">
        <Brand />
        <EnvPicker />
        <RegionPicker />
        <nav aria-label="Pages" class="nav">
          <Places current={route.page} />
        </nav>
        <span class="gap" />
        {demo && <BreakMenu />}
        <button type="button" class="search" onClick={() => palette.set(true)} data-testid="search">
          <span>Service, host, metric</span> <kbd>/</kbd>
        </button>
        <Who />
        <ThemeToggle />
        <button type="button" class="icon help-key" aria-label="Keys" title="Keys (?)" onClick={() => setHelp(true)}>
          ?
        </button>
      </header>
      <Banner />
      <Strip />
      <Main page={route.page}>
        <Guard key={route.page + route.service}>{shows[route.page]()}</Guard>
      </Main>
      <nav aria-label="Pages" class="tabs">
        <Places current={route.page} />
        <button type="button" onClick={() => palette.set(true)}>
          Search
        </button>
      </nav>
      <Palette />
      {help && <Help onClose={() => setHelp(false)} />}
    </>
  );
}

/** Main dims what is not of now. It is drawn each second, what it holds is not. */
function Main({ page, children }: { page: Page; children?: preact.ComponentChildren }) {
  const { state } = useTrust();
  return (
    <main id="main" tabIndex={-1} class={state === "lost" || state === "feed" || state === "resting" ? "stale" : ""} data-page={page}>
      {children}
    </main>
  );
}

function Brand() {
  const href = useHref();
  return (
    <a class="brand" href={href("/")} data-in>
      rollcall
    </a>
  );
}

function Places({ current }: { current: Page }) {
  const href = useHref();
  return (
    <>
      {places.map(([page, name, path]) => (
        <a
          key={page}
          href={href(path)}
          data-in
          aria-current={current === page || (page === "services" && current === "service") ? "page" : undefined}
        >
          {name}
        </a>
      ))}
    </>
  );
}

function EnvPicker() {
  const { stream, router } = useApp();
  const env = useEnv();
  const envs = useStore(stream.known, (k) => k.envs);
  const all = envs.includes(env) || envs.length === 0 ? (envs.length ? envs : [env]) : [env, ...envs];
  if (all.length < 2) return <span class="env one">{env}</span>;
  return (
    <select class="env" aria-label="Environment" data-testid="env" value={env} onChange={(e) => router.change({ env: e.currentTarget.value, region: undefined }, false)}>
      {all.map((e) => (
        <option key={e} value={e}>
          {e}
        </option>
      ))}
    </select>
  );
}

/** RegionPicker is there where the environment has several regions. */
function RegionPicker() {
  const { stream, router } = useApp();
  const region = useRegion();
  const regions = useStore(stream.known, (k) => k.regions);
  const all = region && !regions.includes(region) ? [region, ...regions] : regions;
  // Those who tell no region are none: with one beside them there is nothing to choose.
  if (all.filter((r) => r !== "unknown").length < 2 && !region) return null;
  return (
    <select
      class="env"
      aria-label="Region"
      data-testid="region"
      value={region}
      onChange={(e) => router.change({ region: e.currentTarget.value || undefined }, false)}
    >
      <option value="">all regions</option>
      {all.map((r) => (
        <option key={r} value={r}>
          {r}
        </option>
      ))}
    </select>
  );
}

/** Who says as whom one has signed in, and what that allows. */
function Who() {
  const me = useStore(useApp().me);
  if (!me?.name) return null;
  return (
    <span class="who" title={me.role === "viewer" ? `Signed in as ${me.name}: may look, not act` : `Signed in as ${me.name}, ${me.role}`} data-testid="who">
      <bdi>{me.name}</bdi> <span class="dim">{me.role}</span>
    </span>
  );
}

const nextTheme: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const themeSigns: Record<Theme, string> = { auto: "◐", light: "○", dark: "●" };

function ThemeToggle() {
  const { prefs } = useApp();
  const theme = useStore(prefs, (p) => p.theme);
  const says = `Colours: ${theme === "auto" ? "as the system" : theme}`;
  return (
    <button
      type="button"
      class="icon"
      aria-label={says}
      title={says}
      onClick={() => prefs.set({ ...prefs.get(), theme: nextTheme[prefs.get().theme] })}
      data-testid="theme"
    >
      {themeSigns[theme]}
    </button>
  );
}

/** useDefaultEnv moves to an environment that exists when the address names none and there is no prod. */
function useDefaultEnv(): void {
  const { stream, router } = useApp();
  const named = useRoute().query.env;
  const envs = useStore(stream.known, (k) => k.envs);
  useEffect(() => {
    if (!named && envs.length > 0 && !envs.includes(defaultEnv)) router.change({ env: envs[0] });
  }, [named, envs]);
}

/** Title puts the worst news into the tab, where it is seen while one works elsewhere. */
function Title() {
  const { stream } = useApp();
  const env = useEnv();
  const route = useRoute();
  const findings = useStore(stream.known, (k) => k.findings);
  const trust = useTrust();
  const open = findings.filter((f) => f.ended == null && f.env === env);
  const worst = open.find((f) => f.level === "bad") ?? open[0];
  const named: Partial<Record<Page, string>> = { service: route.service, host: route.service, finding: findings.find((f) => f.id === route.service)?.title ?? "Finding" };
  const where = named[route.page] ?? places.find(([p]) => p === route.page)?.[1] ?? "";
  const blind = trust.state === "lost" || trust.state === "refused" || trust.state === "feed";
  const title = blind
    ? "▲ no data · rollcall"
    : worst && route.page === "now"
      ? `(${open.length}) ${worst.title} · rollcall`
      : `${open.length ? `(${open.length}) ` : ""}${where} · rollcall`;
  const sign = blind || open.some((f) => f.level === "bad") ? "/bad.svg" : open.length ? "/warn.svg" : "/calm.svg";
  useEffect(() => {
    document.title = title;
  }, [title]);
  useEffect(() => {
    document.querySelector("link[rel=icon]")?.setAttribute("href", sign);
  }, [sign]);
  return null;
}

function Nowhere() {
  const href = useHref();
  return (
    <section class="calm">
      <p class="big">There is no such page.</p>
      <p class="dim">
        <a href={href("/")} data-in>
          Now
        </a>{" "}
        is where things are said first.
      </p>
    </section>
  );
}
