// One finding: a sentence, its chart, the cause and what is cleared, what came before.
import { useRef, useState } from "preact/hooks";
import { about, quiet, type Change, type Finding, type Row, type Values } from "../api/contract";
import { band, before, countScale, errorScale, signalOf, usualScale, type Scale, type Signal, type Trouble } from "../draw/scale";
import { Spark } from "../draw/spark";
import { count, axisText, milliseconds, percent, rate } from "../say/number";
import { at, clock, span as length, type Zone } from "../say/time";
import { useApp, useHref, useNow, useZone } from "../state/app";
import { servicePath } from "../state/route";
import { useStore } from "../state/store";
import { indexAt } from "../draw/path";
import { Act, Quiet } from "./act";
import { latencyName, useSpan } from "./signals";

/** asText is a finding for a chat: everything that the page says of it, and where. */
export function asText(f: Finding, now: number, zone: Zone, link: string): string {
  const lines = [`${f.level === "bad" ? "▲" : "△"} ${f.title} (${f.env}, since ${at(f.since, zone, now)}, ${lasted(f, now)})`];
  if (f.only) lines.push(f.only);
  if (f.cleared?.length) lines.push("Cleared: " + f.cleared.join(" · "));
  for (const e of told(f)) lines.push(`${at(e.t, zone, now)}  ${e.text}`);
  if (f.silenced) lines.push(`Silenced by ${f.silenced.by} until ${at(f.silenced.until, zone, now)}`);
  else if (f.ack) lines.push(`Acknowledged by ${f.ack.by}${f.ack.why ? `: ${f.ack.why}` : ""}`);
  const who = [f.owner && `Owner ${f.owner}`, f.chat && `Chat ${f.chat}`, f.runbook && `Runbook ${f.runbook}`].filter(Boolean);
  if (who.length) lines.push(who.join(" · "));
  return [...lines, link].join("\n");
}

const lasted = (f: Finding, now: number): string => (f.ended == null ? `for ${length(now - f.since)}` : `over after ${length(f.ended - f.since)}`);

const mostTold = 8;

/** told is what happened, in order: the finding's own events and what else changed before it, each once. */
export function told(f: Finding): { t: number; text: string; els: boolean }[] {
  const own = (f.events ?? []).map((e) => ({ t: e.t, text: e.text, els: false }));
  const there = new Set(own.map((e) => e.text));
  const named = (c: Change): string => (c.service && !about(f).includes(c.service) ? `${c.service}: ${c.text}` : c.text);
  const others = (f.before ?? [])
    .filter((c) => !there.has(c.text))
    .slice(0, mostTold - Math.min(own.length, 3))
    .map((c) => ({ t: c.t, text: named(c), els: true }));
  return [...own.slice(-mostTold), ...others].sort((a, b) => a.t - b.t);
}

/** Title says the news loudly: the server names the part of the sentence that is. */
function Title({ f }: { f: Finding }) {
  const i = f.news ? f.title.indexOf(f.news) : -1;
  if (i < 0) return <>{f.title}</>;
  return (
    <>
      {f.title.slice(0, i)}
      <em>{f.news}</em>
      {f.title.slice(i + f.news.length)}
    </>
  );
}

/** Only sets the cause itself in bold: "Only <1.42.0 in us-east-1c>: 65 % of its requests fail". */
function Only({ text }: { text: string }) {
  const m = /^(Only )(.+?)(: .*)$/s.exec(text);
  if (!m) return <>{text}</>;
  return (
    <>
      {m[1]}
      <b>{m[2]}</b>
      {m[3]}
    </>
  );
}

export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers lend the clipboard only to pages over TLS or from localhost: the old way works elsewhere.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const ok = document.execCommand("copy");
    area.remove();
    return ok;
  }
}

