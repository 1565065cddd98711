// How trouble is said beside its colour, which not everybody sees, and in which order it stands.

/** signs stand before the words of what is in trouble. */
export const signs = { bad: "▲ ", warn: "△ ", "": "" } as const;

/** gravity sorts the worst first. */
export const gravity = { bad: 0, warn: 1, "": 2 } as const;
