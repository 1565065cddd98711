// Server-sent events by the WHATWG's rules, over fetch: unlike EventSource it also hears the comment lines that keep a connection honest.

export interface ServerEvent {
  event: string;
  data: string;
  id: string; // its own; "": it has none
}

/** sseParser takes the stream's text in pieces of any length and hands out whole events. */
export function sseParser(emit: (e: ServerEvent) => void): (chunk: string) => void {
  let rest = "";
  let event = "";
  let id = "";
  let data: string[] = [];
  const line = (l: string): void => {
    if (l === "") {
      if (data.length > 0) emit({ event: event || "message", data: data.join("\n"), id });
      event = id = "";
      data = [];
      return;
    }
    const colon = l.indexOf(":");
    if (colon === 0) return; // a comment
    const field = colon < 0 ? l : l.slice(0, colon);
    let value = colon < 0 ? "" : l.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
    else if (field === "id") id = value;
  };
  return (chunk) => {
    rest += chunk;
    // A carriage return at the very end may be half of a CRLF: wait for what follows.
    const end = rest.endsWith("\r") ? rest.length - 1 : rest.length;
    let from = 0;
    // The ends of lines are looked for by the browser: an event may be of a megabyte.
    let lf = rest.indexOf("\n");
    let cr = rest.indexOf("\r");
    for (;;) {
      const i = cr < 0 || (lf >= 0 && lf < cr) ? lf : cr;
      if (i < 0 || i >= end) break;
      line(rest.slice(from, i));
      from = i === cr && rest.charCodeAt(i + 1) === 10 ? i + 2 : i + 1;
      if (lf >= 0 && lf < from) lf = rest.indexOf("\n", from);
      if (cr >= 0 && cr < from) cr = rest.indexOf("\r", from);
    }
    rest = rest.slice(from);
  };
}
