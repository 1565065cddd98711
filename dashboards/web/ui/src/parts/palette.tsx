// The search: services, hosts, instances, metrics, findings and commands by a few letters of each word, from anywhere, by "/".
import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import type { SearchAnswer } from "../api/answers";
import { getSearch, plain } from "../api/fetch";
import { useApp, useEnv, useHref } from "../state/app";
import { plural } from "../say/number";
import { findingPath, hostPath, servicePath } from "../state/route";
import { useStore } from "../state/store";
import { copy } from "./copy";

export interface Hit {
  group: string;
  text: string;
  hint: string;
  to: string;
  /** run is what a command does, instead of leading anywhere. */
  run?: () => void;
}

type Href = (path: string, query?: Record<string, string | undefined>) => string;

const wordsOf = (q: string): string[] => q.toLowerCase().split(/\s+/).filter(Boolean);

/** hits is what an answer leads to. Services that the page already knows come without asking. of is what the answer was asked with: where more was typed since, what does not hold it is left out. */
export function hits(q: string, local: { service: string; env: string }[], a: SearchAnswer | null, href: Href, of = q): Hit[] {
  const out: Hit[] = [];
  const seen = new Set<string>();
  const service = (s: { service: string; env: string }): void => {
    const key = s.service + "/" + s.env;
    if (seen.has(key)) return;
    seen.add(key);
    out.push({ group: "Services", text: s.service, hint: s.env, to: href(servicePath(s.service), { env: s.env }) });
  };
  const words = wordsOf(q);
  const holds = (...names: string[]): boolean => words.every((w) => names.some((n) => n.toLowerCase().includes(w)));
  // Nothing typed yet: the worst are the likeliest.
  for (const s of local) if (seen.size < (words.length ? 20 : 6) && holds(s.service)) service(s);
  const fits = (...names: string[]): boolean => of.trim() === q.trim() || holds(...names);
  for (const s of a?.services ?? []) if (fits(s.service, s.env)) service(s);
  for (const h of (a?.hosts ?? []).filter((x) => fits(x.host))) out.push({ group: "Hosts", text: h.host, hint: plural(h.n, "instance"), to: href(hostPath(h.host)) });
  for (const i of (a?.instances ?? []).filter((x) => fits(x.instance, x.service, x.env)))
    out.push({
      group: "Instances",
      text: i.instance,
      hint: `${i.service} in ${i.env}`,
      to: href(servicePath(i.service), { env: i.env, i: i.instance }),
    });
  for (const m of (a?.metrics ?? []).filter((x) => fits(x.metric, x.service, x.env)))
    out.push({
      group: "Metrics",
      text: m.metric,
      hint: `${m.service} in ${m.env}`,
      to: href("/explore", { env: m.env, service: m.service, metric: m.metric }),
    });
  for (const [name, path] of [
    ["Now", "/"],
    ["Services", "/services"],
    ["Explore", "/explore"],
    ["Canaries", "/canaries"],
    ["Roster", "/roster"],
  ] as const)
    if (holds(name)) out.push({ group: "Pages", text: name, hint: "", to: href(path) });
  return out;
}

export function Palette() {
  const { palette } = useApp();
  return useStore(palette) ? <Open /> : null;
}

/** useCommands is what can be done from anywhere by its name, and the findings that stand, where one acts on them. */
function useCommands(): Hit[] {
  const { prefs, router, stream } = useApp();
  const href = useHref();
  return useMemo(() => {
    const { envs, regions, findings } = stream.known.get();
    const several = <T,>(all: readonly T[]): readonly T[] => (all.length > 1 ? all : []);
    const command = (text: string, run: () => void): Hit => ({ group: "Commands", text, hint: "", to: text, run });
    const set = (p: Partial<ReturnType<typeof prefs.get>>) => () => prefs.set({ ...prefs.get(), ...p });
    return [
      ...findings
        .filter((f) => f.ended == null)
        .map((f) => ({ group: "Findings", text: f.title, hint: f.env, to: href(findingPath(f.id), { env: f.env }) })),
      ...several(envs).map((e) => command(`Environment: ${e}`, () => router.change({ env: e, region: undefined }, false))),
      ...several(regions).map((r) => command(`Region: ${r}`, () => router.change({ region: r }, false))),
      ...several(regions).slice(0, 1).map(() => command("Region: all", () => router.change({ region: undefined }, false))),
      command("Colours: light", set({ theme: "light" })),
      command("Colours: dark", set({ theme: "dark" })),
      command("Colours: as the system", set({ theme: "auto" })),
      command("Times in UTC", set({ zone: "utc" })),
      command("Times in my own zone", set({ zone: "local" })),
      command("Copy the address of this page", () => void copy(location.href)),
      command("Wall display: on or off", () => {
        const { kiosk } = router.route.get().query;
        router.change({ kiosk: kiosk == null ? "" : undefined }, false);
      }),
    ];
  }, [prefs, router, stream, href]);
}

