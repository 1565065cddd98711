// What was different in a window that the reader has drawn over a chart: where a service did worse than before, and what changed when it began.
import { getDifferent } from "../api/fetch";
import { usePoll } from "../api/poll";
import { milliseconds, percent, plural, rate } from "../say/number";
import { at, clock, span as length } from "../say/time";
import { Back, Reading } from "./back";
import { useApp, useHref, useNow, useRoute, useZone } from "../state/app";
import { servicePath } from "../state/route";

const names: Record<string, string> = { errors: "Errors", latency: "Latency", rate: "Requests" };
const says: Record<string, (v: number | null) => string> = { errors: percent, latency: milliseconds, rate };

/** judged is what is said of a signal that no place is named for: what is not known was neither better nor worse. */
export function judged(d: { was: number | null; is: number | null; worse: boolean }): string {
  if (d.is == null) return "not known in this window";
  if (d.was == null) return "not known before";
  return d.worse ? "No place stands out." : "no worse than before";
}

/** besides is what a chart shows that the answer is not about: it is always of the whole service and of its signals. */
export function Different({ service, env, besides = "" }: { service: string; env: string; besides?: string }) {
  const { router } = useApp();
  const { query } = useRoute();
  const zone = useZone();
  const now = useNow(10_000);
  const href = useHref();
  const from = Number(query.from);
  const to = Number(query.to);
  const asked = !!service && !!query.from && !!query.to && Number.isFinite(from) && Number.isFinite(to) && to > from;
  const polled = usePoll(asked ? `${service}/${env}/${from}/${to}` : null, 0, (signal) => getDifferent(service, env, from, to, signal));
  if (!asked) return null;
  const a = polled.data;
  const blind = !!a && (a.differences ?? []).every((d) => d.is == null);
  return (
    <section class="different" aria-label="What was different" data-testid="different">
      <h2>
        <span>What was different</span>
        <span>
          {clock(from, zone, now)} to {at(to, zone, now)}, {length(to - from)}
          {a && (a.before_to < a.from ? `, beside ${clock(a.before, zone, now)} to ${at(a.before_to, zone, now)}, when nothing was wrong` : `, beside the ${length(a.from - a.before)} before`)}
          <Back of={a?.read_back} />{" "}
          <button type="button" class="link" onClick={() => router.change({ from: undefined, to: undefined }, false)} data-testid="different-close">
            Close
          </button>
        </span>
      </h2>
      {polled.error && <p class="warn">△ {polled.error.message}.</p>}
      {!a && !polled.error && (
        <p class="empty">
          Comparing {service} with itself … <Reading />
        </p>
      )}
      {a && (
        <>
          {blind && <p class="empty">Nothing is known of {service} in this window.</p>}
          {besides && (
            <p class="dim">
              Asked of all of {service}, of its errors, latency and requests: {besides} is not asked about.
            </p>
          )}
          <ul class="differences">
            {(blind ? [] : (a.differences ?? [])).map((d) => {
              const say = says[d.metric] ?? percent;
              return (
                <li key={d.metric} data-testid="difference" data-metric={d.metric}>
                  <b>{names[d.metric] ?? d.metric}</b>{" "}
                  <span class="figure">
                    {say(d.was)} → {say(d.is)}
                  </span>{" "}
                  {d.only || <span class="dim">{judged(d)}</span>}
                  {!!d.cleared?.length && <span class="dim"> Cleared: {d.cleared.join(" · ")}</span>}
                </li>
              );
            })}
          </ul>
          <ol class="endeds">
            {(a.changes ?? []).map((c, i) => (
              <li key={i}>
                <time>{clock(c.t, zone, now)}</time>
                {c.service && c.service !== service ? (
                  <a href={href(servicePath(c.service), { env: c.env })} data-in>
                    {c.service}
                  </a>
                ) : null}
                <span>{c.text}</span>
              </li>
            ))}
          </ol>
          <p class="dim">{a.changes?.length ? `${plural(a.changes.length, "change")} from two minutes before it to its end, over all services.` : "Nothing else is known to have changed from two minutes before it to its end."}</p>
        </>
      )}
    </section>
  );
}
