// Says that the page is told less often than it could be, why, since when and what helps; and, for a while, that this is over.
import type { Pace } from "../api/stream";
import { at, span } from "../say/time";
import { useApp, useNow, useZone } from "../state/app";
import { useStore } from "../state/store";

const causes: Record<Pace["why"], [is: string, helps: string, over: string]> = {
  browser: ["This browser does not keep up", "Close what else keeps the computer busy, or look at one region.", "This browser keeps up again"],
  connection: ["The connection does not keep up", "A nearer or less busy network helps, or one region instead of all.", "The connection keeps up again"],
  windows: ["Other windows of this browser hold its connections to rollcall", "Close those that you do not need.", "There is a connection for this window again"],
};

/** overFor is how long it is said that something is over. */
const overFor = 20_000;

export function PaceNote() {
  const { stream, clock } = useApp();
  const { every, why, since } = useStore(stream.pace);
  const zone = useZone();
  useNow();
  const now = Date.now();
  const [is, helps, over] = causes[why];
  const begun = at(clock.now() - (now - since), zone, clock.now());
  const ended = every === 0 && since > 0 && now - since < overFor;
  // The element is always there, so that a screen reader hears when it gets its text.
  return (
    <span class={`exception ${every ? "warn" : "good"}`} role="status" data-testid="slowed" data-every={every} hidden={!every && !ended}>
      {every > 0 && (
        <>
          <span class="sign" aria-hidden="true">
            △
          </span>{" "}
          {is}: news every {span(every)} since {begun}, not as it comes. {helps}
        </>
      )}
      {ended && `${over}: news as it comes since ${begun}.`}
    </span>
  );
}
