// The keys, by "?".
import { useEffect, useRef } from "preact/hooks";

const keys: [string, string][] = [
  ["/", "search services, instances, metrics"],
  ["j  k", "next and previous finding, service or row"],
  ["Enter", "open it"],
  ["Esc", "close, let go, go back to Now"],
  ["←  →", "on a chart: another moment; with Shift a part of it, and Enter asks what was different then"],
  ["?", "this list"],
];

export function Help({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      class="help"
      aria-labelledby="help-title"
      onClose={onClose}
      onClick={(e) => e.target === dialog.current && onClose()}
      data-testid="help"
    >
      <div class="inner">
        <h2 id="help-title">Keys</h2>
        <dl>
          {keys.map(([k, what]) => (
            <div key={k}>
              <dt>
                {k.split("  ").map((x) => (
                  <kbd key={x}>{x}</kbd>
                ))}
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
        <p class="dim">Point at any chart: all charts and figures of the page show that moment. Every state of the page is in its address.</p>
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </dialog>
  );
}
