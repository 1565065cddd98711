// The shapes of docs/api.md. Times are Unix milliseconds, rates are per second, latencies are milliseconds, ratios are 0..1; null is "not known".

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
  slow_ms?: number; // the connection does not keep up, so events are so far apart
  demo?: boolean;
  envs?: string[];
  regions?: string[];
  strip?: Strip;
  findings?: Finding[] | null;
  services?: Row[] | null;
  figures?: (number | null)[];
  gone?: string[] | null;
}

export interface Instance {
  instance: string;
  host: string;
  state: string;
  reason: string;
  since: number;
  outcome: string;
  outcome_reason: string;
  age_ms: number | null;
  took_ms: number | null;
  version: string;
  zone: string;
  track: string;
  tags: Record<string, string> | null;
  facts?: Record<string, string> | null; // texts the application said
  rate: number | null;
  error_ratio: number | null;
  latency: number | null;
}

export interface Metric {
  name: string;
  kind: string;
  unit: string;
  window: string;
  fields?: string[] | null;
  labels?: string[] | null; // names of labels that it is counted apart by
  golden?: string; // rate, errors or latency where it is taken for that
  instances: number;
}

/** Objective is what a service promises, and how that stands. */
export interface Objective {
  name: string;
  target: number;
  under_ms?: number; // good requests take no longer; without it they are no errors
  window_ms: number;
  why?: string; // nothing can be said, and why
  good: number | null; // share of the last day's requests
  spent: number | null; // share of the whole budget that went within the last day
  alert: { level: Level } | null;
}

/** Burst is a closer look: a part of the service is pulled more often for a while. */
export interface Burst {
  id: string;
  slice: string;
  every_ms: number;
  at: number;
  until: number;
  by: string;
  why?: string;
  taken?: number;
  of?: number;
}

export interface ServiceAnswer {
  as_of: number;
  row: Row;
  instances: Instance[] | null;
  metrics: Metric[] | null;
  events: Mark[] | null;
  bursts?: Burst[] | null; // that are on
  objectives?: Objective[] | null;
}

export interface Line {
  name: string;
  instances: number;
  values: Values;
  lo?: Values | null;
  hi?: Values | null;
}

/** ReadBack says what of a while was read back from Kafka, as the server does not hold its values any more; from and to are 0 where nothing was. */
export interface ReadBack {
  from: number;
  to: number;
  whole: boolean;
  text: string;
}

export interface SeriesAnswer {
  metric: string;
  kind: string;
  field?: string;
  unit: string;
  agg: string;
  t0: number;
  step: number;
  of: string;
  as_of: number;
  series: Line[] | null;
  events: Mark[] | null;
  read_back?: ReadBack;
}

export interface HistoryAnswer {
  signal: string;
  t0: number;
  step: number;
  as_of: number;
  of: string;
  since: number | null; // what is known begins here
  series: Line[] | null;
}

export type Verdict = "pass" | "hold" | "fail";

export interface Side {
  name: string;
  version: string;
  instances: number;
  answering: number;
}

export interface Measured {
  name: string;
  kind: string;
  action: string;
  verdict: Verdict;
  text: string;
  what?: string;
  zone?: string;
  effect: number | null; // of a ratio the difference of shares, else a part of the baseline's level
  lo: number | null;
  hi: number | null;
  margin: number | null;
  sigmas: number | null;
  polls: number;
  hosts: [number, number] | null;
}

export interface Convergence {
  by: string;
  target: string;
  began: number | null;
  t50_ms: number | null;
  t95_ms: number | null;
  t100_ms: number | null;
  on: number;
  of: number;
  values: { value: string; instances: number }[] | null;
  stragglers: { instance: string; value: string; since: number }[] | null;
  reverts: { instance: string; t: number; to: string }[] | null;
}

export interface CanaryAnswer {
  as_of: number;
  service: string;
  env: string;
  verdict: Verdict;
  reason: string;
  at: number;
  by: string; // empty: there are no cohorts
  canary: Side | null;
  baseline: Side | null;
  zones?: string[];
  since: number;
  every_ms: number;
  polls: number;
  turns?: { t: number; verdict: Verdict }[] | null;
  warming: number;
  metrics: Measured[] | null;
  convergence: Convergence;
}

export interface CanariesAnswer {
  as_of: number;
  canaries: CanaryAnswer[] | null;
  left_out: number;
}

export interface Thrown {
  name: string;
  now: number | null;
  usual: number | null;
  first: number | null;
  line: Values;
}

