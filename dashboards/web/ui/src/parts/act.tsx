// What a reader may do about a finding: say that somebody looks after it, keep it quiet for a while, look closer.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { rowKey, type Finding } from "../api/contract";
import { acknowledge, burst, endSilence, plain, silence, takeBack } from "../api/fetch";
import { plural } from "../say/number";
import { at } from "../say/time";
import { useApp, useNow, useZone } from "../state/app";
import { useStore } from "../state/store";

type Kind = "ack" | "silence" | "burst";

const heads: Record<Kind, string> = { ack: "Acknowledge", silence: "Silence 1 h", burst: "Every second for 5 min" };
const asks: Record<Kind, string> = {
  ack: "It stays here, smaller, and says that you look after it.",
  silence: "It calls nobody for an hour; it stays here, quiet.",
  burst: "Its instances are scraped each second for five minutes.",
};

/** closest is the interval that a closer look has: whoever is pulled so often needs none, as charts and comparisons know no shorter one. */
const closest = 1000;

/** Act is the buttons of a finding; one that needs words opens a small form beneath them. */
export function Act({ f }: { f: Finding }) {
  const [open, setOpen] = useState<Kind | null>(null);
  const [said, say] = useState("");
  const app = useApp();
  const me = useStore(app.me);
  const every = useStore(app.stream.known, (k) => k.rows.get(rowKey(f))?.every_ms);
  if (me?.role === "viewer")
    return (
      <span class="dim" data-testid="viewer" title={me.why}>
        You may look, not act{me.why ? `: ${me.why}` : ""}
      </span>
    );
  const button = (kind: Kind) => (
    <button
      type="button"
      class="link"
      aria-expanded={open === kind}
      onClick={() => {
        say("");
        setOpen(open === kind ? null : kind);
      }}
      data-testid={kind}
    >
      {heads[kind]}
    </button>
  );
  return (
    <>
      {button("ack")}
      {button("silence")}
      {(f.services?.length ?? 0) < 2 &&
        (every && every <= closest && open !== "burst" ? (
          <span class="dim" title="Each instance that answers is pulled every second or more often: a closer look would show nothing more" data-testid="close-already">
            Every second already
          </span>
        ) : (
          button("burst")
        ))}
      <span class="said" role="status" data-testid="said">
        {said}
      </span>
      {open && <Form key={open} kind={open} f={f} onDone={(words) => (setOpen(null), say(words))} onClose={() => setOpen(null)} />}
    </>
  );
}

function Form({ kind, f, onDone, onClose }: { kind: Kind; f: Finding; onDone: (said: string) => void; onClose: () => void }) {
  const { prefs, me } = useApp();
  const signed = useStore(me)?.name ?? "";
  const [by, setBy] = useState(signed || prefs.get().me);
  const [why, setWhy] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const form = useRef<HTMLFormElement>(null);
  // Who asked for it types next; Escape then closes it.
  useLayoutEffect(() => form.current?.querySelector<HTMLInputElement>(by ? ".wide input" : "input")?.focus(), []);
  const go = async (e: Event): Promise<void> => {
    e.preventDefault();
    setBusy(true);
    setError("");
    try {
      const name = by.trim();
      if (!signed && name !== prefs.get().me) prefs.set({ ...prefs.get(), me: name });
      if (kind === "ack") await acknowledge(f.id, name, why.trim());
      else if (kind === "silence")
        await silence({ service: f.service, env: f.env, metric: f.metric, place: f.place || undefined, for: "1h", by: name, why: why.trim() || f.title.slice(0, 200) });
      else {
        const covers = (await burst(f.service, f.env, name, why.trim() || f.title.slice(0, 200))).covers;
        return onDone(covers ? `${covers.taken} of ${plural(covers.of, "instance")} each second for 5 min` : "each second for 5 min");
      }
      onDone("");
    } catch (x) {
      setError(plain(x));
      setBusy(false);
    }
  };
  return (
    <form
      ref={form}
      class="act"
      onSubmit={go}
      onKeyDown={(e) => {
        if (e.key !== "Escape") return;
        e.stopPropagation();
        onClose();
      }}
      data-testid="act"
    >
      <label hidden={!!signed}>
        Who <input required maxLength={100} value={by} onInput={(e) => setBy(e.currentTarget.value)} data-testid="act-by" />
      </label>
      <label class="wide">
        Why <input maxLength={400} value={why} onInput={(e) => setWhy(e.currentTarget.value)} data-testid="act-why" />
      </label>
      <button type="submit" disabled={busy} data-testid="act-go">
        {heads[kind]}
      </button>
      <button type="button" class="link" onClick={onClose}>
        Cancel
      </button>
      <p class={error ? "warn" : "dim"} role={error ? "alert" : undefined}>
        {error ? `△ ${error}` : asks[kind]}
      </p>
    </form>
  );
}

/** Quiet says who keeps a finding quiet, until when, and lets it be taken back. */
export function Quiet({ f }: { f: Finding }) {
  const { prefs, me: who } = useApp();
  const me = useStore(prefs, (p) => p.me);
  const viewer = useStore(who, (m) => m?.role === "viewer");
  const zone = useZone();
  const now = useNow(10_000);
  const [error, setError] = useState("");
  const s = f.silenced;
  const back = async (): Promise<void> => {
    try {
      // Whoever has not said who they are is somebody, and not the one whose word they take back.
      if (s) await endSilence(s.id, me || "somebody");
      else await takeBack(f.id, me || "somebody");
    } catch (x) {
      setError(plain(x));
    }
  };
  return (
    <span class="dim hushed" data-testid="quiet">
      {s
        ? `Silenced until ${at(s.until, zone, now, false)} by ${s.by}${s.why && s.why !== f.title ? `: ${s.why}` : ""}`
        : f.ack && `${f.ack.by} looks after it since ${at(f.ack.at, zone, now, false)}${f.ack.why ? `: ${f.ack.why}` : ""}`}{" "}
      {!viewer && (
        <button type="button" class="link" onClick={back} data-testid="take-back">
          {s ? "End the silence" : "Take it back"}
        </button>
      )}
      {error && (
        <span class="warn" role="alert">
          {" "}
          △ {error}
        </span>
      )}
    </span>
  );
}
