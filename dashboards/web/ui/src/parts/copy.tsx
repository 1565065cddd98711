// Takes a text away by a click.
import { useRef, useState } from "preact/hooks";

export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers lend the clipboard only to pages over TLS or from localhost: the old way works elsewhere.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const ok = document.execCommand("copy");
    area.remove();
    return ok;
  }
}

export function CopyButton({ text, label = "Copy" }: { text: () => string; label?: string }) {
  const [said, say] = useState("");
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const click = async (): Promise<void> => {
    say((await copy(text())) ? "Copied" : "Could not copy");
    clearTimeout(timer.current);
    timer.current = setTimeout(() => say(""), 2000);
  };
  return (
    <button type="button" class="link" onClick={click} data-testid="copy">
      <span aria-live="polite">{said || label}</span>
    </button>
  );
}
