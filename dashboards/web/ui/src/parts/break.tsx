// The demo's own switch: break something on purpose, and see how long the page needs to name it.
import { useEffect, useRef, useState } from "preact/hooks";
import { breakSomething, plain } from "../api/fetch";
import { span } from "../say/time";
import { useApp } from "../state/app";
import { useStore } from "../state/store";

const kinds: [kind: string, text: string][] = [
  ["canary", "A bad canary in one zone"],
  ["as", "One network in trouble"],
  ["host", "One bad host"],
  ["deploy", "A bad deploy"],
  ["crash", "A dead host"],
  ["expiry", "ZooKeeper forgets everybody"],
  ["", "Surprise me"],
];

interface Broken {
  text: string;
  at: number;
  known: Set<string>; // findings there were before
  namedAfter: number | null;
  error: boolean;
}

export function BreakMenu() {
  const { stream, clock } = useApp();
  const findings = useStore(stream.known, (k) => k.findings);
  const [broken, setBroken] = useState<Broken | null>(null);
  const [busy, setBusy] = useState(false);
  const menu = useRef<HTMLDetailsElement>(null);

  useEffect(() => {
    if (!broken || broken.error || broken.namedAfter != null) return;
    if (findings.some((f) => f.ended == null && !broken.known.has(f.id))) setBroken({ ...broken, namedAfter: clock.now() - broken.at });
  }, [findings, broken]);

  useEffect(() => {
    const away = (e: Event): void => {
      if (menu.current?.open && !menu.current.contains(e.target as Node)) menu.current.open = false;
    };
    document.addEventListener("pointerdown", away);
    return () => document.removeEventListener("pointerdown", away);
  }, []);

  const hit = async (kind: string): Promise<void> => {
    if (menu.current) menu.current.open = false;
    const known = new Set(findings.map((f) => f.id));
    const at = clock.now();
    setBusy(true);
    try {
      setBroken({ text: (await breakSomething(kind)).text, at, known, namedAfter: null, error: false });
    } catch (e) {
      setBroken({
        text: `Nothing was broken: ${plain(e)}`,
        at,
        known,
        namedAfter: null,
        error: true,
      });
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <details
        class="break"
        ref={menu}
        onKeyDown={(e) => {
          if (e.key !== "Escape" || !menu.current?.open) return;
          e.stopPropagation();
          menu.current.open = false;
        }}
      >
        <summary data-testid="break-menu">
          Break<span class="long"> something</span>
        </summary>
        <ul>
          {kinds.map(([kind, text]) => (
            <li key={kind}>
              <button type="button" disabled={busy} onClick={() => hit(kind)} data-testid="break" data-kind={kind || "next"}>
                {text}
              </button>
            </li>
          ))}
        </ul>
      </details>
      <div class="broken" role="status" data-testid="broken" hidden={!broken}>
        {broken && (
          <>
            <span>
              {broken.error ? "" : "You broke: "}
              {broken.text}
              {broken.namedAfter != null && <b> · named after {span(broken.namedAfter)}</b>}
            </span>
            <button type="button" class="link" aria-label="Dismiss" onClick={() => setBroken(null)}>
              ×
            </button>
          </>
        )}
      </div>
    </>
  );
}
