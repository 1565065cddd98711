// Numbers as people read them: small ones keep two digits or become a rate, and "not known" is never zero.

export const unknown = "–";

const has = (n: number | null | undefined): n is number => n != null && Number.isFinite(n);

/** sig gives n with so many significant digits, never in exponent form: sig(0.0312, 2) is "0.031". */
export function sig(n: number, digits: number): string {
  if (n === 0) return "0";
  const decimals = Math.min(12, Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(n)) + 1e-12)));
  const s = n.toFixed(decimals);
  // 9.97 with two digits becomes "10.0": one digit too many.
  return decimals > 0 && s.replace(/[-.]/g, "").replace(/^0+/, "").length > digits ? n.toFixed(decimals - 1) : s;
}

/** count is a whole number with its thousands apart: 2,032. */
export const count = (n: number | null | undefined): string =>
  has(n)
    ? Math.round(n)
        .toString()
        .replace(/\B(?=(\d{3})+$)/g, ",")
    : unknown;

/** plural is "1 instance", "2 instances". */
export const plural = (n: number, one: string, many = one + "s"): string => `${count(n)} ${n === 1 ? one : many}`;

const scales: [number, string][] = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

/** quantity is a number of any size in at most four characters and a letter: 18.4k, 312, 4.2, 0.035. */
export function quantity(n: number | null | undefined): string {
  if (!has(n)) return unknown;
  const abs = Math.abs(n);
  for (const [by, letter] of scales) {
    // 999.7k would be rounded to 1000k.
    if (abs >= by * 0.99955) return sig(n / by, 3) + letter;
  }
  if (abs >= 99.5 || Number.isInteger(n)) return n.toFixed(0);
  if (abs >= 10) return Number.isInteger(Math.round(n * 10) / 10) ? n.toFixed(0) : n.toFixed(1);
  if (abs < 1e-4) return n === 0 ? "0" : n.toExponential(1);
  return sig(n, 2);
}

/** rate is so many a second; what is rarer than one in ten seconds is told by the minute or the hour. */
export function rate(n: number | null | undefined): string {
  if (!has(n)) return unknown;
  if (n === 0) return "0/s";
  const abs = Math.abs(n);
  if (abs >= 1000) return quantity(n) + "/s";
  if (abs >= 9.95) return n.toFixed(0) + "/s";
  if (abs >= 0.1) return sig(n, 2) + "/s";
  if (abs * 60 >= 0.1) return sig(n * 60, abs * 60 >= 1 ? 2 : 1) + "/min";
  return sig(n * 3600, 1) + "/h";
}

/** percent is a ratio in two digits: 3.1 %, 0.31 %, 31 %. It reaches 0 % and 100 % only when it is. */
export function percent(r: number | null | undefined): string {
  if (!has(r)) return unknown;
  if (r === 0 || r === 1) return `${r * 100} %`;
  if (r < 1e-4) return "< 0.01 %";
  if (r > 0.99 && r < 1) return r > 0.999 ? "> 99.9 %" : (Math.floor(r * 1000) / 10).toFixed(1) + " %";
  return sig(r * 100, 2) + " %";
}

/** errors is a share where it can be read as one, and a rate below 0.05 %: "48/s", never "0.0 %". */
export function errors(ratio: number | null | undefined, requests: number | null | undefined, perSecond?: number | null): string {
  if (!has(ratio)) return has(perSecond) ? rate(perSecond) : unknown;
  if (ratio >= 0.0005) return percent(ratio);
  if (has(perSecond)) return rate(perSecond);
  return has(requests) ? rate(ratio * requests) : percent(ratio);
}

/** axisText is what a value on an axis says: 5 %, not 5.0 %. */
export const axisText = (said: string): string => said.replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");

interface Unit {
  by: number;
  name: string;
}
const unitOf = (ms: number): Unit => (ms >= 1000 ? { by: 1000, name: "s" } : ms >= 1 || ms === 0 ? { by: 1, name: "ms" } : { by: 0.001, name: "µs" });

/** milliseconds is a latency in the unit that fits: 212 ms, 1.2 s, 35 µs. */
export function milliseconds(ms: number | null | undefined): string {
  if (!has(ms)) return unknown;
  const u = unitOf(Math.abs(ms));
  const n = ms / u.by;
  return `${Math.abs(n) >= 9.95 ? n.toFixed(0) : sig(n, 2)} ${u.name}`;
}

/** interval is an estimate with how far off it may be: 212 ± 9 ms. The wider side speaks for both. */
export function interval(l: { est: number | null; lo: number | null; hi: number | null } | null | undefined): string {
  if (!l || !has(l.est)) return unknown;
  if (!has(l.lo) || !has(l.hi)) return milliseconds(l.est);
  const u = unitOf(l.est);
  const half = Math.max(l.est - l.lo, l.hi - l.est, 0) / u.by;
  const est = l.est / u.by;
  if (half < est / 1000 || half === 0) return milliseconds(l.est);
  const decimals = half >= 0.95 ? 0 : Math.min(2, Math.max(1, Math.ceil(-Math.log10(half) - 0.02)));
  const h = half.toFixed(decimals);
  if (Number(h) === 0) return milliseconds(l.est);
  return `${est.toFixed(decimals)} ± ${h} ${u.name}`;
}

/** absent says why not everybody answers: who left without an excuse is missing, as on the roster; who is there and does not answer is silent. */
export function absent(r: { expected: number; answering: number; missing?: number }): string {
  const missing = r.missing ?? 0;
  const silent = r.expected - r.answering - missing;
  return [missing > 0 && `${count(missing)} missing`, silent > 0 && `${count(silent)} silent`].filter(Boolean).join(", ");
}
