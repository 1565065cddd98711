// Says new findings, and those that are over, to who hears the page instead of seeing it. Once each.
import { useEffect, useRef, useState } from "preact/hooks";
import { quiet } from "../api/contract";
import { useApp, useEnv } from "../state/app";
import { useStore } from "../state/store";

export function Herald() {
  const { stream } = useApp();
  const env = useEnv();
  const findings = useStore(stream.known, (k) => k.findings);
  const whole = useStore(stream.known, (k) => k.asOf > 0);
  const told = useRef<{ env: string; open: Set<string> } | null>(null);
  const [words, say] = useState("");
  useEffect(() => {
    if (!whole) return;
    const open = findings.filter((f) => f.ended == null && f.env === env && !quiet(f));
    const was = told.current;
    told.current = { env, open: new Set(open.map((f) => f.id)) };
    if (was?.env !== env) return; // what was there before one came is on the page
    const begun = open.filter((f) => !was.open.has(f.id)).map((f) => f.title);
    const over = findings.filter((f) => f.ended != null && was.open.has(f.id)).map((f) => `Over: ${f.title}`);
    const all = [...begun, ...over];
    if (all.length) say(all.slice(0, 3).join(". ").slice(0, 400) + (all.length > 3 ? `. And ${all.length - 3} more` : ""));
  }, [findings, env, whole]);
  return (
    <p class="hidden" role="status" aria-live="polite" data-testid="herald">
      {words}
    </p>
  );
}
