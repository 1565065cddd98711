// One finding: a sentence, its chart, the cause and what is cleared, what came before, and what one may do.
import { about, quiet, rowKey, type Finding, type Row } from "../api/contract";
import { signalOf, type Signal, type Trouble } from "../draw/scale";
import { at, clock, span as length } from "../say/time";
import { asText, isCanary, lasted, told } from "../say/finding";
import { useApp, useHref, useNow, useZone } from "../state/app";
import { address, findingPath, hostPath, servicePath } from "../state/route";
import { useStore } from "../state/store";
import { Act, Quiet } from "./act";
import { CopyButton } from "./copy";
import { FindingChart, PlaceCharts } from "./findingchart";
import { home, hostOf, link, several, valueOf } from "./leads";

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

function Sign({ f }: { f: Finding }) {
  const well = f.ended != null || (f.canary && f.canary.verdict !== "fail");
  return (
    <span class="sign" role="img" aria-label={f.ended != null ? "Over:" : well ? "" : f.level === "bad" ? "Bad:" : "Warning:"}>
      {well ? "✓" : f.level === "bad" ? "▲" : "△"}
    </span>
  );
}

/** Only sets the cause itself in bold, "Only <1.42.0 in us-east-1c>: 65 % of its requests fail", and makes a host of it a link. */
function Only({ f }: { f: Finding }) {
  const href = useHref();
  const m = /^(Only )(.+?)(: .*)$/s.exec(f.only);
  if (!m) return <>{f.only}</>;
  const host = hostOf(f);
  const cause = <b>{m[2]}</b>;
  return (
    <>
      {m[1]}
      {host ? (
        <a href={href(hostPath(host), { env: f.env })} data-in data-testid="cause-host">
          {cause}
        </a>
      ) : (
        cause
      )}
      {m[3]}
    </>
  );
}

/** leastCompared is how long something has to have been wrong to be compared with the time before. */
const leastCompared = 5000;

interface CardProps {
  f: Finding;
  row: Row | undefined;
  /** as is how much of it is told: a card; briefly, of one that is looked after or stands beside; all of it, on its own page. */
  as?: "card" | "brief" | "whole";
  here?: boolean; // on the service's own page
  troubles?: readonly Trouble[];
}

