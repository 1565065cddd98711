// What the page knows, and how an event of the stream changes it. Pure: the same state and event give the same state, and a row that did not change
// stays the same object, so that what shows it is not drawn again.
import { quiet, rowKey, type Finding, type NowEvent, type Row, type RowsEvent, type Strip } from "./contract";
import { withFigures, withSpark } from "./live";

export interface Known {
  asOf: number;
  demo: boolean;
  envs: string[];
  regions: string[];
  strip: Strip | null;
  findings: Finding[];
  rows: ReadonlyMap<string, Row>;
  /** shape is another object whenever who is there, whose it is or how much it is in trouble has changed: what an order of all rows depends on. */
  shape: object;
}

export const nothing: Known = { asOf: 0, demo: false, envs: [], regions: [], strip: null, findings: [], rows: new Map(), shape: {} };

/** perRow is how many numbers a row has among figures. */
const perRow = 7;

/** Parts makes rows of the events of one connection what they will be when an event has come whole; merge puts them in their places. */
export class Parts {
  private keys: string[] = []; // of the rows, in the order in which they first came

  /** prepare takes one part: base is what was known before its event. */
  prepare(base: Known, e: RowsEvent): Row[] {
    const out: Row[] = [];
    for (const r of e.services ?? []) {
      const key = rowKey(r);
      const was = base.rows.get(key);
      if (!was) this.keys.push(key);
      out.push(withSpark(was, r, e.as_of));
    }
    const f = e.figures ?? [];
    for (let i = 0; i + perRow <= f.length; i += perRow) {
      const was = base.rows.get(this.keys[f[i] as number] ?? "");
      if (!was) continue;
      out.push(withFigures(was, f, i + 1, e.as_of));
    }
    return out;
  }
}

/** merge is what is known after the event, whose rows were prepared part by part, or are its own. A whole event replaces everything; another changes only what it names. */
export function merge(was: Known, e: NowEvent, parts?: readonly Row[][]): Known {
  const base = e.full ? nothing : was;
  const made = parts ?? [new Parts().prepare(base, e)];
  let { rows, shape } = base;
  if (made.some((p) => p.length) || e.gone?.length) {
    const next = new Map(base.rows);
    let moved = false;
    for (const key of e.gone ?? []) moved = next.delete(key) || moved;
    for (const part of made)
      for (const r of part) {
        const key = rowKey(r);
        const old = next.get(key);
        moved ||= !old || old.owner !== r.owner || old.trouble !== r.trouble;
        next.set(key, r);
      }
    rows = next;
    if (moved) shape = {};
  }
  return {
    asOf: e.as_of,
    demo: e.demo ?? base.demo,
    envs: e.envs ? prodFirst(e.envs) : base.envs,
    regions: e.regions ?? base.regions,
    strip: e.strip ?? base.strip,
    findings: e.findings ?? base.findings,
    rows,
    shape: e.full ? {} : shape,
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
  calm: [owner: string, rows: Row[]][];
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
  for (const [key, r] of k.rows) {
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
  const row = (key: string): Row => k.rows.get(key) as Row;
  const findings = k.findings.filter((f) => !env || f.env === env);
  const weight = (f: Finding): number => (f.level === "bad" ? 1 : 0);
  const open = findings.filter((f) => f.ended == null).sort((a, b) => weight(b) - weight(a) || newestFirst(a, b));
  return {
    open: open.filter((f) => !quiet(f)),
    quiet: open.filter(quiet),
    ended: findings.filter((f) => f.ended != null).sort((a, b) => (b.ended ?? 0) - (a.ended ?? 0)),
    trouble: order.trouble
      .map(row)
      .sort((a, b) => b.trouble - a.trouble || errorsPerSecond(b) - errorsPerSecond(a) || byName(a.service, b.service)),
    calm: order.calm.map(([owner, keys]) => [owner, keys.map(row)]),
  };
}
