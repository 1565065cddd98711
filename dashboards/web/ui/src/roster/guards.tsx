// What holds the roster as it is: guards that do not believe what they see, and what people have ordered.
import type { Guard, GuardsAnswer, Order } from "../api/rostered";
import { count, milliseconds, plural } from "../say/number";
import { at, span } from "../say/time";
import { useApp, useNow, useZone } from "../state/app";

const scopeOf = (g: Guard): string => (g.scope === "fleet" ? "the whole fleet" : g.scope);

/** headline is the guard's verdict first, then what it holds. */
export function headline(g: Guard): string {
  const verdict = g.verdict.replace(/\.$/, "");
  if (verdict) return verdict[0]?.toUpperCase() + verdict.slice(1);
  return `${plural(g.held, "instance")} vanished from ${scopeOf(g)} together, and nobody believes it yet`;
}

/** most is how many guards are told one by one. */
const most = 6;

export function Guards({ answer }: { answer: GuardsAnswer | null }) {
  const zone = useZone();
  const now = useNow();
  if (!answer) return null;
  const { guards, orders } = answer;
  const sum = (of: (g: Guard) => number): number => guards.reduce((n, g) => n + of(g), 0);
  const held = sum((g) => g.held);
  const calm = sum((g) => g.answering) >= sum((g) => g.silent);
  const since = Math.min(...guards.map((g) => Date.parse(g.since)));
  return (
    <div class="guards" data-testid="guards">
      {guards.length > 0 && (
        <section class={calm ? "guard" : "guard grave"} role="status" data-testid="guard">
          <h2>
            <span aria-hidden="true">{calm ? "△" : "▲"}</span> {guards.length === 1 ? headline(guards[0] as Guard) : together(guards)}
          </h2>
          <p>
            Since {at(since, zone, now)}, {span(now - since)} ago. {plural(held, "instance")} vanished together; they are held on the roster and scraped on.
          </p>
          <ul>
            {guards.slice(0, most).map((g) => (
              <li key={g.scope + " " + g.source} data-scope={g.scope}>
                <b>{scopeOf(g)}</b>{" "}
                <span class="dim">
                  {count(g.peak)} → {count(g.now)}: {count(g.answering)} of {count(g.held)} held answer
                  {g.silent > 0 && `, ${count(g.silent)} do not`}
                </span>
                {g.frozen && <Ordered order={g.frozen} />}
              </li>
            ))}
            {guards.length > most && <li class="dim">and {count(guards.length - most)} more: see Paths</li>}
          </ul>
        </section>
      )}
      {orders.length > 0 && (
        <ul class="orders" aria-label="Orders" data-testid="orders">
          {orders.map((o) => (
            <li key={o.id} data-testid="order">
              <Ordered order={o} />
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** together is the verdict over several guards: whether those who vanished answer is what tells ZooKeeper's trouble from the fleet's. */
export function together(guards: readonly Guard[]): string {
  const sum = (of: (g: Guard) => number): number => guards.reduce((n, g) => n + of(g), 0);
  const [held, answering, silent] = [sum((g) => g.held), sum((g) => g.answering), sum((g) => g.silent)];
  if (answering + silent === 0) return `${plural(held, "instance")} vanished at once, and were not asked yet`;
  if (answering >= silent) return `ZooKeeper, not you: ${count(answering)} of ${count(held)} that vanished answer`;
  return `${count(silent)} of ${count(held)} that vanished do not answer`;
}

const verbs: Record<string, string> = { freeze: "Frozen", accept: "Accepted", burst: "Burst" };

/** slice is whom a burst has pulled more often, and how often. */
function slice(b: NonNullable<Order["burst"]>): string {
  const tags = Object.entries(b.tags ?? {}).map(([name, value]) => `${name} ${value}`);
  return [`${b.service}/${b.env}`, ...tags, ...(b.instances ? [`at most ${b.instances}`] : []), `every ${milliseconds(b.every_ms)}`].join(", ");
}

function Ordered({ order: o }: { order: Order }) {
  const { clock } = useApp();
  const zone = useZone();
  const now = useNow();
  const left = Date.parse(o.until) - clock.now();
  return (
    <span class="order">
      <b>
        {verbs[o.kind] ?? o.kind}: {o.burst ? slice(o.burst) : o.path}
      </b>{" "}
      <span class="dim">
        until {at(Date.parse(o.until), zone, now)}
        {left > 0 ? `, ${span(left)} more` : ", over now"}, by {o.by || "somebody"}
        {o.why && <>: “{o.why}”</>}
      </span>
    </span>
  );
}

/** Unasked says which collectors could not be asked, so what only they know is not known. */
export function Unasked({ answer }: { answer: GuardsAnswer | null }) {
  if (!answer) return null;
  if (!answer.known)
    return (
      <p class="dim unasked" data-testid="unasked">
        Guards, orders, paths and why are not known here: no collector runs in this process, and none is named under <code>dashboards.collectors</code>.
      </p>
    );
  const dead = answer.collectors.filter((c) => c.error);
  if (dead.length === 0) return null;
  return (
    <p class="warn unasked" data-testid="unasked">
      △ {dead.map((c) => `collector ${c.collector}: ${c.error}`).join("; ")}
      {dead.length === answer.collectors.length ? ". Guards, paths and why are not known now." : ""}
    </p>
  );
}
