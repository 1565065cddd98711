// A canary beside its baseline: the verdict, how it came to be, what it rests on; and how far the version has come.
import type { CanaryAnswer, Convergence, Measured, Verdict } from "../api/answers";
import { getCanary } from "../api/fetch";
import { usePoll } from "../api/poll";
import { count, percent, plural } from "../say/number";
import { at, clock, span, type Zone } from "../say/time";
import { useApp, useHref, useNow, useZone } from "../state/app";
import { servicePath } from "../state/route";
import { CopyButton } from "./copy";

export const levels: Record<Verdict, "bad" | "" | "warn"> = { fail: "bad", hold: "", pass: "" };
export const signs: Record<Verdict, string> = { fail: "▲ ", hold: "… ", pass: "✓ " };
const words: Record<Verdict, string> = { fail: "fails", hold: "not decided yet", pass: "passes" };

/** sentence is words as one says them by themselves. */
const sentence = (text: string): string => (text ? text[0]!.toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "");

/** anchor is where a card stands on its page. */
export const anchor = (a: { service: string; env: string }): string => `canary-${a.service}-${a.env}`;

const sides = (a: CanaryAnswer): string =>
  a.canary && a.baseline
    ? `${a.canary.version || a.canary.name}, ${plural(a.canary.instances, "instance")}, beside ${a.baseline.version || a.baseline.name}, ${plural(a.baseline.instances, "instance")}${
        a.zones?.length ? ` in ${a.zones.join(", ")}` : ""
      }`
    : "";

/** canaryText is a verdict for a chat. */
export function canaryText(a: CanaryAnswer, now: number, zone: Zone, link: string): string {
  const lines = [`${signs[a.verdict]}Canary of ${a.service} (${a.env}) ${words[a.verdict]}: ${a.reason}`, sides(a)];
  for (const m of a.metrics ?? []) lines.push(`${signs[m.verdict]}${m.zone ? `${m.zone}: ` : ""}${m.text}`);
  if (a.since) lines.push(`${plural(a.polls, "poll")} since ${at(a.since, zone, now)}`);
  const c = a.convergence;
  if (c.of) lines.push(`${c.target || "the newest"} is on ${c.on} of ${plural(c.of, "instance")}`);
  return [...lines.filter(Boolean), link].join("\n");
}

export function CanaryCard({ a, here = false }: { a: CanaryAnswer; here?: boolean }) {
  const zone = useZone();
  const now = useNow(10_000);
  const href = useHref();
  const { clock: server } = useApp();
  const link = href(servicePath(a.service), { env: a.env });
  return (
    <article id={here ? undefined : anchor(a)} class={`canary ${levels[a.verdict]}`} data-testid="canary" data-service={a.service} data-verdict={a.verdict}>
      <h3>
        <span class={`verdict ${levels[a.verdict]}`}>
          {signs[a.verdict]}
          {a.verdict}
        </span>
        {here ? (
          <span class="name">canary</span>
        ) : (
          <a href={link} data-in data-item>
            {a.service}
          </a>
        )}{" "}
        <span class="dim">{sides(a)}</span>
      </h3>
      <p class="only">{sentence(a.reason)}</p>
      <Turns a={a} />
      {!!a.metrics?.length && <Effects metrics={a.metrics} />}
      {!!a.metrics?.length && (
        <p class="dim legend-of">
          Each line: how far the canary is from its baseline (the dot), and where that surely lies (the bar); the middle is no difference, the tick is what would matter.
        </p>
      )}
      <p class="actions">
        <span class="dim">
          {a.since ? `${plural(a.polls, "poll")} since ${clock(a.since, zone, now, false)}` : "no poll yet"}
          {a.warming > 0 && `, ${count(a.warming)} warming up`}, by {a.by || "version"}
        </span>
        <CopyButton text={() => canaryText(a, server.now(), zone, location.origin + link)} />
      </p>
    </article>
  );
}

/** Turns is the verdict over time: one bar, its parts as long as the verdict stood. */
function Turns({ a }: { a: CanaryAnswer }) {
  const zone = useZone();
  const turns = a.turns ?? [];
  if (!a.since || turns.length === 0) return null;
  const to = Math.max(a.as_of, a.at);
  const whole = Math.max(1, to - a.since);
  const parts = turns.map((t, i) => {
    const from = i === 0 ? a.since : t.t;
    return { v: t.verdict, from, share: ((turns[i + 1]?.t ?? to) - from) / whole };
  });
  const said = parts.map((p) => `${p.v} from ${clock(p.from, zone, to)}`).join(", ");
  return (
    <div class="turns">
      <div class="bar-of" role="img" aria-label={`Verdict over time: ${said}`}>
        {parts.map((p, i) => (
          <span key={i} class={`turn ${p.v}`} style={{ flexGrow: Math.max(p.share, 0.004) }} title={`${p.v} from ${at(p.from, zone, to)}`}>
            {p.share > 0.12 ? p.v : ""}
          </span>
        ))}
      </div>
      <div class="axis">
        <span>{clock(a.since, zone, to, whole < 600_000)}</span>
        <span>{at(to, zone, to, whole < 600_000)}</span>
      </div>
    </div>
  );
}

