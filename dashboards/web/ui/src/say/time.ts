// Times and spans as people say them. A time always carries its zone, here or once beside a list of times.

export type Zone = "utc" | "local";

const two = (n: number): string => (n < 10 ? "0" : "") + n;
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

interface Parts {
  y: number;
  mo: number;
  d: number;
  h: number;
  mi: number;
  s: number;
}

function parts(t: number, zone: Zone): Parts {
  const d = new Date(t);
  return zone === "utc"
    ? { y: d.getUTCFullYear(), mo: d.getUTCMonth(), d: d.getUTCDate(), h: d.getUTCHours(), mi: d.getUTCMinutes(), s: d.getUTCSeconds() }
    : { y: d.getFullYear(), mo: d.getMonth(), d: d.getDate(), h: d.getHours(), mi: d.getMinutes(), s: d.getSeconds() };
}

/** zoneName is UTC, or what the browser calls its own zone at that time: CET, GMT+5:30. */
export function zoneName(t: number, zone: Zone): string {
  if (zone === "utc") return "UTC";
  const p = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(t);
  return p.find((x) => x.type === "timeZoneName")?.value ?? "local";
}

/** clock is 14:07:41 without its zone, for lists that say the zone once. Another day than now's is named. */
export function clock(t: number, zone: Zone, now: number, seconds = true): string {
  const p = parts(t, zone);
  const n = parts(now, zone);
  const time = `${two(p.h)}:${two(p.mi)}${seconds ? ":" + two(p.s) : ""}`;
  if (p.y === n.y && p.mo === n.mo && p.d === n.d) return time;
  return `${p.d} ${months[p.mo]}${p.y === n.y ? "" : " " + p.y} ${time}`;
}

/** at is clock with its zone: 14:07:41 UTC. */
export const at = (t: number, zone: Zone, now: number, seconds = true): string => `${clock(t, zone, now, seconds)} ${zoneName(t, zone)}`;

/** span is a length of time in one unit: 0.8 s, 14 s, 4 min, 6 h, 3 d. */
export function span(ms: number | null | undefined): string {
  if (ms == null || !Number.isFinite(ms)) return "–";
  const s = Math.max(0, ms) / 1000;
  if (s < 9.95) return s.toFixed(1) + " s";
  if (s < 119.5) return Math.round(s) + " s";
  if (s < 119.5 * 60) return Math.round(s / 60) + " min";
  if (s < 47.5 * 3600) return Math.round(s / 3600) + " h";
  return Math.round(s / 86400) + " d";
}

const windowUnits: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** parseWindow reads 15m, 1h, 90s as milliseconds; null for what is none. */
export function parseWindow(text: string): number | null {
  const m = /^(\d{1,6})([smhd])$/.exec(text);
  return m ? Number(m[1]) * (windowUnits[m[2] as string] ?? 0) || null : null;
}
