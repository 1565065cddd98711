// One finding by its address, open or over: all that is known of it, for whoever gets the link at night and whoever writes it up in the morning.
import { useEffect } from "preact/hooks";
import { rowKey, type Finding } from "../api/contract";
import { Refusal, getFinding } from "../api/fetch";
import { usePoll } from "../api/poll";
import { signalOf } from "../draw/scale";
import { FindingCard } from "../parts/finding";
import { Meanwhile } from "../parts/meanwhile";
import { useApp, useHref, useRoute } from "../state/app";
import { findingPath } from "../state/route";
import { useStore } from "../state/store";

export function FindingPage() {
  const { stream, router } = useApp();
  const { service: id, query } = useRoute();
  const href = useHref();
  const live = useStore(stream.known, (k) => k.findings.find((f) => f.id === id));
  const polled = usePoll(live ? null : id, 5000, (signal) => getFinding(id, signal), true);
  const asked = polled.data?.finding;
  const f: Finding | undefined = live ?? (asked?.id === id ? asked : undefined);
  const row = useStore(stream.known, (k) => (f ? k.rows.get(rowKey(f)) : undefined));
  useEffect(() => {
    if (f && query.env !== f.env) router.change({ env: f.env }); // the page around it is of its environment
  }, [f?.env, query.env]);

  if (!f) {
    const none = polled.error instanceof Refusal && polled.error.status === 404;
    return (
      <section class="calm" aria-busy={!polled.error} data-testid="no-finding">
        <p class="big">{none ? "This finding is not known, or not any more." : polled.error ? "Nothing is known yet." : "Looking for the finding …"}</p>
        {polled.error && (
          <p class="dim">
            {none ? "Those that are over are known for a day. " : `${polled.error.message}. `}
            <a href={href("/")} data-in>
              What is wrong now
            </a>
          </p>
        )}
      </section>
    );
  }
  return (
    <>
      <FindingCard f={f} row={row} as="whole" />
      {f.part_of && (
        <p class="dim">
          It is a part of{" "}
          <a href={href(findingPath(f.part_of), { env: f.env })} data-in>
            a finding about a place that its services share
          </a>
          .
        </p>
      )}
      <Meanwhile f={f} signal={signalOf(f)} />
    </>
  );
}
