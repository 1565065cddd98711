// What is wrong with one instance, next to the others of its service.
import type { Instance } from "../api/answers";
import type { Level } from "../api/contract";
import { quantile } from "../draw/scale";
import { milliseconds, percent } from "../say/number";
import { span } from "../say/time";

export interface Usual {
  errors: number;
  latency: number;
  age: number;
}

/** usual is the middle of those that answer. */
export function usual(all: readonly Instance[]): Usual {
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
  return { errors: mid((i) => i.error_ratio), latency: mid((i) => i.latency), age: mid((i) => i.age_ms) };
}

export interface Health {
  level: Level | "";
  word: string; // a sign or a word goes with each colour
}

/** failures weighs a share by how many errors a second it is: one failed request of a quiet instance is no news. */
function failures(i: Instance, u: Usual): Level | "" {
  const share = i.error_ratio ?? 0;
  if (share < 0.01 || share <= 4 * u.errors) return "";
  const perSecond = share * (i.rate ?? 0);
  if (share >= 0.2 && perSecond >= 2) return "bad";
  return share >= 0.5 || (share >= 0.05 && perSecond >= 2) || perSecond >= 5 ? "warn" : "";
}

const asIs = new Set(["filtered"]);

/** health puts the gravest thing first: who is not there can not fail, who does not answer can not be slow. */
export function health(i: Instance, u: Usual): Health {
  if (asIs.has(i.state)) return { level: "", word: i.state };
  if (i.state === "departed") return { level: "bad", word: "departed" };
  if (i.state === "unparsable") return { level: "bad", word: "unparsable" };
  if (i.outcome && i.outcome !== "ok") return { level: i.outcome === "skipped" ? "warn" : "bad", word: i.outcome.replace("_", " ") };
  const failing = failures(i, u);
  if (failing) return { level: failing, word: `errors ${percent(i.error_ratio)}` };
  if (i.age_ms == null && i.outcome === "") return { level: "warn", word: "not asked yet" };
  if (i.age_ms != null && i.age_ms > Math.max(10_000, 4 * u.age)) return { level: "warn", word: `silent for ${span(i.age_ms)}` };
  if (i.state !== "present") return { level: "warn", word: i.state };
  if (i.latency != null && u.latency > 0 && i.latency > 2.5 * u.latency && i.latency > u.latency + 20)
    return { level: "warn", word: `slow, ${milliseconds(i.latency)}` };
  return { level: "", word: "ok" };
}
