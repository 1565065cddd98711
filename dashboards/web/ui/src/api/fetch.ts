// Questions to the API. An error says what the server said, or what a person can do.
import type {
  BurstAnswer,
  CanariesAnswer,
  CanaryAnswer,
  CollectorsAnswer,
  DifferentAnswer,
  ExceptionsAnswer,
  FaultAnswer,
  HistoryAnswer,
  HostAnswer,
  Me,
  SearchAnswer,
  SeriesAnswer,
  ServiceAnswer,
} from "./answers";
import { about, type Finding, type Silence } from "./contract";
import type { GuardsAnswer, PathsAnswer, RosterAnswer, WhyAnswer } from "./rostered";

/** Refusal is an answer other than 2xx; its message is the server's own. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** plain is an error in the words of whoever refused. */
export const plain = (e: unknown): string => (e instanceof TypeError ? "rollcall cannot be reached" : e instanceof Error ? e.message : String(e));

/** refusal reads the error out of an answer of whatever form. */
export async function refusal(res: Response): Promise<Refusal> {
  const text = await res.text().catch(() => "");
  try {
    const said: unknown = (JSON.parse(text) as { error?: unknown }).error;
    if (typeof said === "string" && said) return new Refusal(res.status, said);
  } catch {
    // not ours: a proxy's page, or nothing
  }
  return new Refusal(res.status, `the server answered ${res.status} ${res.statusText}`.trim());
}

async function ask<T>(path: string, query: Record<string, string | readonly string[]>, init: RequestInit = {}): Promise<T> {
  const pairs = Object.entries(query).flatMap(([k, v]) => (typeof v === "string" ? [v] : v).filter((x) => x !== "").map((x) => [k, x]));
  const q = new URLSearchParams(pairs).toString();
  const res = await fetch(q ? `${path}?${q}` : path, { cache: "no-store", credentials: "same-origin", ...init });
  if (!res.ok) throw await refusal(res);
  return (await res.json()) as T;
}

export const getService = (service: string, env: string, region: string, signal: AbortSignal): Promise<ServiceAnswer> =>
  ask("/api/v1/service", { service, env, region }, { signal });

export interface SeriesQuery {
  service: string;
  env: string;
  metric: string;
  field: string;
  by: string;
  /** where are conditions, each NAME=VALUE; of one name any value will do. */
  where: readonly string[];
  region: string;
  from: number;
  to: number;
  step: number;
}

export const getSeries = (q: SeriesQuery, signal: AbortSignal): Promise<SeriesAnswer> =>
  ask("/api/v1/series", { ...q, from: String(Math.round(q.from)), to: String(Math.round(q.to)), step: String(q.step) }, { signal });

const saysAnything = (a: SeriesAnswer): boolean => !!a.series?.some((l) => l.values.some((v) => v != null) || l.hi?.some((v) => v != null));

const minute = 60_000;

/** getSeriesOrKept is a metric's lines, or, where its values are not there any more, what is kept of it by the minute. */
export async function getSeriesOrKept(q: SeriesQuery, signal: AbortSignal): Promise<SeriesAnswer> {
  const a = await getSeries(q, signal);
  if (saysAnything(a) || q.field || q.region || q.where.length > 0) return a;
  const { service, env, by, from, to } = q;
  try {
    const kept = await getHistory({ service, env, signal: `metric:${q.metric}`, by, from, to, step: Math.max(1, Math.ceil(q.step / minute)) * minute }, signal);
    return { ...a, t0: kept.t0, step: kept.step, of: `${kept.of}, by the minute`, series: kept.series };
  } catch (e) {
    if (e instanceof Refusal) return a; // nothing is kept of it, or not by this
    throw e;
  }
}

/** getHistory is what is kept of a metric for longer than its raw values: by the minute, and the golden signals of a service by its dimensions. */
export const getHistory = (q: { service: string; env: string; signal: string; by: string; from: number; to: number; step: number }, signal: AbortSignal): Promise<HistoryAnswer> =>
  ask("/api/v1/history", { ...q, from: String(Math.round(q.from)), to: String(Math.round(q.to)), step: String(q.step) }, { signal });

export const getRoster = (q: { env: string; region?: string; service?: string; state: string; q: string; sort: string; limit: string }, signal: AbortSignal): Promise<RosterAnswer> =>
  ask("/api/v1/roster", { service: "", region: "", ...q }, { signal });

export const getGuards = (signal: AbortSignal): Promise<GuardsAnswer> => ask("/api/v1/roster/guards", {}, { signal });

