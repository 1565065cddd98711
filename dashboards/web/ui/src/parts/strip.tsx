// What the page itself is worth: one line when all is well, else the exception with its consequence, before any chart is believed.
import type { Known } from "../api/merge";
import type { Link } from "../api/stream";
import { absent, count } from "../say/number";
import { at, span } from "../say/time";
import { useApp, useHref, useNow, useZone } from "../state/app";
import { useStore } from "../state/store";
import { PaceNote } from "./pace";

/** Trust is how far what is shown can be believed now. */
export interface Trust {
  state: "fresh" | "opening" | "lost" | "refused" | "feed" | "resting";
  /** ageMs is how old the newest data is; null: there is none. */
  ageMs: number | null;
  /** headline and consequence, empty when fresh. */
  headline: string;
  consequence: string;
}

/** patience is how long the first answer may take before that is said. */
const patience = 4000;

/** trust judges the connection first, the server's own feed second. now is the browser's clock, newsAt when it last heard an event. */
export function trust(link: Link, known: Known, newsAt: number, now: number): Trust {
  const strip = known.strip;
  const since = newsAt ? Math.max(0, now - newsAt) : 0;
  const ageMs = strip?.age_ms == null ? (newsAt ? since : null) : strip.age_ms + since;
  const said = link.error ? ` (${link.error})` : "";
  const silent = now - Math.max(link.since, link.heardAt);
  if (link.state === "refused" || (link.state === "opening" && silent > patience)) {
    const why = link.error ? "" : " Either it is busy or away, or this browser has no connection left for it: all windows of a host may have to share six.";
    return { state: "refused", ageMs: null, headline: `No answer from rollcall for ${span(silent)}${said}`, consequence: `There is nothing to show yet.${why} Trying again.` };
  }
  if (link.state === "opening" || link.state === "resting") return { state: link.state, ageMs, headline: "", consequence: "" };
  const heard = link.heardAt ? now - link.heardAt : 0;
  if (link.state === "lost" || heard > link.patience)
    return {
      state: "lost",
      ageMs,
      headline: `No word from rollcall for ${span(heard)}${said}`,
      consequence: `What you see is ${span(ageMs)} old and stands still; what broke since is not here. Trying again.`,
    };
  const feed = strip?.feed;
  // One that has only begun to read says so in the strip; one that cannot read is loud.
  if (feed && feed.state !== "live" && (feed.state !== "connecting" || feed.error)) {
    const error = feed.error ? `: ${feed.error}` : "";
    const length = feed.since ? `, ${span(known.asOf + since - feed.since)} now` : "";
    return {
      state: "feed",
      ageMs,
      headline: `The feed is ${feed.state.replace(/_/g, " ")}${length}${error}`,
      consequence: ageMs == null ? "Nothing has arrived yet." : `The newest data is ${span(ageMs)} old; charts end where knowledge ends.`,
    };
  }
  return { state: "fresh", ageMs, headline: "", consequence: "" };
}

export function useTrust(): Trust {
  const { stream } = useApp();
  useNow(); // ages grow whether or not anything arrives
  const link = useStore(stream.link);
  const known = useStore(stream.known);
  return trust(link, known, stream.newsAt, Date.now());
}

export function Banner() {
  const { stream } = useApp();
  const t = useTrust();
  const loud = t.headline !== "";
  // The element is always there, so that a screen reader hears when it gets its text.
  return (
    <div class="banner" role="alert" data-testid="connection" data-state={t.state} hidden={!loud}>
      {loud && (
        <>
          <span class="sign" aria-hidden="true">
            ▲
          </span>
          <p>
            <b>{t.headline}.</b> {t.consequence}
          </p>
          {t.state !== "feed" && (
            <button type="button" onClick={stream.retry}>
              Try now
            </button>
          )}
        </>
      )}
    </div>
  );
}

export function Strip() {
  const { stream, prefs, clock } = useApp();
  const strip = useStore(stream.known, (k) => k.strip);
  const asOf = useStore(stream.drawn);
  const zone = useZone();
  const href = useHref();
  const t = useTrust();
  const now = clock.now();
  const away = strip ? absent(strip) : "";
  return (
    <section
      class="strip"
      aria-label="State of rollcall itself"
      data-testid="strip"
      data-expected={strip?.expected}
      data-answering={strip?.answering}
      data-as-of={asOf || undefined}
    >
      {strip ? (
        <span class="sum">
          {strip.expected === 0 ? (
            <>nobody is on the roster</>
          ) : away === "" ? (
            <>
              all <b>{count(strip.expected)}</b> answering
            </>
          ) : (
            <>
              <b>{count(strip.answering)}</b> of {count(strip.expected)} answering,{" "}
              <a href={href("/services", { sort: "-missing" })} data-in>
                {away}
              </a>
            </>
          )}
          {t.ageMs != null && (
            <>
              {" · "}
              <span data-testid="age">{span(t.ageMs)} old</span>
            </>
          )}
          {t.state === "fresh" && strip.feed.state === "live" && " · feed live"}
          {t.state === "fresh" && strip.feed.state === "live" && strip.expected > 0 && !strip.exceptions?.length && " · everything delivered"}
        </span>
      ) : (
        <span class="sum">{t.state === "refused" ? "nothing is known" : "calling the roll …"}</span>
      )}
      {(strip?.exceptions ?? [])
        .filter((e) => !(t.state === "feed" && strip?.feed.error && e.text.includes(strip.feed.error)))
        .map((e, i) => (
          <span key={i} class={`exception ${e.level}`} data-testid="exception">
            <span class="sign" role="img" aria-label={e.level === "bad" ? "Bad:" : "Warning:"}>
              {e.level === "bad" ? "▲" : "△"}
            </span>{" "}
            {e.link?.startsWith("/") && !e.link.startsWith("//") ? (
              <a href={e.link} data-in>
                {e.text}
              </a>
            ) : (
              e.text
            )}
          </span>
        ))}
      <PaceNote />
      <button
        type="button"
        class="clock"
        title="Show times in UTC or in your own zone"
        onClick={() => prefs.set({ ...prefs.get(), zone: prefs.get().zone === "utc" ? "local" : "utc" })}
      >
        {at(now, zone, now)}
      </button>
    </section>
  );
}
