// The window that the reader has drawn over a chart, as the address has it: every chart of the page shows it.
import { useMemo } from "preact/hooks";
import type { Span } from "../draw/spark";
import { useRoute } from "../state/app";

export function useBrushed(): Span | null {
  const { query } = useRoute();
  const from = Number(query.from);
  const to = Number(query.to);
  const asked = !!query.from && !!query.to && to > from;
  return useMemo(() => (asked ? { from, to } : null), [asked, from, to]);
}