export interface ExceptionsAnswer {
  as_of: number;
  step_ms: number;
  to: number;
  exceptions: Thrown[] | null;
  uses: Thrown[] | null;
  queues: Thrown[] | null;
}

export interface OnHost extends Instance {
  service: string;
  env: string;
}

export interface HostAnswer {
  as_of: number;
  host: string;
  instances: OnHost[] | null;
}

export interface DifferentAnswer {
  from: number;
  to: number;
  before: number;
  instances: number;
  differences: { metric: string; was: number | null; is: number | null; worse: boolean; only: string; cleared: string[] | null; share: number | null }[] | null;
  changes: Change[] | null;
  read_back?: ReadBack;
}

/** Delivery is where a collector's records are, and by which lane those that are delivered went. */
export interface Delivery {
  scraped: number;
  in_memory: number;
  spooled: number;
  acknowledged: number;
  lanes?: Record<string, number> | null;
  dropped: number;
}

export interface CollectorsAnswer {
  as_of: number;
  known: boolean;
  collectors: { collector: string; error?: string; delivery?: Delivery | null }[];
  shares: { by: string; instances: number }[];
  ledger: {
    records_seen: number;
    records_lost: number;
    records_duplicated: number;
    records_fenced: number;
    records_backfilled: number;
    freshness_ms: { p50: number | null; p99: number | null; count: number };
  };
}

/** Me is who asks, and what they may. */
export interface Me {
  name: string; // empty: nobody has signed in, and what one says of oneself counts
  role: string; // operator or viewer
  why?: string; // why what a viewer does would be refused
}

export interface BurstAnswer {
  slice?: string;
  until?: string;
  covers?: { taken: number; of: number };
}

export interface SearchAnswer {
  services: { service: string; env: string }[] | null;
  instances: { instance: string; service: string; env: string }[] | null;
  metrics: { metric: string; service: string; env: string }[] | null;
}

export interface RosterEntry {
  service: string;
  env: string;
  instance: string;
  state: string;
  reason: string;
  since: number | null;
  joined: number | null;
  verified: number | null;
  format: string;
  path: string;
  member: string;
  source?: string;
  cause?: string; // of one that departed
  excuse?: string; // why nobody misses it
  missing?: boolean;
  flaps?: number;
  outcome?: string; // of its newest scrape
  by?: string; // the collector that pulled it last
  tags: Record<string, string> | null;
}

/** What collectors were asked, and which did not answer; known is false where there is none to ask. Times in what they say are RFC 3339. */
export interface Known {
  as_of: number;
  known: boolean;
  collectors: { collector: string; error?: string }[];
}

export interface Order {
  id: string;
  kind: string; // freeze, accept, …
  path: string;
  by: string;
  why?: string;
  at: string;
  until: string;
  burst?: { service: string; env: string; tags?: Record<string, string>; instances?: number; every_ms: number };
}

export interface Guard {
  scope: string; // a path, or "fleet"
  source?: string;
  since: string;
  peak: number;
  now: number;
  held: number;
  answering: number;
  silent: number;
  verdict: string;
  frozen?: Order | null;
}

export interface GuardsAnswer extends Known {
  guards: Guard[];
  orders: Order[];
}

export interface PathState {
  source: string;
  path: string;
  service?: string;
  env?: string;
  members: number;
  unparsable: number;
  verified: string;
  live: boolean; // under watch: what changes is heard at once
  stale: boolean; // from a server without a quorum
  loaded: boolean; // from the disk of the last run
  error?: string;
  guard?: string;
}

export interface PathsAnswer extends Known {
  paths: PathState[];
  total: number;
}

export interface StoryEvent {
  at: string;
  what: string;
  detail?: string;
  zxid?: number;
}

export interface WhyAnswer {
  as_of: number;
  owner: string;
  sentences: string[];
  story: { events?: StoryEvent[] };
}

export interface SourceView {
  source: string;
  connected: boolean;
  live?: boolean; // what changes is heard at once
  read_only: boolean;
  server: string;
  last_heard: number | null;
  error: string;
}

export interface RosterAnswer {
  as_of: number;
  entries: RosterEntry[] | null;
  total?: number; // of which entries are the first
  counts: Record<string, number> | null;
  missing?: number; // of those who departed: nobody excuses it yet
  views: SourceView[] | null;
}

export interface FaultAnswer {
  fault: string;
  text: string;
}

/** A service's name in one environment: the key of rows, and of records in Kafka. */
export const rowKey = (r: { service: string; env: string }): string => r.service + "/" + r.env;
