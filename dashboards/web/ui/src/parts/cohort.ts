// By what instances can be told apart: what a filter offers.
import type { Instance } from "../api/answers";

export interface Pair {
  name: string;
  value: string;
  n: number; // instances
}

const shorts = new Map([
  ["service.version", "version"],
  ["cloud.availability_zone", "zone"],
  ["rollcall.track", "track"],
  ["cloud.region", "region"],
]);
const own = new Set(["service.name", "deployment.environment.name"]); // all have the same
const most = 500;

/** dimensionsOf is every tag and value that some instances have and others have not, the best known first. */
export function dimensionsOf(all: readonly Instance[]): Pair[] {
  const of = new Map<string, Pair>();
  const add = (name: string, value: string): void => {
    if (!value || own.has(name)) return;
    const key = `${name}=${value}`;
    const p = of.get(key);
    if (p) p.n++;
    else of.set(key, { name, value, n: 1 });
  };
  for (const i of all) {
    for (const [k, v] of Object.entries(i.tags ?? {})) add(shorts.get(k) ?? k, v);
    add("instance", i.instance);
  }
  const rank = (p: Pair): number => {
    const at = ["version", "zone", "track", "region"].indexOf(p.name);
    return p.name === "instance" ? 9 : at >= 0 ? at : 5;
  };
  return [...of.values()]
    .filter((p) => p.n < all.length)
    .sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : a.name > b.name ? 1 : b.n - a.n || (a.value < b.value ? -1 : 1)))
    .slice(0, most);
}
