// The charts of a finding's own time, on its page: what its services did before, while and after, whenever that was.
import { useMemo } from "preact/hooks";
import type { Metric } from "../api/answers";
import { about, type Finding, type Values } from "../api/contract";
import { getHistory, getService } from "../api/fetch";
import { usePoll } from "../api/poll";
import { Chart } from "../draw/chart";
import { before, countScale, errorScale, finite, signalOf, troubled, usualScale, type Scale, type Signal } from "../draw/scale";
import { count, milliseconds, percent, rate } from "../say/number";
import { span as length } from "../say/time";
import { useHref, useNow, useRegion } from "../state/app";
import { servicePath } from "../state/route";
import { several } from "./leads";
import { packed, whole } from "./metric";
import { SeriesChart } from "./series";

const minute = 60_000;
const slot = 10_000; // what is kept of the last day stands ten seconds apart

export interface While {
  from: number;
  to: number;
}

/** whileOf is the time that the charts show: as long before as it lasted, within bounds, and what came after. */
export function whileOf(f: Finding, now: number): While {
  const lasted = (f.ended ?? now) - f.since;
  const within = (ms: number, most: number): number => Math.min(Math.max(ms, 3 * minute), most * minute);
  const to = f.ended == null ? now : Math.min(now, f.ended + within(lasted / 2, 15));
  return { from: Math.floor((f.since - within(lasted, 30)) / slot) * slot, to: Math.ceil(to / slot) * slot };
}

const says: Record<Signal, { name: string; kept: string; say: (v: number | null | undefined) => string }> = {
  error_ratio: { name: "errors", kept: "error_ratio", say: percent },
  latency: { name: "latency", kept: "latency", say: milliseconds },
  rate: { name: "requests", kept: "rate", say: rate },
  answering: { name: "answering", kept: "instances", say: count },
};
const signals: Signal[] = ["error_ratio", "latency", "rate", "answering"];

interface OneProps {
  f: Finding;
  service: string;
  signal: Signal;
  at: While;
  title: preact.ComponentChildren;
  news: boolean;
}

/** peakOf is what a line was at its worst while the finding stood. */
export function peakOf(values: Values, t0: number, step: number, f: Pick<Finding, "since" | "ended">, signal: Signal): number | null {
  const then = finite(values.filter((_, i) => t0 + (i + 1) * step > f.since && t0 + i * step < (f.ended ?? Infinity)));
  if (then.length === 0) return null;
  return signal === "rate" || signal === "answering" ? Math.min(...then) : Math.max(...then);
}

/** One is a line of a service in the finding's time, as it is kept of the last day. */
function One({ f, service, signal, at, title, news }: OneProps) {
  const s = says[signal];
  const step = Math.ceil((at.to - at.from) / 300 / slot) * slot;
  const polled = usePoll(
    `${service}/${f.env}/${s.kept}/${at.from}/${f.ended == null ? "" : at.to}`,
    f.ended == null ? slot : 0,
    (signal) => getHistory({ service, env: f.env, signal: s.kept, by: "", from: at.from, to: at.to, step }, signal),
  );
  const a = polled.data;
  const lines = useMemo(() => (a ? whole(a).map((l) => ({ name: s.name, values: l.values })) : []), [a]);
  const values: Values = lines[0]?.values ?? [];
  const scale = (): Scale => {
    if (signal === "error_ratio") return errorScale([values]);
    if (signal === "answering") return countScale(values, Math.max(0, ...finite(values)));
    return usualScale(values, before(values, a?.t0 ?? at.from, a?.step ?? step, [[f.since, f.ended ?? Infinity]]));
  };
  const peak = a && f.ended != null ? peakOf(values, a.t0, a.step, f, signal) : null;
  const marks = useMemo(() => [f.since, f.ended ?? 0, ...(f.events ?? []).map((e) => e.t)].filter((t) => t > 0).map((t) => ({ t, text: "" })), [f.id, f.ended, f.events?.length]);
  return (
    <Chart
      name={s.name}
      title={title}
      lines={lines}
      t0={a?.t0 ?? at.from}
      step={a?.step ?? step}
      span={at}
      scale={scale()}
      say={s.say}
      marks={marks}
      level={news && f.ended == null ? f.level : ""}
      current={peak == null ? undefined : `${signal === "rate" || signal === "answering" ? "down to" : "up to"} ${s.say(peak)}`}
      height={130}
      note={polled.error && <span class="warn">△ {polled.error.message}</span>}
    />
  );
}