export function CopyButton({ text, label = "Copy" }: { text: () => string; label?: string }) {
  const [said, say] = useState("");
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const click = async (): Promise<void> => {
    say((await copy(text())) ? "Copied" : "Could not copy");
    clearTimeout(timer.current);
    timer.current = setTimeout(() => say(""), 2000);
  };
  return (
    <button type="button" class="link" onClick={click} data-testid="copy">
      <span aria-live="polite">{said || label}</span>
    </button>
  );
}

/** leastCompared is how long something has to have been wrong to be compared with the time before. */
const leastCompared = 5000;

interface CardProps {
  f: Finding;
  row: Row | undefined;
  here?: boolean; // on the service's own page
  troubles?: readonly Trouble[];
}

/** link is a web address, or nothing: whoever wrote it may have written anything. */
export const link = (s: string | undefined): string | undefined => (s && /^https?:\/\/[^\s]{1,500}$/.test(s) ? s : undefined);

export function FindingCard({ f, row, here = false, troubles = [] }: CardProps) {
  const zone = useZone();
  const now = useNow();
  const href = useHref();
  const service = href(servicePath(f.service), { env: f.env });
  const own = f.services?.length ? undefined : row; // a place is several services'
  const owner = f.owner || own?.owner;
  const chat = f.chat || own?.chat;
  const runbook = link(f.runbook) ?? link(own?.runbook);
  const signal = signalOf(f);
  return (
    <article class={`finding ${f.level}`} id={"finding-" + f.id} data-testid="finding" data-level={f.level} data-service={f.service}>
      <h3>
        <span class="sign" role="img" aria-label={f.level === "bad" ? "Bad:" : "Warning:"}>
          {f.level === "bad" ? "▲" : "△"}
        </span>
        {here ? (
          <span>
            <Title f={f} />
          </span>
        ) : (
          <a href={service} data-in data-item>
            <Title f={f} />
          </a>
        )}
        <span class="for">, {lasted(f, now)}</span>
      </h3>
      {row?.spark && signal && <FindingChart f={f} row={row} signal={signal} troubles={troubles} />}
      <div class="text">
        {f.only && (
          <p class="only">
            <Only text={f.only} />
          </p>
        )}
        {!!f.cleared?.length && (
          <p class="cleared">
            Cleared:{" "}
            {f.cleared.map((c, i) => (
              <span key={i}>
                {i > 0 && " · "}
                <i>{c}</i>
              </span>
            ))}
          </p>
        )}
        <ol class="events">
          {told(f).map((e, i) => (
            <li key={i} class={e.els ? "els" : ""}>
              <time>{i === 0 ? at(e.t, zone, now) : clock(e.t, zone, now)}</time> {e.text}
            </li>
          ))}
        </ol>
        {quiet(f) && (
          <p>
            <Quiet f={f} />
          </p>
        )}
        <div class="actions">
          {!quiet(f) && <Act f={f} />}
          {runbook && (
            <a href={runbook} target="_blank" rel="noreferrer" data-testid="runbook">
              Runbook
            </a>
          )}
          {owner && (
            <a href={href("/services", { env: f.env, q: `owner:${owner}` })} data-in data-testid="owner">
              Owner {owner}
            </a>
          )}
          {chat &&
            (link(chat) ? (
              <a href={link(chat)} target="_blank" rel="noreferrer" data-testid="chat">
                Chat
              </a>
            ) : (
              <span data-testid="chat">Chat {chat}</span>
            ))}
          {!here && (
            <a href={service} data-in>
              Open {f.service}
            </a>
          )}
          <a href={href(servicePath(f.service), { env: f.env, only: "trouble" })} data-in>
            {signal === "answering" ? "Who is missing" : "Which instances"}
          </a>
          {now - f.since >= leastCompared && (
            <a href={href(servicePath(f.service), { env: f.env, from: String(f.since), to: String(f.ended ?? now) })} data-in>
              What is different
            </a>
          )}
          <CopyButton text={() => asText(f, now, zone, location.origin + service)} />
        </div>
      </div>
    </article>
  );
}