/** reach is how far the axis of effects reaches: to the largest bound, and half a margin beyond the margin. */
function reach(m: Measured): number {
  const all = [m.effect, m.lo, m.hi].map((v) => Math.abs(v ?? 0));
  return Math.max(...all, 1.5 * Math.abs(m.margin ?? 0), 1e-9);
}

function Effects({ metrics }: { metrics: Measured[] }) {
  return (
    <ul class="effects" aria-label="Metrics, those with most evidence of harm first">
      {metrics.map((m, i) => {
        const most = reach(m);
        const x = (v: number | null): number => 50 + 50 * Math.max(-1, Math.min(1, (v ?? 0) / most));
        const known = m.effect != null && m.lo != null && m.hi != null;
        const level = m.verdict === "fail" ? (m.action === "fail" ? "bad" : "warn") : "";
        return (
          <li key={i} data-testid="effect" data-metric={m.name} data-verdict={m.verdict}>
            <span class="name">
              <b>{m.name}</b> {m.what && <span class="dim">{m.what}</span>} {m.zone && <span class="dim">in {m.zone}</span>}
            </span>
            <svg class={`effect ${level}`} viewBox="0 0 100 14" preserveAspectRatio="none" role="img" aria-label={m.text}>
              <path class="zero" d="M50 0V14" />
              {m.margin != null && <path class="margin" d={`M${x(m.margin)} 0V14`} />}
              {known && <path class="range" d={`M${x(m.lo)} 7H${x(m.hi)}`} />}
              {known && <path class="tip" d={`M${x(m.effect)} 7h.01`} />}
            </svg>
            <span class={level || "dim"}>
              {level && (level === "bad" ? "▲ " : "△ ")}
              {m.text}
            </span>
            <span class="dim says">
              {m.verdict}
              {m.hosts && `, ${m.hosts[1]} of ${m.hosts[0] + m.hosts[1]} hosts`}
              {m.action !== "fail" && ", decides nothing"}
            </span>
          </li>
        );
      })}
    </ul>
  );
}

/** Canary is a service's own section: its verdict where it has cohorts, and how far the newest version has come. */
export function Canary({ service, env }: { service: string; env: string }) {
  const polled = usePoll(`${service}/${env}`, 5000, (signal) => getCanary(service, env, signal));
  const a = polled.data;
  if (!a) return null;
  const c = a.convergence;
  const came = (c.values?.length ?? 0) > 1 || completed(c) != null;
  if (!a.by && !came) return null;
  const same = a.canary?.version && a.canary.version === a.baseline?.version ? a.canary.version : "";
  return (
    <section aria-label="Versions and canary" id="canary">
      <h2>
        <span>Versions and canary</span>
        {polled.error && <span class="warn">△ {polled.error.message}</span>}
      </h2>
      {same && a.polls === 0 ? (
        <p class="empty">No canary now: its track and the others both run {same}.</p>
      ) : a.by ? (
        <CanaryCard a={a} here />
      ) : (
        <p class="empty">No canary: {a.reason}.</p>
      )}
      {came && <Converge c={c} alone={a.by === "track" && !same && c.on <= (a.canary?.instances ?? 0)} />}
    </section>
  );
}

const mostStragglers = 12;

/** completed is when the newest version had come to all, where it came to one after the other; null: it has not, or nobody saw it come. */
export const completed = (c: Convergence): number | null => (c.began != null && c.t100_ms && c.on === c.of ? c.began + c.t100_ms : null);

/** alone: a canary runs it, and nobody else is meant to yet. */
function Converge({ c, alone }: { c: Convergence; alone: boolean }) {
  const zone = useZone();
  const now = useNow(10_000);
  const { router } = useApp();
  const behind = alone ? [] : (c.stragglers ?? []);
  const done = completed(c);
  return (
    <div class="converge" data-testid="convergence">
      <p>
        <b>{c.target || "The newest"}</b> is on {done != null ? `all ${count(c.of)} since ${at(done, zone, now)}` : `${count(c.on)} of ${count(c.of)} (${percent(c.of ? c.on / c.of : null)})`}
        {alone && ", the canary alone"}
        {c.began != null && `, first at ${at(c.began, zone, now)}`}
        {c.t50_ms != null && `; half after ${span(c.t50_ms)}`}
        {c.t95_ms != null && `, 95 % after ${span(c.t95_ms)}`}
        {c.t100_ms != null && `, all after ${span(c.t100_ms)}`}.
      </p>
      {behind.length > 0 && (
        <p class="dim">
          Not there yet:{" "}
          {behind.slice(0, mostStragglers).map((s, i) => (
            <span key={s.instance}>
              {i > 0 && ", "}
              <button type="button" class="link" onClick={() => router.change({ i: s.instance }, false)}>
                {s.instance}
              </button>{" "}
              on {s.value || "unknown"}
            </span>
          ))}
          {behind.length > mostStragglers && ` and ${count(behind.length - mostStragglers)} more`}
        </p>
      )}
      {!!c.reverts?.length && (
        <p class="warn">
          △ Went back: {c.reverts.slice(0, mostStragglers).map((r) => `${r.instance} to ${r.to} at ${clock(r.t, zone, now)}`).join(", ")}
        </p>
      )}
    </div>
  );
}
