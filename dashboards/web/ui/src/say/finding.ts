// A finding in words: how long, what came before, who looks after it, and all of it for a chat.
import { about, type Change, type Finding } from "../api/contract";
import { plural } from "./number";
import { at, span as length, type Zone } from "./time";

export const lasted = (f: Finding, now: number): string => (f.ended == null ? `for ${length(now - f.since)}` : `over after ${length(f.ended - f.since)}`);

/** asText is a finding for a chat: everything that the page says of it, and its address. */
export function asText(f: Finding, now: number, zone: Zone, link: string): string {
  const lines = [
    f.ended == null
      ? `${f.level === "bad" ? "▲" : "△"} ${f.title} (${f.env}, since ${at(f.since, zone, now)}, ${lasted(f, now)})`
      : `Over: ${f.title} (${f.env}, ${at(f.since, zone, now)} to ${at(f.ended, zone, now)}, ${length(f.ended - f.since)})`,
  ];
  if (f.only) lines.push(f.only);
  if (f.cleared?.length) lines.push("Cleared: " + f.cleared.join(" · "));
  if (f.services?.length) lines.push("Services: " + f.services.join(", "));
  for (const e of told(f)) lines.push(`${at(e.t, zone, now)}  ${e.text}`);
  if (f.silenced) lines.push(`Silenced by ${f.silenced.by} until ${at(f.silenced.until, zone, now)}`);
  else if (f.ack) lines.push(`${f.ack.by} looks after it since ${at(f.ack.at, zone, now)}${f.ack.why ? `: ${f.ack.why}` : ""}`);
  const who = [f.owner && `Owner ${f.owner}`, f.chat && `Chat ${f.chat}`, f.runbook && `Runbook ${f.runbook}`].filter(Boolean);
  if (who.length) lines.push(who.join(" · "));
  return [...lines, link].join("\n");
}

const mostTold = 8;

/** told is what happened, in order: the finding's own events and what else changed before it, each once. Of several services each is named. */
export function told(f: Finding): { t: number; text: string; els: boolean }[] {
  const own = (f.events ?? []).map((e) => ({ t: e.t, text: e.text, els: false, begins: e.kind === "finding" }));
  const its = about(f);
  const named = (c: Change): string => (c.service && (its.length > 1 || !its.includes(c.service)) ? `${c.service}: ${c.text}` : c.text);
  const there = new Set(own.map((e) => e.text));
  const others = (f.before ?? [])
    .filter((c) => !there.has(named(c)))
    .slice(0, mostTold - Math.min(own.length, 3))
    .map((c) => ({ t: c.t, text: named(c), els: true, begins: false }));
  const second = (e: { t: number }): number => Math.floor(e.t / 1000);
  // Times are told to the second: what may be the cause stands before what began in the same one.
  return [...own.slice(-mostTold), ...others].sort((a, b) => second(a) - second(b) || Number(a.begins) - Number(b.begins) || a.t - b.t);
}

const names = (all: string[]): string => {
  const each = [...new Set(all)];
  if (each.length > 3) return `${each.slice(0, 2).join(", ")} and ${each.length - 2} more`;
  return [each.slice(0, -1).join(", "), each.at(-1)].filter(Boolean).join(" and ");
};

/** watched says of findings that are quiet who keeps them so: "1 finding, looked after by anna". */
export function watched(all: readonly Finding[]): string {
  const silent = all.filter((f) => f.silenced);
  const looked = all.filter((f) => !f.silenced && f.ack);
  const by = [
    looked.length && `looked after by ${names(looked.map((f) => f.ack!.by))}`,
    silent.length && `silenced by ${names(silent.map((f) => f.silenced!.by))}`,
  ].filter(Boolean);
  if (by.length < 2) return [plural(all.length, "finding"), ...by].join(", ");
  return `${plural(all.length, "finding")}: ${looked.length} ${by[0]}, ${silent.length} ${by[1]}`;
}

/** isCanary: it tells of a canary that stands failed. */
export const isCanary = (f: Finding): boolean => f.metric === "canary";

/**
 * headline is what a page without anything new says, and what there is besides. canaries stand failed, quiet findings are looked after; trouble counts the services
 * in trouble of which neither tells. blind: it does not know of now.
 */
export function headline(s: { blind: boolean; canaries: readonly Finding[]; quiet: readonly Finding[]; trouble: number }): { big: string; rest: string } {
  const [one] = s.canaries;
  const parts = [
    s.canaries.length > 1 ? `${s.canaries.length} canaries fail` : one && `The canary ${[one.service, one.canary?.version].filter(Boolean).join(" ")} fails`,
    s.quiet.length > 0 && watched(s.quiet),
  ].filter(Boolean);
  if (parts.length === 0) return { big: s.blind ? "Nothing was wrong when we last knew." : s.trouble ? "Nothing has a cause yet." : "Nothing is wrong.", rest: "" };
  const rest = s.trouble ? `${plural(s.trouble, "service")} in trouble without a cause yet.` : "Nothing else is wrong.";
  return { big: parts.join("; ") + (s.blind ? " when we last knew." : "."), rest: s.blind ? "" : rest };
}
