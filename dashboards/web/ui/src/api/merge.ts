// What the page knows, and how an event of the stream changes it.
import { quiet, rowKey, type Finding, type NowEvent, type Row, type Strip } from "./contract";
import { Rows } from "./rows";

export interface Known {
  asOf: number;
  demo: boolean;
  envs: string[];
  regions: string[];
  strip: Strip | null;
  findings: Finding[];
  /** rows are those of the connection: the same object, whose rows are others after each event. */
  rows: Rows;
  /** shape and said are the rows', as they were after the event. */
  shape: object;
  said: object;
}

export const nothing: Known = { asOf: 0, demo: false, envs: [], regions: [], strip: null, findings: [], rows: new Rows(), shape: {}, said: {} };

/** merge is what is known after the event, of which rows may have taken in parts already. A whole event replaces everything; another changes only what it names. */
export function merge(was: Known, e: NowEvent, rows: Rows = e.full ? new Rows() : was.rows): Known {
  const base = e.full ? nothing : was;
  rows.drop(e.gone ?? []);
  rows.take(e);
  return {
    asOf: e.as_of,
    demo: e.demo ?? base.demo,
    envs: e.envs ? prodFirst(e.envs) : base.envs,
    regions: e.regions ?? base.regions,
    strip: e.strip ?? base.strip,
    findings: e.findings ?? base.findings,
    rows,
    shape: rows.shape,
    said: rows.said,
  };
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
  calm: [owner: string, keys: string[]][];
}

const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** errorsPerSecond is how much a service's trouble hurts: what the cards are ordered by among equals. */
const errorsPerSecond = (r: Row): number => r.errors ?? (r.error_ratio ?? 0) * (r.rate ?? 0);

interface Order {
  trouble: string[];
  calm: [owner: string, keys: string[]][];
}

const orders = new WeakMap<object, Map<string, Order>>();

/** orderOf is in which order an environment's rows stand: worked out once for each shape, not each second. */
function orderOf(k: Known, env: string): Order {
  let of = orders.get(k.shape);
  if (!of) orders.set(k.shape, (of = new Map<string, Order>()));
  const had = of.get(env);
  if (had) return had;
  const trouble: string[] = [];
  const owners = new Map<string, Row[]>();
  for (const key of k.rows.keys()) {
    const r = k.rows.words(key) as Row;
    if (env && r.env !== env) continue;
    if (r.trouble > 0) {
      trouble.push(key);
      continue;
    }
    const rows = owners.get(r.owner);
    if (rows) rows.push(r);
    else owners.set(r.owner, [r]);
  }
  for (const rows of owners.values()) rows.sort((a, b) => byName(a.service, b.service) || byName(a.env, b.env));
  const order: Order = {
    trouble,
    // Those without an owner come last: nobody looks for a nameless team.
    calm: [...owners]
      .sort((a, b) => Number(a[0] === "") - Number(b[0] === "") || byName(a[0], b[0]))
      .map(([owner, rows]) => [owner, rows.map(rowKey)]),
  };
  of.set(env, order);
  return order;
}

/** sorted orders what one environment shows: findings newest first, trouble by level and weight, the calm by owner and name. */
export function sorted(k: Known, env: string): Sorted {
  const order = orderOf(k, env);
  const findings = k.findings.filter((f) => !env || f.env === env);
  const weight = (f: Finding): number => (f.level === "bad" ? 1 : 0);
  const open = findings.filter((f) => f.ended == null).sort((a, b) => weight(b) - weight(a) || newestFirst(a, b));
  return {
    open: open.filter((f) => !quiet(f)),
    quiet: open.filter(quiet),
    ended: findings.filter((f) => f.ended != null).sort((a, b) => (b.ended ?? 0) - (a.ended ?? 0)),
    trouble: order.trouble
      .map((key) => k.rows.get(key) as Row)
      .sort((a, b) => b.trouble - a.trouble || errorsPerSecond(b) - errorsPerSecond(a) || byName(a.service, b.service)),
    calm: order.calm,
  };
}
