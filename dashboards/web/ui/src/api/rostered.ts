// The shapes of the roster, and of what its collectors say of it; contract.ts says in which units.

export interface RosterEntry {
  service: string;
  env: string;
  owner: string;
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
