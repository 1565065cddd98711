// The first page: what broke, who is in trouble, and the calm, in that order.
import { useMemo } from "preact/hooks";
import { about, rowKey, type Finding, type Row } from "../api/contract";
import { sorted } from "../api/merge";
import { errorTop, type Trouble } from "../draw/scale";
import { EndedFinding, FindingCard, FindingLine } from "../parts/finding";
import { LineHeads, ServiceCard, ServiceLine } from "../parts/rows";
import { useShown, useSpan } from "../parts/signals";
import { useTrust } from "../parts/strip";
import { InTurns } from "../parts/turns";
import { Virtual } from "../parts/virtual";
import { headline, isCanary } from "../say/finding";
import { axisText, count, percent, plural } from "../say/number";
import { at, span as length } from "../say/time";
import { useApp, useEnv, useHref, useNow, useZone } from "../state/app";
import { findingPath } from "../state/route";
import { useStore } from "../state/store";

/** More cards than this can not be compared at a glance; the rest are lines. */
const mostCards = 24;
const mostEnded = 5;
/** When much breaks at once the worst are cards and the rest sentences. */
const mostFindings = 6;

const none: readonly Trouble[] = [];

/** troubles is when something was wrong with each service that is known to have had trouble. */
export function troubles(findings: readonly Finding[]): Map<string, readonly Trouble[]> {
  const out = new Map<string, readonly Trouble[]>();
  for (const f of findings)
    for (const service of about(f)) {
      const key = rowKey({ service, env: f.env });
      out.set(key, [...(out.get(key) ?? none), [f.since, f.ended ?? Infinity]]);
    }
  return out;
}

/** Item is a team, or the key of one of its services. */
type Item = { team: string } | { key: string };