export function FindingCard({ f, row, as = "card", here = false, troubles = [] }: CardProps) {
  const zone = useZone();
  const now = useNow();
  const href = useHref();
  const signal = signalOf(f);
  const whole = as === "whole";
  const Heading = whole ? "h1" : "h3";
  return (
    <article
      class={`finding ${f.ended == null ? f.level : "over"} ${as === "card" ? "" : as}`}
      id={"finding-" + f.id}
      data-testid={as === "brief" && quiet(f) ? "quiet-finding" : "finding"}
      data-level={f.level}
      data-service={f.service}
    >
      <Heading>
        <Sign f={f} />
        {whole || (here && !several(f)) ? (
          <span>
            <Title f={f} />
          </span>
        ) : (
          <a href={href(home(f), { env: f.env })} data-in data-item>
            <Title f={f} />
          </a>
        )}
        <span class="for">, {lasted(f, now)}</span>
      </Heading>
      {!whole && signal && (several(f) && !here ? <PlaceCharts f={f} signal={signal} /> : row?.spark && <FindingChart f={f} row={row} signal={signal} troubles={troubles} low={as === "brief"} />)}
      <div class="text">
        {whole && (
          <p class="facts">
            <span>{f.env}</span>
            <span>
              from {at(f.since, zone, now)} {f.ended == null ? "until now" : `to ${at(f.ended, zone, now)}`}
            </span>
          </p>
        )}
        {f.only && (
          <p class="only">
            <Only f={f} />
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
        {as !== "brief" && (
          <ol class="events">
            {told(f).map((e, i) => (
              <li key={i} class={e.els ? "els" : ""}>
                <time>{i === 0 ? at(e.t, zone, now) : clock(e.t, zone, now)}</time> {e.text}
              </li>
            ))}
          </ol>
        )}
        {f.ended == null && quiet(f) && (
          <p>
            <Quiet f={f} />
          </p>
        )}
        <Actions f={f} as={as} here={here} signal={signal} />
      </div>
    </article>
  );
}

/** people are those who look after what a finding is about: of a place each of its services' own. */
function usePeople(f: Finding): { owners: string[]; chat: string; runbook: string | undefined } {
  const { stream } = useApp();
  useStore(stream.known, (k) => k.said);
  const { rows } = stream.known.get();
  const its = about(f).map((service) => rows.words(rowKey({ service, env: f.env })));
  const own = several(f) ? undefined : its[0];
  const owners = f.owner ? [f.owner] : [...new Set(its.map((r) => r?.owner ?? ""))].filter(Boolean);
  return { owners, chat: f.chat || own?.chat || "", runbook: link(f.runbook) ?? link(own?.runbook) };
}

const mostOwners = 3;

function Actions({ f, as, here, signal }: { f: Finding; as: string; here: boolean; signal: Signal | null }) {
  const zone = useZone();
  const now = useNow();
  const href = useHref();
  const { owners, chat, runbook } = usePeople(f);
  const to = (path: string, text: preact.ComponentChildren, query: Record<string, string> = {}, test?: string) => (
    <a href={href(path, { env: f.env, ...query })} data-in data-testid={test}>
      {text}
    </a>
  );
  const service = servicePath(f.service);
  const host = hostOf(f);
  const missing = signal === "answering";
  const who = missing ? "Who is missing" : "Which instances";
  const brief = as === "brief";
  return (
    <div class="actions">
      {f.ended == null && !quiet(f) && <Act f={f} />}
      {runbook && (
        <a href={runbook} target="_blank" rel="noreferrer" data-testid="runbook">
          Runbook
        </a>
      )}
      {owners.slice(0, mostOwners).map((o) => to("/services", `Owner ${o}`, { q: `owner:${o}` }, "owner"))}
      {owners.length > mostOwners && <span class="dim">and {owners.length - mostOwners} more</span>}
      {chat &&
        (link(chat) ? (
          <a href={link(chat)} target="_blank" rel="noreferrer" data-testid="chat">
            Chat
          </a>
        ) : (
          <span data-testid="chat">Chat {chat}</span>
        ))}
      {several(f) ? host && to(hostPath(host), `Host ${host}`, {}, "open-host") : !here && to(service, `Open ${f.service}`)}
      {isCanary(f) && to("/canaries", "Its evidence")}
      {!brief && !isCanary(f) && f.ended == null && (several(f) ? !host && f.place && to("/roster", who, { q: valueOf(f.place), state: missing ? "missing" : "" }) : to(service, who, { only: "trouble" }))}
      {!brief && !several(f) && (f.ended ?? now) - f.since >= leastCompared && to(service, "What is different", { from: String(f.since), to: String(f.ended ?? now) })}
      {as !== "whole" && to(findingPath(f.id), "Whole story", {}, "story")}
      <CopyButton text={() => asText(f, now, zone, location.origin + address(findingPath(f.id), { env: f.env }))} />
    </div>
  );
}

/** FindingLine is one of many that are open: a sentence, for when a screen of cards would say less. */
export function FindingLine({ f }: { f: Finding }) {
  const now = useNow();
  const href = useHref();
  return (
    <li
      class={`finding-line ${f.level} ${quiet(f) ? "quiet" : ""}`}
      id={"finding-" + f.id}
      data-testid={quiet(f) ? "quiet-finding" : "finding"}
      data-level={f.level}
      data-service={f.service}
    >
      <Sign f={f} />
      <a href={href(home(f), { env: f.env })} data-in data-item>
        <Title f={f} />
      </a>
      <a class="dim" href={href(findingPath(f.id), { env: f.env })} data-in>
        {lasted(f, now)}
      </a>
      {quiet(f) && <Quiet f={f} />}
    </li>
  );
}

/** EndedFinding is one that is over: a line that leads to the whole of it. */
export function EndedFinding({ f }: { f: Finding }) {
  const zone = useZone();
  const now = useNow(10_000);
  const href = useHref();
  return (
    <li class="ended" data-testid="ended-finding" data-service={f.service}>
      <time>{at(f.ended ?? f.since, zone, now, false)}</time>
      <a href={href(findingPath(f.id), { env: f.env })} data-in data-item>
        {f.title}
      </a>
      <span class="dim">
        over for {length(now - (f.ended ?? now))}, lasted {length((f.ended ?? now) - f.since)}
      </span>
    </li>
  );
}
