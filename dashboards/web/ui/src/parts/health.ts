// What is wrong with one instance, next to the others of its service, and to what its service did while nothing was wrong.
import type { Instance, Usual as Before } from "../api/answers";
import type { Level } from "../api/contract";
import { quantile } from "../draw/scale";
import { gravity } from "../say/level";
import { count, milliseconds, percent } from "../say/number";
import { span } from "../say/time";

/** Usual is what instances are held against: the others, and the time before. What the service did before is not known where it is null. */
export interface Usual {
  errors: number;
  latency: number;
  age: number;
  before: Before;
  /** hit are the service's signals that are in trouble: then all may be, and no instance is a measure of another. */
  hit: ReadonlySet<string>;
}

const nothing: Before = { error_ratio: null, latency: null };

export const errorsOf = (i: Instance): number | null => i.lately?.error_ratio ?? i.error_ratio;
export const latencyOf = (i: Instance): number | null => i.lately?.latency ?? i.latency;

/** usual is the middle of those that answer, beside what was before. */
export function usual(all: readonly Instance[], before: Before = nothing, hit: readonly string[] = []): Usual {
  const mid = (pick: (i: Instance) => number | null): number => {
    const m = quantile(
      all
        .filter((i) => i.outcome === "ok")
        .map(pick)
        .filter((v): v is number => v != null),
      0.5,
    );
    return Number.isFinite(m) ? m : 0;
  };
  return { errors: mid(errorsOf), latency: mid(latencyOf), age: mid((i) => i.age_ms), before, hit: new Set(hit) };
}

export interface Health {
  level: Level | "";
  word: string; // a sign or a word goes with each colour
}

/** factor is how many times what is usual is trouble: less where the whole service is known to be in it. */
const factor = (u: Usual, signal: string, alone: number): number => (u.hit.has(signal) ? 1.5 : alone);

/** failures weighs a share by how many errors it is made of: one failed request of a quiet instance is no news. */
export function failures(i: Instance, u: Usual): Level | "" {
  const share = errorsOf(i) ?? 0;
  const was = Math.min(u.errors, u.before.error_ratio ?? u.errors);
  if (share < 0.01 || share <= factor(u, "errors", 3) * was) return "";
  const requests = i.lately?.requests ?? i.rate ?? 0;
  const errors = share * requests;
  const expected = was * requests;
  if (errors < expected + 3 * Math.sqrt(expected) + 2) return ""; // chance does as much
  return share >= 0.05 ? "bad" : "warn";
}

export function slow(i: Instance, u: Usual): boolean {
  const ms = latencyOf(i);
  if (ms == null) return false;
  const than = (of: number | null, times: number): boolean => of != null && of > 0 && ms > times * of && ms > of + 20;
  return than(u.latency, 2.5) || than(u.before.latency, factor(u, "latency", 2.5));
}

/** health puts the gravest thing first: who is not there can not fail, who does not answer can not be slow. */
export function health(i: Instance, u: Usual): Health {
  if (i.state === "filtered") return { level: "", word: i.state };
  if (i.state === "departed") return i.missing ? { level: "bad", word: "missing" } : { level: "", word: "departed" };
  if (i.state === "unparsable") return { level: "bad", word: "unparsable" };
  if (i.outcome && i.outcome !== "ok") return { level: i.outcome === "skipped" ? "warn" : "bad", word: i.outcome.replace("_", " ") };
  const failing = failures(i, u);
  if (failing) return { level: failing, word: `errors ${percent(errorsOf(i))}` };
  if (i.age_ms == null && i.outcome === "") return { level: "warn", word: "not asked yet" };
  if (i.age_ms != null && i.age_ms > Math.max(10_000, 4 * u.age)) return { level: "warn", word: `silent for ${span(i.age_ms)}` };
  if (i.state !== "present") return { level: "warn", word: i.state };
  if (slow(i, u)) return { level: "warn", word: `slow, ${milliseconds(latencyOf(i))}` };
  return { level: "", word: "ok" };
}

/** rank puts the worst first: by level, then who does not answer at all before those with most errors. */
export const rank = (h: Health, i: Instance): number => 2 * gravity[h.level] - (!h.level ? 0 : h.word.startsWith("errors ") ? (errorsOf(i) ?? 0) : h.level === "bad" ? 1 : 0);

/** alike says what all who are in trouble have in common with everybody: "all 18 fail: 5.2 % to 17 %, usually 0.20 %"; "" where some are well. */
export function alike(all: readonly Instance[], judged: readonly Health[], u: Usual): string {
  const there = all.filter((i) => i.outcome === "ok");
  if (there.length < 2 || judged.filter((h) => h.level !== "" && h.word.startsWith("errors ")).length < there.length) return "";
  const shares = there.map(errorsOf).filter((v): v is number => v != null);
  const was = u.before.error_ratio;
  return `all ${count(there.length)} fail: ${percent(Math.min(...shares))} to ${percent(Math.max(...shares))}${was == null ? "" : `, usually ${percent(was)}`}`;
}

/** network is who announces the address, where the enricher knew: short enough for a column. */
export function network(tags: Record<string, string> | null): string {
  const org = tags?.["host.as.organization.name"] ?? tags?.["as.organization.name"];
  const number = tags?.["host.as.number"] ?? tags?.["as.number"];
  return [number && "AS" + number, org].filter(Boolean).join(" ");
}

/** reasonOf is what the roster and the newest scrape say of somebody who is not there, or not as he should be. */
export const reasonOf = (i: Instance): string => [i.reason, i.excuse, i.state !== "departed" && i.outcome_reason].filter(Boolean).join("; ");
