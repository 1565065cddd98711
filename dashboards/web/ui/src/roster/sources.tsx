// How far each source of discovery can be believed.
import type { SourceView } from "../api/rostered";
import { span } from "../say/time";
import { signs } from "../say/level";

/** heard says when a source was last heard, which a list in the configuration never is. */
export function heard(v: Pick<SourceView, "last_heard" | "connected">, now: number): string {
  if (v.last_heard) return `heard ${span(now - v.last_heard)} ago`;
  return v.connected ? "its list is fixed" : "never heard yet";
}

export function Sources({ views, now }: { views: SourceView[]; now: number }) {
  if (views.length === 0) return null; // a server that only reads the topic has no sources of its own
  return (
    <ul class="sources" aria-label="Sources" data-testid="sources">
      {views.map((v) => {
        const level = !v.connected ? "bad" : v.read_only || v.error ? "warn" : "";
        const word = !v.connected ? "not connected" : v.read_only ? "read-only: its server has lost the quorum" : "connected";
        return (
          <li key={v.source}>
            <b>{v.source}</b>{" "}
            <span class={level}>
              {signs[level]}
              {word}
            </span>
            {v.server && <span class="dim"> {v.server}</span>}
            <span class="dim">, {heard(v, now)}</span>
            {v.error && <span class={level || "warn"}> {v.error}</span>}
            {!v.connected && <span class="dim">: its members stay on the roster as last seen, and scraping goes on</span>}
          </li>
        );
      })}
    </ul>
  );
}
