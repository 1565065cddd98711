// How the values of a metric are said, from what is known of it.
import { milliseconds, percent, quantity, rate } from "./number";

export type Say = (v: number | null | undefined) => string;

const bytes: Say = (v) => {
  if (v == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let i = 0;
  let n = v;
  for (; Math.abs(n) >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${quantity(n)} ${units[i]}`;
};

/** sayer gives the words for a metric: by its unit where one is known, else by the end of its name. */
export function sayer(m: { metric: string; field?: string; unit: string; kind?: string }): Say {
  const unit = m.unit.toLowerCase();
  if (unit === "per second" || unit === "1/s" || unit === "/s") return rate;
  if (unit === "bytes per second") return (v) => (v == null ? "–" : `${bytes(v)}/s`);
  if (unit.endsWith(" per second")) return (v) => (v == null ? "–" : `${quantity(v)} ${m.unit.slice(0, -" per second".length)}/s`);
  if (unit === "percent" || unit === "%") return (v) => (v == null ? "–" : `${quantity(v)} %`);
  if (m.field === "count") return quantity;
  const name = m.metric.toLowerCase();
  if (unit === "ms" || unit === "milliseconds" || (!unit && /(_ms|_millis|_milliseconds|_msec)$/.test(name))) return milliseconds;
  if (unit === "us" || unit === "µs" || unit === "microseconds" || (!unit && /(_us|_micros|_microseconds)$/.test(name)))
    return (v) => milliseconds(v == null ? v : v / 1000);
  if (unit === "ns" || unit === "nanoseconds" || (!unit && /(_ns|_nanos|_nanoseconds)$/.test(name)))
    return (v) => milliseconds(v == null ? v : v / 1e6);
  if (unit === "s" || unit === "seconds" || (!unit && /_seconds$/.test(name))) return (v) => milliseconds(v == null ? v : v * 1000);
  if (unit === "bytes" || (!unit && /_bytes$/.test(name))) return bytes;
  if (unit === "ratio" || (!unit && /_ratio$/.test(name))) return percent;
  return unit ? (v) => (v == null ? "–" : `${quantity(v)} ${m.unit}`) : quantity;
}