function Open() {
  const { palette, router, stream } = useApp();
  const env = useEnv();
  const href = useHref();
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  const [q, setQ] = useState("");
  const [answer, setAnswer] = useState<{ of: string; a: SearchAnswer } | null>(null);
  const [error, setError] = useState("");
  const [on, setOn] = useState(0);

  useEffect(() => {
    const back = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (back instanceof HTMLElement) back.focus();
    };
  }, []);

  useEffect(() => {
    if (!q.trim()) {
      setAnswer(null);
      setError("");
      return;
    }
    const cut = new AbortController();
    const timer = setTimeout(() => {
      getSearch(q.trim(), cut.signal).then(
        (a) => {
          setAnswer({ of: q, a });
          setError("");
        },
        (e: unknown) => cut.signal.aborted || setError(plain(e)),
      );
    }, 100);
    return () => {
      clearTimeout(timer);
      cut.abort();
    };
  }, [q]);

  const local = useMemo(() => {
    const rows = stream.known.get().rows.all();
    // The environment that is looked at first; the worst first within it.
    return rows.sort((a, b) => Number(b.env === env) - Number(a.env === env) || b.trouble - a.trouble || (a.service < b.service ? -1 : 1));
  }, [q]);
  const commands = useCommands();
  const all = useMemo(() => {
    const words = wordsOf(q);
    return [...hits(q, local, answer?.a ?? null, href, answer?.of), ...commands.filter((c) => words.every((w) => c.text.toLowerCase().includes(w)))];
  }, [q, local, answer, href, commands]);
  const at = Math.min(on, all.length - 1);
  const close = (): void => palette.set(false);
  const open = (h: Hit | undefined): void => {
    if (!h) return;
    close();
    if (h.run) h.run();
    else router.go(h.to);
  };
  const key = (e: KeyboardEvent): void => {
    const n = all.length;
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      if (n) setOn((at + (e.key === "ArrowDown" ? 1 : n - 1)) % n);
      document.getElementById(`${id}-${(at + (e.key === "ArrowDown" ? 1 : n - 1)) % n}`)?.scrollIntoView({ block: "nearest" });
    } else if (e.key === "Enter") {
      e.preventDefault();
      open(all[at]);
    }
  };
  return (
    <dialog
      ref={dialog}
      class="palette"
      aria-label="Search"
      data-testid="palette"
      onClose={close}
      onClick={(e) => e.target === dialog.current && close()}
    >
      <div class="inner">
        <input
          role="combobox"
          aria-expanded="true"
          aria-controls={id}
          aria-activedescendant={all.length ? `${id}-${at}` : undefined}
          aria-label="Service, host, metric"
          placeholder="Service, host, metric, command"
          autocomplete="off"
          spellcheck={false}
          value={q}
          onInput={(e) => {
            setQ(e.currentTarget.value);
            setOn(0);
          }}
          onKeyDown={key}
          data-testid="palette-input"
          autofocus
        />
        <ul id={id} role="listbox" aria-label="What fits">
          {all.map((h, i) => (
            <li
              key={h.to + i}
              id={`${id}-${i}`}
              role="option"
              aria-selected={i === at}
              onClick={() => open(h)}
              onPointerMove={() => setOn(i)}
              data-testid="palette-hit"
            >
              {(i === 0 || all[i - 1]?.group !== h.group) && <span class="group">{h.group}</span>}
              <span class="hit">
                {h.text} <span class="dim">{h.hint}</span>
              </span>
            </li>
          ))}
        </ul>
        {all.length === 0 && <p class="dim">Nothing fits.</p>}
        {error && <p class="warn">△ {error}</p>}
      </div>
    </dialog>
  );
}
