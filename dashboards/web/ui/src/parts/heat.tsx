// Every instance as a small field, by zone or version: where trouble sits is seen before a word is read.
import { useMemo } from "preact/hooks";
import type { Instance } from "../api/answers";
import type { Level } from "../api/contract";
import { count, plural } from "../say/number";
import type { Health } from "./health";

export type HeatBy = "zone" | "version" | "track";

export interface Judged {
  i: Instance;
  h: Health;
}

const signs: Record<Level | "", string> = { bad: "▲", warn: "△", "": "" };

interface Props {
  all: Judged[];
  by: HeatBy;
  onBy: (by: HeatBy) => void;
  onPick: (instance: string) => void;
}

export function Heat({ all, by, onBy, onPick }: Props) {
  const groups = useMemo(() => {
    const m = new Map<string, Judged[]>();
    for (const x of all) {
      const k = x.i[by] || "unknown";
      const g = m.get(k);
      if (g) g.push(x);
      else m.set(k, [x]);
    }
    const place = (a: Judged, b: Judged): number => a.i.instance.localeCompare(b.i.instance, "en", { numeric: true });
    for (const g of m.values()) g.sort(place); // by address: an instance keeps its place whatever befalls it
    return [...m].sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true }));
  }, [all, by]);
  const size = all.length <= 150 ? "large" : all.length <= 600 ? "middle" : "small";
  return (
    <div class={`heat ${size}`} data-testid="heat">
      <div class="by" role="group" aria-label="Group instances by">
        {(["zone", "version", "track"] as const).map((k) => (
          <button key={k} type="button" aria-pressed={by === k} onClick={() => onBy(k)}>
            by {k}
          </button>
        ))}
      </div>
      <div class="groups">
        {groups.map(([name, g]) => {
          const bad = g.filter((x) => x.h.level === "bad").length;
          const warn = g.filter((x) => x.h.level === "warn").length;
          return (
            <div key={name} class="group">
              <span class="name">
                {name} <span class="dim">{count(g.length)}</span>
                {bad > 0 && <span class="bad"> ▲ {count(bad)}</span>}
                {warn > 0 && <span class="warn"> △ {count(warn)}</span>}
              </span>
              <span
                class="cells"
                role="img"
                aria-label={`${name}: ${plural(g.length, "instance")}, ${bad} bad, ${warn} with a warning`}
                onClick={(e) => {
                  const id = (e.target as HTMLElement).dataset.instance;
                  if (id) onPick(id);
                }}
              >
                {g.map((x) => (
                  <span key={x.i.instance} class={`c ${x.h.level}`} data-instance={x.i.instance} title={`${x.i.instance}: ${x.h.word}`}>
                    {signs[x.h.level]}
                  </span>
                ))}
              </span>
            </div>
          );
        })}
      </div>
    </div>
  );
}
