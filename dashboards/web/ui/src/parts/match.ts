// A filter that one types: all words must be found; key:value looks only into fields whose name holds key.

export type Fields = Record<string, string>;

/** matcher reads a filter once and then tells whether fields pass it. */
export function matcher(text: string): (f: Fields) => boolean {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return () => true;
  return (f) => {
    const all = Object.entries(f).map(([k, v]) => [k.toLowerCase(), v.toLowerCase()] as const);
    return words.every((w) => {
      if (all.some(([, v]) => v.includes(w))) return true;
      const colon = w.indexOf(":");
      if (colon <= 0) return false;
      const key = w.slice(0, colon);
      const value = w.slice(colon + 1);
      return all.some(([k, v]) => k.includes(key) && v.includes(value));
    });
  };
}