interface Shape {
  name: string;
  values: Values;
  scale: Scale;
  say: (v: number | null | undefined) => string;
}

function shape(row: Row, signal: Signal, usual: (v: Values) => Values): Shape {
  const s = row.spark!;
  switch (signal) {
    case "error_ratio":
      return { name: "errors", values: s.error_ratio, scale: errorScale([s.error_ratio]), say: percent };
    case "latency":
      return { name: latencyName(row), values: s.latency, scale: usualScale(s.latency, usual(s.latency)), say: milliseconds };
    case "rate":
      return { name: "requests", values: s.rate, scale: usualScale(s.rate, usual(s.rate)), say: rate };
    case "answering":
      return { name: "answering", values: s.answering, scale: countScale(s.answering, row.expected), say: count };
  }
}

function FindingChart({ f, row, signal, troubles }: { f: Finding; row: Row; signal: Signal; troubles: readonly Trouble[] }) {
  const { cursor } = useApp();
  const s = row.spark!;
  const span = useSpan(s.step);
  const zone = useZone();
  const t = useStore(cursor);
  const usual = (v: Values): Values => before(v, s.t0, s.step, [...troubles, [f.since, Infinity]]);
  const c = shape(row, signal, usual);
  const short = span.to - span.from < 600_000;
  const i = t == null ? -1 : indexAt(t, s.t0, s.step, c.values.length);
  const range = `${c.name}, ${c.say(c.scale.lo).replace(/[ /].*/, "")}…${axisText(c.say(c.scale.hi))}`;
  return (
    <figure class="chart" data-testid="finding-chart">
      <Spark
        label={`${range} over ${length(span.to - span.from)}, now ${c.say(c.values.at(-1))}`}
        class="wide"
        height={90}
        level={f.level}
        values={c.values}
        t0={s.t0}
        step={s.step}
        span={span}
        scale={c.scale}
        usual={signal === "answering" ? null : band(usual(c.values), c.scale)}
        marks={[...new Set([f.since, ...(f.events ?? []).map((e) => e.t)])]}
      />
      <figcaption class="axis">
        <span>{clock(span.from, zone, span.from, short)}</span>
        <span class={i >= 0 ? "at" : ""}>{i >= 0 && t != null ? `${c.name} ${c.say(c.values[i])} at ${clock(t, zone, span.to)}` : range}</span>
        <span>{at(span.to, zone, span.to, short)}</span>
      </figcaption>
    </figure>
  );
}

/** FindingLine is one of many that are open: a sentence, for when a screen of cards would say less. */
export function FindingLine({ f }: { f: Finding }) {
  const now = useNow();
  const href = useHref();
  return (
    <li class={`finding-line ${f.level} ${quiet(f) ? "quiet" : ""}`} data-testid={quiet(f) ? "quiet-finding" : "finding"} data-level={f.level} data-service={f.service}>
      <span class="sign" role="img" aria-label={f.level === "bad" ? "Bad:" : "Warning:"}>
        {f.level === "bad" ? "▲" : "△"}
      </span>
      <a href={href(servicePath(f.service), { env: f.env })} data-in data-item>
        <Title f={f} />
      </a>
      <span class="dim">{lasted(f, now)}</span>
      {quiet(f) && <Quiet f={f} />}
    </li>
  );
}

/** EndedFinding is one that is over: a line, not a card. */
export function EndedFinding({ f }: { f: Finding }) {
  const zone = useZone();
  const now = useNow(10_000);
  const href = useHref();
  return (
    <li class="ended" data-testid="ended-finding">
      <time>{at(f.ended ?? f.since, zone, now, false)}</time>
      <a href={href(servicePath(f.service), { env: f.env })} data-in data-item>
        {f.title}
      </a>
      <span class="dim">
        over for {length(now - (f.ended ?? now))}, lasted {length((f.ended ?? now) - f.since)}
      </span>
    </li>
  );
}
