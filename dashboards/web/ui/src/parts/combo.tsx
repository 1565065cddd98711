// A text field that offers what fits: pick with the arrows, or by click.
import { useId, useRef, useState } from "preact/hooks";

export interface Choice {
  value: string;
  hint?: string;
}

interface Props {
  label: string;
  value: string;
  choices: readonly Choice[];
  onPick: (value: string) => void;
  placeholder?: string;
  testId: string;
  /** free takes what is typed, too, where nothing that is offered fits. */
  free?: boolean;
}

const most = 50;

/** fit ranks choices: those that begin with the text, then those that hold all its words. */
export function fit(choices: readonly Choice[], text: string): Choice[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return choices.slice(0, most);
  const hits = choices.filter((c) => {
    const all = `${c.value} ${c.hint ?? ""}`.toLowerCase();
    return words.every((w) => all.includes(w));
  });
  const first = words[0] as string;
  const rank = (c: Choice): number => (c.value.toLowerCase().startsWith(first) ? 0 : 1);
  return hits.sort((a, b) => rank(a) - rank(b)).slice(0, most);
}

export function Combo({ label, value, choices, onPick, placeholder, testId, free }: Props) {
  const id = useId();
  const [typed, setTyped] = useState<string | null>(null); // null: closed, shows the value
  const [on, setOn] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const offered = typed == null ? [] : fit(choices, typed);
  const pick = (v: string): void => {
    setTyped(null);
    if (v !== value) onPick(v);
    input.current?.blur();
  };
  const key = (e: KeyboardEvent): void => {
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      const n = offered.length;
      if (n) setOn((on + (e.key === "ArrowDown" ? 1 : n - 1)) % n);
    } else if (e.key === "Enter") {
      e.preventDefault();
      const c = offered[on]?.value ?? (free ? typed?.trim() : undefined);
      if (c) pick(c);
    } else if (e.key === "Escape") {
      e.stopPropagation();
      setTyped(null);
      input.current?.blur();
    }
  };
  return (
    <div class="combo">
      <label for={id}>{label}</label>
      <input
        id={id}
        ref={input}
        role="combobox"
        autocomplete="off"
        spellcheck={false}
        aria-expanded={offered.length > 0}
        aria-controls={id + "-list"}
        aria-activedescendant={offered.length ? `${id}-${on}` : undefined}
        data-testid={testId}
        placeholder={placeholder}
        value={typed ?? value}
        onFocus={(e) => {
          setTyped("");
          setOn(0);
          e.currentTarget.select();
        }}
        onBlur={() => setTyped(null)}
        onInput={(e) => {
          setTyped(e.currentTarget.value);
          setOn(0);
        }}
        onKeyDown={key}
      />
      <ul id={id + "-list"} role="listbox" aria-label={label} hidden={offered.length === 0}>
        {offered.map((c, i) => (
          // The field keeps its focus: without it the list would be closed before the click. A finger that moves scrolls, and picks nothing.
          <li
            key={c.value}
            id={`${id}-${i}`}
            role="option"
            aria-selected={i === on}
            onMouseDown={(e) => e.preventDefault()}
            onClick={() => pick(c.value)}
            onPointerEnter={() => setOn(i)}
          >
            {c.value} {c.hint && <span class="dim">{c.hint}</span>}
          </li>
        ))}
      </ul>
    </div>
  );
}
