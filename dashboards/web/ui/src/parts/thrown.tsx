// What stands beside a service's golden signals: its exceptions by class, what runs full and what waits.
import { useMemo } from "preact/hooks";
import type { Thrown as Line } from "../api/answers";
import { getExceptions } from "../api/fetch";
import { usePoll } from "../api/poll";
import { finite, nice } from "../draw/scale";
import { Spark } from "../draw/spark";
import { percent, plural, quantity, rate } from "../say/number";
import { at, span as length } from "../say/time";
import { useNow, useZone } from "../state/app";

type Kind = "exceptions" | "uses" | "queues";
const heads: Record<Kind, string> = { exceptions: "Exceptions", uses: "How full", queues: "What waits" };
const says: Record<Kind, (v: number | null) => string> = { exceptions: rate, uses: percent, queues: quantity };

/** rose: is it worth a word? One that is thrown or waits three times more than it did, or that was never there; what is nine tenths full. */
const rose = (kind: Kind, l: Line): boolean => {
  const now = l.now ?? 0;
  if (kind === "uses") return now >= 0.9;
  return now > 0 && (l.first != null || now > 3 * (l.usual ?? 0)) && now >= (kind === "queues" ? 10 : 0.5);
};

export function Thrown({ service, env }: { service: string; env: string }) {
  const polled = usePoll(`${service}/${env}`, 3000, (signal) => getExceptions(service, env, signal));
  const a = polled.data;
  if (!a) return null;
  const kinds = (["exceptions", "uses", "queues"] as const).filter((k) => a[k]?.length);
  if (kinds.length === 0) return null;
  return (
    <section aria-label="Exceptions and what runs full" id="exceptions">
      {kinds.map((k) => (
        <div key={k}>
          <h2>
            <span>{heads[k]}</span>
            <span>{plural(a[k]?.length ?? 0, k === "exceptions" ? "class" : "line", k === "exceptions" ? "classes" : "lines")}</span>
          </h2>
          <ul class="thrown">
            {(a[k] ?? []).map((l) => (
              <One key={l.name} l={l} kind={k} step={a.step_ms} to={a.to} />
            ))}
          </ul>
        </div>
      ))}
    </section>
  );
}

function One({ l, kind, step, to }: { l: Line; kind: Kind; step: number; to: number }) {
  const zone = useZone();
  const now = useNow(10_000);
  const t0 = to - l.line.length * step;
  const scale = useMemo(() => ({ lo: 0, hi: kind === "uses" ? 1 : nice(finite(l.line).reduce((a, b) => Math.max(a, b), 0) || 1) }), [l.line, kind]);
  const say = says[kind];
  const level = rose(kind, l) ? "warn" : "";
  return (
    <li data-testid="thrown" data-name={l.name}>
      <span class="name">{l.name}</span>
      <Spark label={`${l.name} over ${length(to - t0)}, now ${say(l.now)}`} values={l.line} t0={t0} step={step} span={{ from: t0, to }} scale={scale} level={level} />
      <b class={`figure ${level}`}>
        {level && "△ "}
        {say(l.now)}
      </b>
      <span class="dim">
        {l.first != null ? `first seen ${at(l.first, zone, now)}` : `usually ${say(l.usual)}`}
      </span>
    </li>
  );
}
