// ZooKeeper itself, beside the services that are found through it: roles, watches, requests that wait, latency.
import type { Instance, SeriesAnswer } from "../api/answers";
import { getRoster, getSeries, getService } from "../api/fetch";
import { usePoll } from "../api/poll";
import { Spark } from "../draw/spark";
import { count, quantity } from "../say/number";
import { useApp, useHref, useNow } from "../state/app";
import { servicePath } from "../state/route";
import { useStore } from "../state/store";

const service = "zookeeper";
const windowMs = 5 * 60_000;

/** figures are what a server says of itself; lo is the smallest top of the scale, so that a calm server draws a calm line. */
const figures = [
  { metric: "zk_watch_count", name: "watches", top: 100 },
  { metric: "zk_outstanding_requests", name: "waiting", top: 10 },
  { metric: "zk_avg_latency", name: "latency, ms", top: 10 },
] as const;

export const roleOf = (i: Instance): string => i.facts?.zk_server_state || i.tags?.["zookeeper.role"] || "";

/** Ensemble shows nothing where ZooKeeper is not scraped. It may stand in another environment than those that it serves. */
export function Ensemble() {
  const own = usePoll("ensemble", 30_000, (signal) => getRoster({ env: "", service, state: "", q: "", sort: "", limit: "1" }, signal)).data?.entries?.[0];
  return own ? <Servers env={own.env} /> : null;
}

function Servers({ env }: { env: string }) {
  const { stream, clock } = useApp();
  const href = useHref();
  const now = useNow(5000);
  useStore(stream.known, (k) => k.said);
  const detail = usePoll("ensemble " + env, 5000, (signal) => getService(service, env, "", signal)).data;
  const asked = detail?.metrics?.map((m) => m.name) ?? [];
  const drawn = figures.filter((f) => asked.includes(f.metric));
  const series = usePoll(drawn.length > 0 ? `ensemble ${env} ${drawn.map((f) => f.metric).join()}` : null, 5000, (signal) =>
    Promise.all(
      drawn.map((f) =>
        getSeries({ service, env, metric: f.metric, field: "", by: "instance", where: [], region: "", from: clock.now() - windowMs, to: clock.now(), step: 5000 }, signal),
      ),
    ),
  ).data;
  const instances = [...(detail?.instances ?? [])].sort((a, b) => roleOf(a).localeCompare(roleOf(b)) || a.instance.localeCompare(b.instance));
  if (instances.length === 0) return null;
  const dependants = stream.known.get().rows.all().filter((r) => r.service !== service && r.service !== "rollcall");
  const shown = dependants.sort((a, b) => b.trouble - a.trouble || a.service.localeCompare(b.service)).slice(0, 16);
  return (
    <section class="ensemble" aria-label="ZooKeeper" data-testid="ensemble">
      <h2>
        <span>ZooKeeper</span> <span>5 min</span>
      </h2>
      <div class="cards">
        {instances.map((i) => (
          <Server key={i.instance} i={i} drawn={drawn} series={series} now={now} href={href(servicePath(service), { env, i: i.instance })} />
        ))}
      </div>
      {shown.length > 0 && (
        <p class="dependants">
          <span class="dim">Found through it:</span>{" "}
          {shown.map((r) => (
            <a key={r.service} href={href(servicePath(r.service), { env: r.env })} data-in class={r.trouble === 2 ? "bad" : r.trouble === 1 ? "warn" : ""}>
              {r.trouble > 0 && <span aria-hidden="true">{r.trouble === 2 ? "▲ " : "△ "}</span>}
              {r.service} {count(r.answering)} of {count(r.expected)}
            </a>
          ))}
          {dependants.length > shown.length && <span class="dim">and {count(dependants.length - shown.length)} more</span>}
        </p>
      )}
    </section>
  );
}

interface ServerProps {
  i: Instance;
  drawn: readonly (typeof figures)[number][];
  series: SeriesAnswer[] | null;
  now: number;
  href: string;
}

function Server({ i, drawn, series, now, href }: ServerProps) {
  const role = roleOf(i);
  const dead = i.outcome !== "" && i.outcome !== "ok";
  return (
    <article class="card" data-testid="zookeeper-server" data-role={role}>
      <header>
        <a href={href} data-in>
          {i.instance}
        </a>
        <span class={dead ? "bad" : "dim"}>{dead ? `▲ ${i.outcome_reason || i.outcome}` : role || "–"}</span>
      </header>
      {drawn.map((f, n) => {
        const answer = series?.[n];
        const line = answer?.series?.find((l) => l.name === i.instance);
        const values = line?.values ?? [];
        const last = values.findLast((v) => v != null) ?? null;
        const top = Math.max(f.top, ...values.map((v) => v ?? 0));
        return (
          <div class="figure" key={f.metric}>
            <span class="dim">{f.name}</span>
            {answer && <Spark label={`${f.name} of ${i.instance}`} values={values} t0={answer.t0} step={answer.step} span={{ from: now - windowMs, to: now }} scale={{ lo: 0, hi: top }} height={18} />}
            <b>{quantity(last)}</b>
          </div>
        );
      })}
    </article>
  );
}
