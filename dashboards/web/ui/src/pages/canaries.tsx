// Every pair of cohorts with its verdict, those that fail first.
import { getCanaries } from "../api/fetch";
import { usePoll } from "../api/poll";
import { anchor, CanaryCard, levels, signs } from "../parts/canary";
import { count, plural } from "../say/number";
import { span } from "../say/time";
import { useApp, useEnv, useHref, useNow, useRoute } from "../state/app";
import { matcher } from "../parts/match";

export function Canaries() {
  const { router, clock } = useApp();
  const { query } = useRoute();
  const env = useEnv();
  const href = useHref();
  useNow();
  const polled = usePoll(env, 5000, (signal) => getCanaries(env, signal));
  const a = polled.data;
  const q = query.q ?? "";
  const passes = matcher(q);
  const all = a?.canaries ?? [];
  const shown = all.filter((c) => passes({ service: c.service, verdict: c.verdict, version: `${c.canary?.version ?? ""} ${c.baseline?.version ?? ""}`, reason: c.reason }));
  const failing = all.filter((c) => c.verdict === "fail").length;
  const late = a ? clock.now() - a.as_of : 0;
  return (
    <>
      <div class="bar">
        <h1>Canaries</h1>
        <input
          type="search"
          class="filter"
          placeholder="Filter: service, verdict:fail, version:1.42"
          aria-label="Filter canaries"
          value={q}
          onInput={(e) => router.change({ q: e.currentTarget.value })}
        />
        {a && (
          <span class="dim" data-testid="canary-counts">
            {plural(all.length, "pair")} of cohorts{failing > 0 && <span class="bad">, ▲ {count(failing)} failing</span>}
            {a.left_out > 0 && `, ${count(a.left_out)} more not judged here`}
          </span>
        )}
        {late > 15_000 && <span class="warn">△ as of {span(late)} ago</span>}
      </div>
      {polled.error && <p class="warn">△ {polled.error.message}.</p>}
      {shown.length > 1 && (
        <nav class="verdicts" aria-label="All pairs of cohorts" data-testid="canary-overview">
          {shown.map((c) => (
            <a key={`${c.service}/${c.env}`} href={"#" + anchor(c)} class={levels[c.verdict]}>
              {signs[c.verdict]}
              {c.service}{" "}
              <span class="dim">
                {c.canary?.version || c.canary?.name} {c.verdict}
              </span>
            </a>
          ))}
        </nav>
      )}
      {shown.length > 0 && <h2 class="hidden">Verdicts</h2>}
      {shown.map((c) => (
        <CanaryCard key={`${c.service}/${c.env}`} a={c} />
      ))}
      {a && shown.length === 0 && (
        <section class="calm">
          <p class="big">{all.length ? "No canary fits." : "No canary is out."}</p>
          <p class="dim">
            A canary is instances of track <code>canary</code> beside production, or a newer version beside another.{" "}
            <a href={href("/services")} data-in>
              All services
            </a>
          </p>
        </section>
      )}
      {!a && !polled.error && <p class="empty">Judging …</p>}
    </>
  );
}
