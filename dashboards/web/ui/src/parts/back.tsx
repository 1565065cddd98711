// What is read back from Kafka: that it is, how much of it there was, and that one waits for it.
import { useEffect, useState } from "preact/hooks";
import type { ReadBack } from "../api/answers";
import { at, clock } from "../say/time";
import { useNow, useZone } from "../state/app";

/** Back says beside a chart where its values are from. */
export function Back({ of }: { of: ReadBack | undefined }) {
  const zone = useZone();
  const now = useNow(60_000);
  if (!of) return null;
  const part = of.from > 0 && !of.whole ? `, ${clock(of.from, zone, now)} to ${at(of.to, zone, now)} of it` : "";
  return (
    <span class={of.whole ? "dim" : "warn"} title={of.text} data-testid="read-back">
      {" · "}
      {of.from > 0 ? `read back from Kafka${part}` : of.text}
    </span>
  );
}

/** Reading says that an answer about the past may take a while, once it does. */
export function Reading() {
  const [seconds, set] = useState(0);
  useEffect(() => {
    const t = setInterval(() => set((s) => s + 1), 1000);
    return () => clearInterval(t);
  }, []);
  return seconds > 0 ? (
    <span class="dim" role="status" data-testid="reading-back">
      Reading back, {seconds} s: what is older than the windows is read from Kafka, for some 10 s at most …
    </span>
  ) : null;
}