export const getCollectors = (signal: AbortSignal): Promise<CollectorsAnswer> => ask("/api/v1/collectors", {}, { signal });

export const getPaths = (q: string, signal: AbortSignal): Promise<PathsAnswer> => ask("/api/v1/roster/paths", { q }, { signal });

export const getWhy = (instance: string, signal: AbortSignal): Promise<WhyAnswer> => ask("/api/v1/roster/why", { instance }, { signal });

export const getSearch = (q: string, signal: AbortSignal): Promise<SearchAnswer> => ask("/api/v1/search", { q }, { signal });

export const breakSomething = (kind: string): Promise<FaultAnswer> =>
  ask("/demo/fault", {}, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ kind }) });

export const getCanaries = (env: string, signal: AbortSignal): Promise<CanariesAnswer> => ask("/api/v1/canaries", { env }, { signal });

export const getCanary = (service: string, env: string, signal: AbortSignal): Promise<CanaryAnswer> => ask("/api/v1/canary", { service, env }, { signal });

export const getExceptions = (service: string, env: string, signal: AbortSignal): Promise<ExceptionsAnswer> =>
  ask("/api/v1/exceptions", { service, env }, { signal });

export const getHost = (host: string, env: string, signal: AbortSignal): Promise<HostAnswer> => ask("/api/v1/host", { host, env }, { signal });

export const getDifferent = (service: string, env: string, from: number, to: number, signal: AbortSignal): Promise<DifferentAnswer> =>
  ask("/api/v1/different", { service, env, from: String(Math.floor(from)), to: String(Math.ceil(to)) }, { signal });

export const getMe = (signal: AbortSignal): Promise<Me> => ask("/api/v1/me", {}, { signal });

/** getTitles is what is wrong now, and no more than that unless a region is asked for. */
export async function getTitles(env: string, region: string, signal: AbortSignal): Promise<{ findings: Finding[] }> {
  const a = await ask<{ findings: Finding[] | null }>(region ? "/api/v1/now" : "/api/v1/findings", { env, region }, { signal });
  const all = a.findings ?? [];
  // A canary that stands failed is one where nothing else tells of its service; the others have a page of their own.
  const told = (c: Finding): boolean => all.some((f) => f.metric !== "canary" && f.ended == null && f.env === c.env && about(f).includes(c.service));
  return { findings: all.filter((f) => f.metric !== "canary" || (f.canary?.verdict === "fail" && !told(f))) };
}

/** repace has an open stream's events come so far apart from now on. */
export const repace = (stream: string, every: number): Promise<unknown> => ask("/api/v1/stream/" + stream, { every: String(every) }, say("POST"));

const say = (method: string, body?: unknown): RequestInit => ({
  method,
  ...(body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
});

const finding = (id: string): string => `/api/v1/findings/${encodeURIComponent(id)}/ack`;

export const getFinding = (id: string, signal: AbortSignal): Promise<{ as_of: number; finding: Finding }> => ask("/api/v1/findings/" + encodeURIComponent(id), {}, { signal });

/** getEnded are the findings about a service that are over, of the last day, the last one first. */
export const getEnded = (service: string, env: string, signal: AbortSignal): Promise<{ as_of: number; findings: Finding[] }> =>
  ask("/api/v1/findings", { service, env, state: "ended" }, { signal });

export const acknowledge = (id: string, by: string, why: string): Promise<Finding> => ask(finding(id), {}, say("POST", { by, why }));

export const takeBack = (id: string, by: string): Promise<Finding> => ask(finding(id), { by }, say("DELETE"));

export const silence = (s: { service: string; env: string; metric: string; place?: string; for: string; by: string; why: string }): Promise<Silence> =>
  ask("/api/v1/silences", {}, say("POST", s));

export const endSilence = (id: string, by: string): Promise<Silence> => ask("/api/v1/silences/" + encodeURIComponent(id), { by }, say("DELETE"));

/** burst asks for a closer look: every second for five minutes. Where this server runs no collector it does not know how. */
export const burst = (service: string, env: string, by: string, why: string): Promise<BurstAnswer> =>
  ask<BurstAnswer>("/api/v1/burst", {}, say("POST", { service, env, interval: "1s", for: "5m", by, why })).catch((e: unknown) => {
    if (e instanceof Refusal && e.status === 404) throw new Refusal(404, `no collector runs in this server; on one say: rollcall burst ${service} --for=5m`);
    throw e;
  });
