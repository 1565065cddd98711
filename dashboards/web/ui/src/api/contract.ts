// The shapes of docs/api.md that the stream has, and others share. Times are Unix milliseconds, rates are per second, latencies are milliseconds, ratios are 0..1; null is "not known".

export type Level = "bad" | "warn";

export interface Feed {
  state: string;
  since: number;
  error: string;
}

export interface Exception {
  level: Level;
  text: string;
  link?: string;
}

export interface Strip {
  expected: number;
  present: number;
  answering: number;
  missing?: number; // of those expected: they left without an excuse; who is there and does not answer is silent
  age_ms: number | null;
  feed: Feed;
  exceptions: Exception[] | null;
}

export interface Mark {
  t: number;
  text: string;
  kind?: string;
}

/** Change is something that was different before: an event, or a figure that moved. */
export interface Change {
  t: number;
  kind: string;
  service: string; // empty: of the fleet
  env: string;
  text: string;
  n?: number;
  score: number;
}

export interface Ack {
  by: string;
  why?: string;
  at: number;
}

export interface Silence {
  id: string;
  service: string;
  env?: string;
  metric?: string;
  place?: string; // only what a finding about it tells
  by: string;
  why: string;
  at: number;
  until: number;
}

export interface Finding {
  id: string;
  level: Level;
  service: string;
  env: string;
  metric: string;
  since: number;
  ended: number | null;
  title: string;
  news: string;
  only: string;
  cleared: string[] | null;
  events: Mark[] | null;
  signals?: Record<string, string[] | null>; // which of a service's lines are in trouble, by service
  services?: string[]; // all that a place has in common, service being one
  place?: string; // that place, NAME=VALUE
  where?: string[]; // conditions NAME=VALUE that hold where it is, of one name any; none: everywhere, or at several places
  part_of?: string; // the finding about a place that tells it by now
  canary?: { version: string; baseline: string; verdict: "pass" | "hold" | "fail" };
  before?: Change[]; // what else changed, the most telling first
  text?: string; // all of it in one sentence
  owner?: string; // who looks after it, where they talk, what they wrote down for such a time
  chat?: string;
  runbook?: string;
  ack?: Ack; // somebody looks after it
  silenced?: Silence; // it calls nobody
}

/** about is every service that a finding is about. */
export const about = (f: Finding): string[] => (f.services?.length ? f.services : [f.service]);

/** quiet findings are looked after, or call nobody: they stay in view and do not shout. */
export const quiet = (f: Finding): boolean => !!f.ack || !!f.silenced;

export interface Latency {
  name: string;
  lo: number | null;
  hi: number | null;
  est: number | null;
}

export type Values = (number | null)[];

export interface SparkData {
  t0: number;
  step: number;
  rate: Values;
  error_ratio: Values;
  latency: Values;
  answering: Values;
}

export interface Row {
  service: string;
  env: string;
  owner: string;
  chat?: string; // where those who look after it talk
  runbook?: string; // an address
  expected: number;
  present: number;
  answering: number;
  missing?: number;
  every_ms?: number; // the longest interval at which any who answers is pulled now; 0: nobody answers
  trouble: 0 | 1 | 2;
  why: string[] | null;
  signals?: string[]; // of rate, errors, latency and answering those that are in trouble
  rate: number | null;
  errors: number | null;
  error_ratio: number | null;
  latency: Latency | null;
  versions: { version: string; n: number }[] | null;
  spark?: SparkData;
  tip?: SparkData; // of the stream alone: the last points of a spark of which the rest is known; t0 is the spark's
}

/**
 * RowsEvent comes before the NowEvent of its as_of: a part of its rows. Of rows of which only figures are new these stand one after the other: which row, counted as
 * they first came over the connection; rate, errors, error_ratio, and the latency's lo, hi and est.
 */
export interface RowsEvent {
  as_of: number;
  services?: Row[] | null;
  figures?: (number | null)[];
}

export interface NowEvent {
  full?: boolean;
  as_of: number;
  stream?: string; // of a whole event: the stream's name, for its pace
  again_ms?: number; // this is all of the stream: the browser holds enough of them, and the page may come again then
  demo?: boolean;
  envs?: string[];
  regions?: string[];
  strip?: Strip;
  findings?: Finding[] | null;
  services?: Row[] | null;
  figures?: (number | null)[];
  gone?: string[] | null;
}

/** A service's name in one environment: the key of rows, and of records in Kafka. */
export const rowKey = (r: { service: string; env: string }): string => r.service + "/" + r.env;
