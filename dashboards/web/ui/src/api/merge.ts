// What the page knows, and how an event of the stream changes it. Pure: the same state and event give the same state, and a row that did not change
// stays the same object, so that what shows it is not drawn again.
import { quiet, rowKey, type Finding, type NowEvent, type Row, type SparkData, type Strip, type Values } from "./contract";

export interface Known {
  asOf: number;
  demo: boolean;
  envs: string[];
  regions: string[];
  strip: Strip | null;
  findings: Finding[];
  rows: ReadonlyMap<string, Row>;
}

export const nothing: Known = { asOf: 0, demo: false, envs: [], regions: [], strip: null, findings: [], rows: new Map() };

/** merge is what is known after the event. A whole event replaces everything; another changes only what it names. */
export function merge(was: Known, e: NowEvent): Known {
  const base = e.full ? nothing : was;
  let rows = base.rows;
  if (e.services?.length || e.gone?.length) {
    const next = new Map(base.rows);
    for (const key of e.gone ?? []) next.delete(key);
    for (const r of e.services ?? []) next.set(rowKey(r), withSpark(base.rows.get(rowKey(r)), r, e.as_of));
    rows = next;
  }
  return {
    asOf: e.as_of,
    demo: e.demo ?? base.demo,
    envs: e.envs ? prodFirst(e.envs) : base.envs,
    regions: e.regions ?? base.regions,
    strip: e.strip ?? base.strip,
    findings: e.findings ?? base.findings,
    rows,
  };
}

/**
 * withSpark gives a row that came with figures only the spark it had. The last point of a spark is of a step that is not over: the figures take its place, so that
 * half a step's sum is not drawn as a fall.
 */
export function withSpark(was: Row | undefined, r: Row, asOf: number): Row {
  const s = r.spark ?? was?.spark;
  if (!s) return r;
  const n = s.rate.length;
  if (n === 0) return { ...r, spark: s };
  // Figures from after the last point's span would make it lie; then the next whole spark brings the point they belong to.
  // A spark that comes whole after its last step is over needs no help.
  if (asOf >= s.t0 + (r.spark ? n : n + 1) * s.step) return { ...r, spark: s };
  const put = (v: Values, x: number | null): Values => [...v.slice(0, -1), x];
  const spark: SparkData = {
    t0: s.t0,
    step: s.step,
    rate: put(s.rate, r.rate),
    error_ratio: put(s.error_ratio, r.error_ratio),
    latency: put(s.latency, r.latency?.est ?? null),
    answering: put(s.answering, r.answering),
  };
  return { ...r, spark };
}

const isProd = (env: string): boolean => /^prod(uction)?$/i.test(env);

/** prodFirst puts production before all others, which keep their order. */
export const prodFirst = (envs: string[]): string[] => [...envs.filter(isProd), ...envs.filter((e) => !isProd(e))];

const newestFirst = (a: Finding, b: Finding): number => b.since - a.since;

export interface Sorted {
  open: Finding[]; // that nobody looks after yet
  quiet: Finding[]; // acknowledged or silenced
  ended: Finding[];
  trouble: Row[];
  calm: [owner: string, rows: Row[]][];
}

const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** errorsPerSecond is how much a service's trouble hurts: what the cards are ordered by among equals. */
const errorsPerSecond = (r: Row): number => r.errors ?? (r.error_ratio ?? 0) * (r.rate ?? 0);

/** sorted orders what one environment shows: findings newest first, trouble by level and weight, the calm by owner and name. */
export function sorted(k: Known, env: string): Sorted {
  const trouble: Row[] = [];
  const owners = new Map<string, Row[]>();
  for (const r of k.rows.values()) {
    if (env && r.env !== env) continue;
    if (r.trouble > 0) trouble.push(r);
    else {
      const rows = owners.get(r.owner);
      if (rows) rows.push(r);
      else owners.set(r.owner, [r]);
    }
  }
  trouble.sort((a, b) => b.trouble - a.trouble || errorsPerSecond(b) - errorsPerSecond(a) || byName(a.service, b.service));
  for (const rows of owners.values()) rows.sort((a, b) => byName(a.service, b.service) || byName(a.env, b.env));
  const findings = k.findings.filter((f) => !env || f.env === env);
  const weight = (f: Finding): number => (f.level === "bad" ? 1 : 0);
  const open = findings.filter((f) => f.ended == null).sort((a, b) => weight(b) - weight(a) || newestFirst(a, b));
  return {
    open: open.filter((f) => !quiet(f)),
    quiet: open.filter(quiet),
    ended: findings.filter((f) => f.ended != null).sort((a, b) => (b.ended ?? 0) - (a.ended ?? 0)),
    trouble,
    // Those without an owner come last: nobody looks for a nameless team.
    calm: [...owners].sort((a, b) => Number(a[0] === "") - Number(b[0] === "") || byName(a[0], b[0])),
  };
}
