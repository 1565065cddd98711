// The services of one connection, as its events change them.
import { rowKey, type Latency, type Row, type RowsEvent, type SparkData } from "./contract";
import { orNull, Past } from "./past";

/** figures is how many numbers a row has among an event's, after the number of the row itself: rate, errors, error_ratio, and the latency's lo, hi and est. */
const figures = 6;
const [rate, errors, errorRatio, lo, hi, est] = [0, 1, 2, 3, 4, 5];

export type Figure = "rate" | "errors" | "error_ratio" | "latency";
const places: Record<Figure, number> = { rate, errors, error_ratio: errorRatio, latency: est };

/** Held is what is known of one service. */
class Held {
  words!: Row; // all but its figures and its lines
  readonly now = new Float64Array(figures); // NaN: not known
  past: Past | null = null;
  asOf = 0; // of the figures
  given = false; // the lines came with them
  made: Row | null = null; // for who asked since it changed last
}

/** LiveRow is a row as it is at a moment, made for who looks at it. */
class LiveRow {
  readonly #past: Past | null;
  readonly #asOf: number;
  readonly #given: boolean;
  #spark: SparkData | undefined;

  constructor(h: Held) {
    this.#past = h.past;
    this.#asOf = h.asOf;
    this.#given = h.given;
    const f = h.now;
    const latency: Latency | null = h.words.latency && { name: h.words.latency.name, lo: orNull(f[lo]), hi: orNull(f[hi]), est: orNull(f[est]) };
    Object.assign(this, h.words, { rate: orNull(f[rate]), errors: orNull(f[errors]), error_ratio: orNull(f[errorRatio]), latency });
  }

  get spark(): SparkData | undefined {
    return (this.#spark ??= this.#past?.now(this as unknown as Row, this.#asOf, this.#given));
  }
}

/**
 * Rows is all services of a connection. They change in place: figures of thousands that are others each second are written over, so that there is nothing to
 * collect, and become a row where one is asked for. A row that did not change is the same object, so that what shows it is not drawn again.
 */
export class Rows {
  private readonly held = new Map<string, Held>();
  private readonly numbered: Held[] = []; // in the order in which they first came
  /** shape is another object whenever who is there, whose it is or how much it is in trouble has changed: what an order of all rows depends on. */
  shape: object = {};
  /** said is another object whenever anything but figures has changed. */
  said: object = {};

  get size(): number {
    return this.held.size;
  }

  /** keys are those who are there, in the order in which they came. */
  keys(): Iterable<string> {
    return this.held.keys();
  }

  /** words is a row without its lines, whose figures may be of a while ago. */
  words(key: string): Row | undefined {
    return this.held.get(key)?.words;
  }

  /** all is everyone's words. */
  all(): Row[] {
    return Array.from(this.held.values(), (h) => h.words);
  }

  get(key: string): Row | undefined {
    const h = this.held.get(key);
    return h && (h.made ??= new LiveRow(h) as unknown as Row);
  }

  /** figure is one figure of now; the latency's is its estimate. */
  figure(key: string, of: Figure): number | null {
    return orNull(this.held.get(key)?.now[places[of]]);
  }

  /** topErrors is the highest error ratio of a service's past and now, or -Infinity. */
  topErrors(key: string): number {
    const h = this.held.get(key);
    return Math.max(h?.past?.topErrors ?? -Infinity, orNull(h?.now[errorRatio]) ?? -Infinity);
  }

  /** begins is since when each is known. */
  *begins(): Iterable<number> {
    for (const h of this.held.values()) if (h.past) yield h.past.begins;
  }

  /** take takes in the rows and the figures of an event, or of a part of one. */
  take(e: RowsEvent): void {
    for (const r of e.services ?? []) this.put(r, e.as_of);
    const f = e.figures ?? [];
    for (let i = 0; i + figures < f.length; i += figures + 1) {
      const h = this.numbered[f[i] as number];
      if (!h) continue;
      for (let n = 0; n < figures; n++) h.now[n] = f[i + 1 + n] ?? NaN;
      h.asOf = e.as_of;
      h.given = false;
      h.made = null;
    }
  }

  private put(r: Row, asOf: number): void {
    const key = rowKey(r);
    const { spark, tip, ...words } = r;
    let h = this.held.get(key);
    if (!h || h.words.owner !== r.owner || h.words.trouble !== r.trouble) this.shape = {};
    this.said = {};
    if (!h) {
      h = new Held();
      this.held.set(key, h);
      this.numbered.push(h);
    }
    h.words = words;
    h.now.set([r.rate, r.errors, r.error_ratio, r.latency?.lo, r.latency?.hi, r.latency?.est].map((x) => x ?? NaN));
    if (spark) h.past = new Past(spark);
    else if (tip) h.past?.take(tip);
    h.asOf = asOf;
    h.given = !!spark;
    h.made = null;
  }

  /** drop forgets those who are gone. */
  drop(keys: readonly string[]): void {
    for (const key of keys) if (this.held.delete(key)) this.said = this.shape = {};
  }
}
