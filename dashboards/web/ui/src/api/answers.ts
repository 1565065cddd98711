// The shapes of what a service, a canary, a host and the rest answer when they are asked; contract.ts says in which units.
import type { Change, Level, Mark, Row, Values } from "./contract";

export interface Instance {
  instance: string;
  host: string;
  state: string;
  reason: string;
  since: number;
  missing?: boolean; // it departed, and nothing excuses it
  excuse?: string; // why nobody misses it
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
  lately?: Lately | null; // what it did in the last half minute
}

export interface Lately {
  seconds: number;
  requests: number | null;
  errors: number | null;
  error_ratio: number | null;
  latency: number | null;
}

/** Usual is what a service did while nothing was wrong with it. */
export interface Usual {
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
  usual?: Usual;
  bounds?: { t0: number; step: number; lo: Values; hi: Values }; // of the latency of the row's spark
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
  usual?: Usual; // of its service
  lines?: { t0: number; step: number; rate: Values; error_ratio: Values; latency: Values } | null;
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
  before_to: number; // earlier than from: right before it there was trouble
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
  hosts: { host: string; n: number }[] | null; // n instances on it
  instances: { instance: string; service: string; env: string }[] | null;
  metrics: { metric: string; service: string; env: string }[] | null;
}

export interface FaultAnswer {
  fault: string;
  text: string;
}