export function Now() {
  const { stream } = useApp();
  const known = useStore(stream.known);
  const env = useEnv();
  const span = useSpan();
  const s = useMemo(() => sorted(known, env), [known, env]);
  const cards = s.trouble.slice(0, mostCards);
  const rest = s.trouble.slice(mostCards);
  const cardErrors = errorTop(known.rows, cards.map(rowKey));
  const lines = useMemo<Item[]>(
    () =>
      s.calm.flatMap(([team, keys]): Item[] => [
        ...(s.calm.length === 1 && !team ? [] : [{ team }]),
        ...keys.map((key) => ({ key })),
      ]),
    [s.calm],
  );
  const calmErrors = errorTop(known.rows, [...s.calm.flatMap(([, keys]) => keys), ...rest.map(rowKey)]);
  const findingOf = (r: Row): Finding | undefined => [...s.open, ...s.quiet].find((f) => about(f).includes(r.service) && f.env === r.env);
  // A canary that failed stands beside what is wrong: its service is well.
  const news = s.open.filter((f) => !isCanary(f));
  const canaries = s.open.filter(isCanary);
  const brief = (f: Finding) => <FindingCard key={f.id} f={f} row={known.rows.get(rowKey(f))} troubles={wrong.get(rowKey(f))} as="brief" />;
  const wrong = useMemo(() => troubles(known.findings), [known.findings]);
  const of = (r: Row): readonly Trouble[] => wrong.get(rowKey(r)) ?? none;

  if (!known.asOf) return <Waiting />;
  return (
    <>
      <h1 class="hidden">Now in {env}</h1>
      {news.length > 0 ? (
        <section aria-label="What broke">
          <h2>
            <span>What broke</span>
            {news.length > 1 && <span>{plural(news.length, "finding")}</span>}
          </h2>
          <InTurns
            items={news.slice(0, mostFindings)}
            keyOf={(f) => f.id}
            render={(f) => <FindingCard f={f} row={known.rows.get(rowKey(f))} troubles={wrong.get(rowKey(f))} />}
          />
          {news.length > mostFindings && (
            <ul class="finding-lines">
              {news.slice(mostFindings).map((f) => (
                <FindingLine key={f.id} f={f} />
              ))}
            </ul>
          )}
        </section>
      ) : (
        <Calm last={s.ended[0]} trouble={s.trouble.filter((r) => !findingOf(r)).length} quiet={s.quiet} canaries={canaries} />
      )}
      {canaries.length > 0 && (
        <section aria-label="Canaries that fail">
          <h2>
            <span>{canaries.length === 1 ? "A canary fails" : "Canaries fail"}</span>
            <span>its service is well but for it</span>
          </h2>
          {canaries.map(brief)}
        </section>
      )}
      {s.quiet.length > 0 && (
        <section aria-label="Acknowledged and silenced" data-testid="hushed">
          <h2>
            <span>Looked after</span>
            <span>{s.quiet.some((f) => f.silenced) ? "acknowledged or silenced" : "acknowledged"}</span>
          </h2>
          {s.quiet.slice(0, mostFindings).map(brief)}
          {s.quiet.length > mostFindings && (
            <ul class="finding-lines">
              {s.quiet.slice(mostFindings).map((f) => (
                <FindingLine key={f.id} f={f} />
              ))}
            </ul>
          )}
        </section>
      )}
      {cards.length > 0 && (
        <section aria-label="In trouble">
          <h2>
            <span>In trouble</span>
            <Scales what={`errors 0…${axisText(percent(cardErrors))}`} />
          </h2>
          <div class="cards">
            <InTurns
              items={cards}
              keyOf={rowKey}
              render={(r) => <ServiceCard r={r} span={span} errorMax={cardErrors} troubles={of(r)} finding={findingOf(r)?.id} />}
            />
          </div>
          {rest.length > 0 && (
            <>
              <p class="team">and {plural(rest.length, "more service")} in trouble</p>
              <div class="lines" role="table" aria-label="More in trouble">
                <Virtual items={rest} keyOf={rowKey} render={(r) => <ServiceLine r={r} span={span} errorMax={calmErrors} troubles={of(r)} />} />
              </div>
            </>
          )}
        </section>
      )}
      {lines.length > 0 && (
        <section aria-label="Calm">
          <h2>
            <span>Calm</span>
            <Scales what="" />
          </h2>
          <div class="lines" role="table" aria-label="Calm services">
            <div role="rowgroup">
              <LineHeads errors={`0…${axisText(percent(calmErrors))}`} />
            </div>
            <Virtual
              items={lines}
              layout={known.shape}
              keyOf={(x) => ("key" in x ? x.key : "team " + x.team)}
              kind={(x) => ("key" in x ? "row" : "team")}
              render={(x) =>
                "key" in x ? (
                  <ServiceLine r={known.rows.get(x.key)} span={span} errorMax={calmErrors} troubles={wrong.get(x.key) ?? none} />
                ) : (
                  <div class="team" role="row">
                    <span role="columnheader">{x.team || "no owner named"}</span>
                  </div>
                )
              }
            />
          </div>
        </section>
      )}
      {known.rows.size === 0 && <Nobody />}
      {s.ended.length > 0 && (
        <section aria-label="Lately over">
          <h2>
            <span>Lately over</span>
          </h2>
          <ul class="endeds">
            {s.ended.slice(0, mostEnded).map((f) => (
              <EndedFinding key={f.id} f={f} />
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

/** Scales says what the lines beneath are drawn on, or which moment the reader points at. */
function Scales({ what }: { what: string }) {
  const { cursor, clock } = useApp();
  const zone = useZone();
  const t = useStore(cursor);
  const shown = useShown();
  return t == null ? (
    <span>
      {what && `${what} · `}
      {length(shown)}
    </span>
  ) : (
    <span class="at">at {at(t, zone, clock.now())}</span>
  );
}

interface CalmProps {
  last: Finding | undefined;
  trouble: number;
  quiet: readonly Finding[];
  canaries: readonly Finding[];
}

function Calm({ last, trouble, quiet, canaries }: CalmProps) {
  const href = useHref();
  const now = useNow(10_000);
  const t = useTrust();
  const { stream } = useApp();
  const services = useStore(stream.known, (k) => k.rows.size);
  const strip = useStore(stream.known, (k) => k.strip);
  if (services === 0) return null;
  // A page that does not know must not say that all is well.
  const blind = t.state !== "fresh";
  const says = headline({ blind, quiet, canaries, trouble });
  return (
    <section class={says.rest ? "calm but" : "calm"} data-testid="calm" aria-label="What broke">
      <p class="big">{says.big}</p>
      {strip && !blind && (
        <p class="dim">
          {says.rest}{" "}
          {strip.answering === strip.expected
            ? `All ${plural(strip.expected, "instance")}`
            : `${count(strip.answering)} of ${plural(strip.expected, "instance")}`}{" "}
          of {plural(services, "service")} answer.
        </p>
      )}
      {last?.ended ? (
        <p class="dim" data-testid="last-finding">
          Last finding {length(now - last.ended)} ago:{" "}
          <a href={href(findingPath(last.id), { env: last.env })} data-in>
            {last.title}
          </a>
        </p>
      ) : (
        !says.rest && (
          <p class="dim" data-testid="last-finding">
            No finding in what this page remembers.
          </p>
        )
      )}
    </section>
  );
}

function Waiting() {
  const t = useTrust();
  if (t.state === "refused") return null; // the banner says it
  return (
    <section class="calm" aria-busy="true">
      <p class="big">Calling the roll …</p>
    </section>
  );
}

function Nobody() {
  const href = useHref();
  return (
    <section class="calm" data-testid="nobody">
      <p class="big">Nobody is on the roster.</p>
      <p class="dim">
        Either no serverset is configured, or none can be seen: the{" "}
        <a href={href("/roster")} data-in>
          roster
        </a>{" "}
        says which sources there are and what they answer.
      </p>
    </section>
  );
}
