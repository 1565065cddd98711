// Where a finding leads: to its host, its service, or its own page.
import type { Finding } from "../api/contract";
import { findingPath, hostPath, servicePath } from "../state/route";

/** link is a web address, or nothing: whoever wrote it may have written anything. */
export const link = (s: string | undefined): string | undefined => (s && /^https?:\/\/[^\s]{1,500}$/.test(s) ? s : undefined);

const ofHost = "host.name=";

/** hostOf is the host that a finding is about, or where the only ones are that it is about; empty: it is not one host. */
export function hostOf(f: Finding): string {
  const at = (f.place ? [f.place] : (f.where ?? [])).filter((w) => w.startsWith(ofHost));
  return at.length === 1 ? (at[0] as string).slice(ofHost.length) : "";
}

/** several: it is about a place that services share. */
export const several = (f: Finding): boolean => (f.services?.length ?? 0) > 1;

/** home is where one goes on about an open finding: to the host or the service in trouble. Of another place, and of what is over, its own page knows most. */
export function home(f: Finding): string {
  if (f.ended != null) return findingPath(f.id);
  if (!several(f)) return servicePath(f.service);
  return hostOf(f) ? hostPath(hostOf(f)) : findingPath(f.id);
}

/** valueOf is the value of a condition NAME=VALUE. */
export const valueOf = (where: string): string => where.slice(where.indexOf("=") + 1);
