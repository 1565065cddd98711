// How grave a state of the roster is: one order for sorting, colours and signs.
import type { Level } from "../api/contract";
import type { RosterEntry } from "../api/rostered";

/** states in the order of the roster's life, and how grave each is. What is present or kept out on purpose is no trouble. */
const levels = new Map<string, Level | "">([
  ["present", ""],
  ["unconfirmed", "warn"],
  ["quarantined", "warn"],
  ["failing", "bad"],
  ["departed", ""],
  ["unparsable", "bad"],
  ["filtered", ""],
]);

export const order = ["missing", ...levels.keys()];

export const levelOf = (state: string): Level | "" => (state === "missing" ? "bad" : (levels.get(state) ?? "warn"));

/** stateOf is what an entry is called: one who left and whom nobody excuses is missing. */
export const stateOf = (e: Pick<RosterEntry, "state" | "missing">): string => (e.missing ? "missing" : e.state);

const weight = new Map(["filtered", "departed", "present", "quarantined", "unconfirmed", "failing", "unparsable", "missing"].map((s, i) => [s, i]));

/** gravity sorts by trouble, not by letters: the server sorts by the same. */
export const gravity = (e: Pick<RosterEntry, "state" | "missing">): number => weight.get(stateOf(e)) ?? 2;