const mostServices = 12;

/** signalsOf are the lines by which several services show it: what it is about, and what else is in trouble in any of them. */
function signalsOf(f: Finding): Signal[] {
  const first = signalOf(f);
  const all = Object.values(f.signals ?? {}).flatMap((names) => [...troubled({ signals: names ?? [] })]);
  return [...new Set([...(first ? [first] : []), ...signals.filter((s) => all.includes(s))])].slice(0, 2);
}

export function Meanwhile({ f, signal }: { f: Finding; signal: Signal | null }) {
  const now = useNow(slot);
  const href = useHref();
  const at = whileOf(f, now);
  const all = about(f);
  return (
    <section aria-label="That while">
      <h2>
        <span>That while</span>
        <span>
          {length(at.to - at.from)} · dotted: when it began{f.ended != null && ", when it was over"}, and what happened before
        </span>
      </h2>
      {several(f) ? (
        signalsOf(f).map((s) => (
          <div key={s} class="cause">
            <h3 class="team">The {says[s].name} of each</h3>
            <div class="plots golden" data-testid="meanwhile">
              {all.slice(0, mostServices).map((service) => (
                <One
                  key={service}
                  f={f}
                  service={service}
                  signal={s}
                  at={at}
                  news
                  title={
                    <a href={href(servicePath(service), { env: f.env, from: String(f.since), to: String(f.ended ?? now) })} data-in>
                      {service}
                    </a>
                  }
                />
              ))}
            </div>
          </div>
        ))
      ) : (
        <div class="plots golden" data-testid="meanwhile">
          {signals.map((s) => (
            <One key={s} f={f} service={f.service} signal={s} at={at} title={says[s].name} news={s === signal} />
          ))}
        </div>
      )}
      {all.length > mostServices && <p class="dim">and {all.slice(mostServices).join(", ")}</p>}
      {!several(f) && !!f.where?.length && signal && signal !== "answering" && <Cause f={f} signal={signal} at={at} />}
    </section>
  );
}

const golden: Partial<Record<Signal, string>> = { error_ratio: "errors", latency: "latency", rate: "rate" };
/** mostBack is as much as is read back from Kafka at a time. */
const mostBack = 15 * minute;

/** Cause draws those who have it beside all: of a past that is not in memory any more it is read back from Kafka. */
function Cause({ f, signal, at }: { f: Finding; signal: Signal; at: While }) {
  const href = useHref();
  const region = useRegion();
  const polled = usePoll(`${f.service}/${f.env}/${region}`, 0, (signal) => getService(f.service, f.env, region, signal));
  const m: Metric | undefined = polled.data?.metrics?.find((x) => x.golden === golden[signal]);
  const where = f.where ?? [];
  if (!m) return null;
  const from = Math.max(at.from, f.since - 3 * minute);
  const w = f.ended == null ? { ms: Math.min(at.to - from, 60 * minute), from: 0, to: 0 } : { ms: 0, from, to: Math.min(at.to, from + mostBack) };
  const cause = /^Only (.+?): /s.exec(f.only)?.[1] ?? where.join(", ");
  return (
    <div class="cause">
      <SeriesChart
        service={f.service}
        env={f.env}
        metric={m.name}
        field=""
        by=""
        window={w}
        where={where}
        self={cause}
        beside={{ name: `all of ${f.service}`, shiftMs: 0, where: [] }}
        height={180}
        title={
          <>
            {m.name} <span class="dim">only {cause}</span>
          </>
        }
        extraMarks={[{ t: f.since, text: "" }]}
        actions={
          <a
            href={href("/explore", { env: f.env, service: f.service, metric: m.name, where: packed(where), ...(w.ms ? {} : { from: String(w.from), to: String(w.to) }) })}
            data-in
          >
            Explore
          </a>
        }
      />
    </div>
  );
}
