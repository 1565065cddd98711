// Why one instance is what it is, in the collector's own sentences.
import { getWhy } from "../api/fetch";
import { usePoll } from "../api/poll";
import { at } from "../say/time";
import { useNow, useZone } from "../state/app";

export function Why({ id }: { id: string }) {
  const zone = useZone();
  const now = useNow();
  const polled = usePoll("why " + id, 5000, (signal) => getWhy(id, signal));
  const a = polled.data;
  if (!a)
    return (
      <div class="detail why" data-testid="why">
        {polled.error ? <p class="warn">△ {polled.error.message}</p> : <p class="dim">Asking why …</p>}
      </div>
    );
  const events = [...(a.story.events ?? [])].reverse();
  return (
    <div class="detail why" data-testid="why">
      {a.sentences.map((s, i) => (
        <p key={i}>{s}</p>
      ))}
      {events.length > 0 && (
        <ol aria-label="What happened">
          {events.map((e, i) => (
            <li key={i}>
              <span class="dim">{at(Date.parse(e.at), zone, now)}</span> {e.what}
              {e.detail && <span class="dim">: {e.detail}</span>}
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}
