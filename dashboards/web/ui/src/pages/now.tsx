// The first page: what broke, who is in trouble, and the calm, in that order.
import { useMemo } from "preact/hooks";
import type { Finding, Row, Values } from "../api/contract";
import { rowKey } from "../api/contract";
import { sorted } from "../api/merge";
import { errorScale } from "../draw/scale";
import { EndedFinding, FindingCard, FindingLine } from "../parts/finding";
import { ServiceCard, ServiceLine } from "../parts/rows";
import { useShown, useSpan } from "../parts/signals";
import { useTrust } from "../parts/strip";
import { Virtual } from "../parts/virtual";
import { axisText, count, percent, plural } from "../say/number";
import { at, span as length } from "../say/time";
import { useApp, useEnv, useHref, useNow, useZone } from "../state/app";
import { useStore } from "../state/store";

/** More cards than this can not be compared at a glance; the rest are lines. */
const mostCards = 24;
const mostEnded = 5;
/** When much breaks at once the worst are cards and the rest sentences. */
const mostFindings = 6;

const errorsOf = (rows: Row[]): Values[] => rows.map((r) => r.spark?.error_ratio ?? [r.error_ratio]);

type Item = { team: string; n: number } | { row: Row };

export function Now() {
  const { stream } = useApp();
  const known = useStore(stream.known);
  const env = useEnv();
  const span = useSpan();
  const s = useMemo(() => sorted(known, env), [known, env]);
  const cards = s.trouble.slice(0, mostCards);
  const rest = s.trouble.slice(mostCards);
  const cardErrors = useMemo(() => errorScale(errorsOf(cards)).hi, [s.trouble]);
  const lines = useMemo<Item[]>(
    () =>
      s.calm.flatMap(([team, rows]): Item[] => [
        ...(s.calm.length === 1 && !team ? [] : [{ team, n: rows.length }]),
        ...rows.map((row) => ({ row })),
      ]),
    [s.calm],
  );
  const calmErrors = useMemo(() => errorScale(errorsOf([...s.calm.flatMap(([, rows]) => rows), ...rest])).hi, [s.calm, s.trouble]);
  const findingOf = (r: Row): Finding | undefined => s.open.find((f) => f.service === r.service && f.env === r.env);

  if (!known.asOf) return <Waiting />;
  return (
    <>
      <h1 class="hidden">Now in {env}</h1>
      {s.open.length > 0 ? (
        <section aria-label="What broke">
          <h2>
            <span>What broke</span>
            {s.open.length > 1 && <span>{plural(s.open.length, "finding")}</span>}
          </h2>
          {s.open.slice(0, mostFindings).map((f) => (
            <FindingCard key={f.id} f={f} row={known.rows.get(`${f.service}/${f.env}`)} />
          ))}
          {s.open.length > mostFindings && (
            <ul class="finding-lines">
              {s.open.slice(mostFindings).map((f) => (
                <FindingLine key={f.id} f={f} />
              ))}
            </ul>
          )}
        </section>
      ) : (
        <Calm ended={s.ended[0]?.ended ?? null} trouble={s.trouble.length} />
      )}
      {cards.length > 0 && (
        <section aria-label="In trouble">
          <h2>
            <span>In trouble</span>
            <Scales what={`errors 0…${axisText(percent(cardErrors))}`} />
          </h2>
          <div class="cards">
            {cards.map((r) => (
              <ServiceCard key={rowKey(r)} r={r} span={span} errorMax={cardErrors} finding={findingOf(r)?.id} since={findingOf(r)?.since} />
            ))}
          </div>
          {rest.length > 0 && (
            <>
              <p class="team">and {plural(rest.length, "more service")} in trouble</p>
              <div class="lines" role="table" aria-label="More in trouble">
                <Virtual items={rest} keyOf={rowKey} render={(r) => <ServiceLine r={r} span={span} errorMax={calmErrors} />} />
              </div>
            </>
          )}
        </section>
      )}
      {lines.length > 0 && (
        <section aria-label="Calm">
          <h2>
            <span>Calm</span>
            <Scales what={`rate · errors 0…${axisText(percent(calmErrors))} · latency`} />
          </h2>
          <div class="lines" role="table" aria-label="Calm services">
            <Virtual
              items={lines}
              keyOf={(x) => ("row" in x ? rowKey(x.row) : "team " + x.team)}
              kind={(x) => ("row" in x ? "row" : "team")}
              render={(x) =>
                "row" in x ? (
                  <ServiceLine r={x.row} span={span} errorMax={calmErrors} />
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
      {what} · {length(shown)}
    </span>
  ) : (
    <span class="at">at {at(t, zone, clock.now())}</span>
  );
}

function Calm({ ended, trouble }: { ended: number | null; trouble: number }) {
  const now = useNow(10_000);
  const t = useTrust();
  const { stream } = useApp();
  const services = useStore(stream.known, (k) => k.rows.size);
  const strip = useStore(stream.known, (k) => k.strip);
  if (services === 0) return null;
  // A page that does not know must not say that all is well.
  const blind = t.state !== "fresh";
  return (
    <section class="calm" data-testid="calm" aria-label="What broke">
      <p class="big">{blind ? "Nothing was wrong when we last knew." : trouble ? "Nothing has a cause yet." : "Nothing is wrong."}</p>
      {strip && !blind && (
        <p class="dim">
          {strip.answering === strip.expected
            ? `All ${plural(strip.expected, "instance")}`
            : `${count(strip.answering)} of ${plural(strip.expected, "instance")}`}{" "}
          of {plural(services, "service")} answer.
        </p>
      )}
      <p class="dim">{ended ? `The last finding ended ${length(now - ended)} ago.` : "No finding in what this page remembers."}</p>
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
