// A chart of one or many lines over time, on uPlot: gaps are gaps, events are dotted lines, and the cursor is shared by all charts of the page.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Level, Mark, Values } from "../api/contract";
import { axisText } from "../say/number";
import { clock, type Zone } from "../say/time";
import { useApp, useZone } from "../state/app";
import { useStore } from "../state/store";
import { indexAt } from "./path";
import { ticks, type Scale } from "./scale";
import type { Span } from "./spark";

export interface ChartLine {
  name: string;
  values: Values;
  lo?: Values | null;
  hi?: Values | null;
}

interface Props {
  title: preact.ComponentChildren;
  name: string; // for tests and those who do not see it
  lines: ChartLine[];
  t0: number;
  step: number;
  span: Span;
  scale: Scale;
  say: (v: number | null | undefined) => string;
  /** sayWithin says a value with what it lies between. */
  sayWithin?: (v: { est: number; lo: number | null; hi: number | null }) => string;
  /** current is what is said of one line when nobody points at it (then note is of now, too); else its last value. */
  current?: string;
  note?: preact.ComponentChildren;
  marks?: Mark[];
  /** usual is where the line usually is: a band behind it. */
  usual?: Scale | null;
  /** brushed is what the reader asks about: it stays drawn. */
  brushed?: Span | null;
  level?: Level | "";
  height?: number;
  onBrush?: (from: number, to: number) => void;
  actions?: preact.ComponentChildren;
}

const colours = new Map<string, string>();
let coloursOf = -1;

/** colour is one of the style sheet's. They are asked for once a second at most: each asking has the browser work out its styles. */
function colour(name: string): string {
  const second = Math.floor(performance.now() / 1000);
  if (second !== coloursOf) colours.clear();
  coloursOf = second;
  let c = colours.get(name);
  if (c === undefined) colours.set(name, (c = getComputedStyle(document.documentElement).getPropertyValue(name).trim()));
  return c;
}

/** strokes tell lines apart without colour, which means trouble here: by weight, shade and dashes. */
export const strokes: readonly { shade: string; dash: number[]; width: number }[] = [
  { shade: "--ink", dash: [], width: 1.5 },
  { shade: "--dim", dash: [6, 3], width: 1.5 },
  { shade: "--calm", dash: [], width: 1.5 },
  { shade: "--dim", dash: [2, 3], width: 1.5 },
  { shade: "--ink", dash: [9, 3, 2, 3], width: 1.25 },
  { shade: "--calm", dash: [6, 3], width: 1.5 },
];
const other = { shade: "--calm", dash: [], width: 1 };
/** strokeOf: past a handful no dash is told from another; then the first three stand out, all others are thin, and the one that is pointed at is drawn strong. */
export const strokeOf = (i: number, n: number): (typeof strokes)[number] => (n <= strokes.length || i < 3 ? (strokes[i] ?? other) : other);

export function Chart(p: Props) {
  const { cursor, prefs } = useApp();
  const zone = useZone();
  const theme = useStore(prefs, (x) => x.theme);
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [focus, setFocus] = useState(-1);
  const now = useRef(p);
  now.current = p;
  const focused = useRef(focus);
  const over = useRef(false); // is the pointer in this very chart?
  focused.current = focus;
  const at = useStore(cursor, (t) => (t == null ? -1 : indexAt(t, p.t0, p.step, p.lines[0]?.values.length ?? 0)));
  const anchor = useRef<number | null>(null); // where a part that is chosen by keys begins
  const keys = (e: KeyboardEvent): void => {
    const n = p.lines[0]?.values.length ?? 0;
    const u = plot.current;
    if (!u || n === 0) return;
    const here = at < 0 ? n - 1 : at;
    const chosen = (to: number): void => {
      const [a, b] = anchor.current == null ? [0, 0] : [u.valToPos((p.t0 + Math.min(anchor.current, to) * p.step) / 1000, "x"), u.valToPos((p.t0 + Math.max(anchor.current, to) * p.step) / 1000, "x")];
      u.setSelect({ left: a, top: 0, width: b - a, height: anchor.current == null ? 0 : u.over.clientHeight }, false);
    };
    if (e.key === "ArrowLeft" || e.key === "ArrowRight") {
      const to = Math.max(0, Math.min(n - 1, here + (e.key === "ArrowLeft" ? -1 : 1) * (e.ctrlKey || e.metaKey ? 10 : 1)));
      anchor.current = e.shiftKey && p.onBrush ? (anchor.current ?? here) : null;
      cursor.set(p.t0 + to * p.step);
      chosen(to);
    } else if (e.key === "Enter" && anchor.current != null && anchor.current !== here) {
      const [from, to] = [Math.min(anchor.current, here), Math.max(anchor.current, here)];
      anchor.current = null;
      chosen(here);
      p.onBrush?.(p.t0 + from * p.step, p.t0 + to * p.step);
    } else if (e.key === "Escape" && at >= 0) {
      anchor.current = null;
      chosen(here);
      cursor.set(null);
    } else return;
    e.preventDefault();
    e.stopPropagation();
  };
  const banded = p.lines.length === 1 && !!p.lines[0]?.lo && !!p.lines[0]?.hi;
  const height = p.height ?? 150;
  const shape = JSON.stringify([p.lines.map((l) => l.name), banded, zone, !!p.onBrush, height]);

  useLayoutEffect(() => {
    const el = holder.current;
    if (!el) return;
    const u = new uPlot(
      options(now, focused, zone, banded, el.clientWidth || 320, height, (t) => over.current && cursor.set(t)),
      data(now.current, banded),
      el,
    );
    plot.current = u;
    const resize = new ResizeObserver(() => {
      if (el.clientWidth > 0 && el.clientWidth !== u.width) u.setSize({ width: el.clientWidth, height });
    });
    resize.observe(el);
    const follow = cursor.listen(() => {
      const t = cursor.get();
      if (t == null) u.setCursor({ left: -10, top: -10 }, false);
      else if (!over.current) u.setCursor({ left: u.valToPos(t / 1000, "x"), top: 0 }, false);
    });
    return () => {
      follow();
      resize.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [shape]);

  useLayoutEffect(() => {
    plot.current?.setData(data(p, banded), true);
  }, [p.lines, p.t0, p.span.from, p.span.to, p.scale.lo, p.scale.hi]);

  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const again = (): void => {
      colours.clear();
      plot.current?.redraw(false);
    };
    again();
    dark.addEventListener("change", again);
    return () => dark.removeEventListener("change", again);
  }, [theme, focus, p.level, p.marks, p.usual?.lo, p.usual?.hi, p.brushed]);

  // A line of bounds alone (no one number speaks for all) counts by its bounds.
  const points = p.lines.reduce((n, l) => n + l.values.reduce<number>((m, v, i) => m + (v == null && l.hi?.[i] == null ? 0 : 1), 0), 0);
  const one = p.lines.length === 1 ? p.lines[0] : undefined;
  const valueOf = (l: ChartLine): string => {
    const pick = (v: Values): number | null => (at >= 0 ? (v[at] ?? null) : lastOf(v));
    const v = pick(l.values);
    const hi = pick(l.hi ?? []);
    if (v != null && hi != null && p.sayWithin) return p.sayWithin({ est: v, lo: pick(l.lo ?? []), hi });
    return v == null && hi != null ? `${p.say(pick(l.lo ?? []))}…${p.say(hi)}` : p.say(v);
  };
  return (
    <figure class={`plot ${p.level ?? ""}`} data-testid="chart" data-chart={p.name} data-points={points} data-lines={p.lines.length}>
      <figcaption>
        <span class="title">{p.title}</span>
        {one && <b class="figure">{at < 0 && p.current ? p.current : valueOf(one)}</b>}
        {at >= 0 && <span class="at">at {clock(p.t0 + at * p.step, zone, p.span.to)}</span>}
        {p.note && !(p.current && at >= 0) && <span class="note">{p.note}</span>}
        {p.actions && <span class="actions">{p.actions}</span>}
      </figcaption>
      <Marks marks={p.marks} span={p.span} />
      <div
        class="canvas"
        ref={holder}
        role="img"
        tabIndex={0}
        aria-label={[`Chart of ${p.name}`, ...p.lines.slice(0, 6).map((l) => [l.name, valueOf(l)].filter(Boolean).join(" ")), at >= 0 && `at ${clock(p.t0 + at * p.step, zone, p.span.to)}`]
          .filter(Boolean)
          .join(", ")}
        onKeyDown={keys}
        onPointerEnter={() => (over.current = true)}
        onPointerLeave={() => {
          over.current = false;
          cursor.set(null);
        }}
      />
      {points === 0 && <p class="nothing">Nothing is known in this window.</p>}
      {p.lines.length > 1 && (
        <ul class="legend" onPointerLeave={() => setFocus(-1)}>
          {p.lines.map((l, i) => (
            <li
              key={l.name}
              tabIndex={0}
              class={focus === i ? "on" : ""}
              onPointerEnter={() => setFocus(i)}
              onFocus={() => setFocus(i)}
              onBlur={() => setFocus(-1)}
            >
              <Swatch i={i} n={p.lines.length} />
              <span class="name">{l.name || "(none)"}</span>
              <b class="figure">{valueOf(l)}</b>
            </li>
          ))}
        </ul>
      )}
    </figure>
  );
}

const mostMarks = 40;

/** walk goes from one mark to the next by the arrows: all of a chart's are one stop of the keyboard. */
function walk(e: KeyboardEvent): void {
  const next = e.target instanceof HTMLElement && (e.key === "ArrowLeft" ? e.target.previousElementSibling : e.key === "ArrowRight" && e.target.nextElementSibling);
  if (!(next instanceof HTMLElement)) return;
  e.preventDefault();
  next.focus();
}

/** Marks are the names of the dotted lines, each where its line is, for whoever points at one or comes by with the keyboard. */
function Marks({ marks = [], span }: { marks: Mark[] | undefined; span: Span }) {
  const zone = useZone();
  const there = marks.filter((m) => m.t >= span.from && m.t <= span.to).slice(-mostMarks);
  if (there.length === 0) return null;
  return (
    <div class="marks">
      <div onKeyDown={walk}>
        {there.map((m, i) => {
          const x = (m.t - span.from) / (span.to - span.from);
          return (
            <span key={`${m.t} ${i}`} class={`mark ${x > 0.5 ? "late" : ""}`} style={{ left: `${(100 * x).toFixed(2)}%` }} tabIndex={i === there.length - 1 ? 0 : -1} role="note" data-testid="mark">
              <span class="label">
                {clock(m.t, zone, span.to)} {m.text}
              </span>
            </span>
          );
        })}
      </div>
    </div>
  );
}

function lastOf(v: Values): number | null {
  // The last step may not be whole yet: one unknown point at the end is no gap.
  return v.at(-1) ?? v.at(-2) ?? null;
}

function Swatch({ i, n }: { i: number; n: number }) {
  const s = strokeOf(i, n);
  return (
    <svg class={`swatch shade${s.shade}`} width="22" height="8" viewBox="0 0 22 8" aria-hidden="true">
      <path d="M0 4H22" stroke-dasharray={s.dash.join(" ") || undefined} stroke-width={s.width} />
    </svg>
  );
}

function data(p: Props, banded: boolean): uPlot.AlignedData {
  const n = p.lines.reduce((m, l) => Math.max(m, l.values.length), 0);
  const x = Array.from({ length: n }, (_, i) => (p.t0 + i * p.step) / 1000);
  const lines: (number | null)[][] = p.lines.map((l) => l.values);
  const one = p.lines[0];
  // The bounds first: what comes later lies on top.
  return (banded && one?.lo && one.hi ? [x, one.lo, one.hi, ...lines] : [x, ...lines]) as uPlot.AlignedData;
}

/** day is the day that an axis takes for granted: each its own, so that none is named, but where the axis is longer than one. */
const day = (t: number, s: Span): number => (s.to - s.from > 86_400_000 ? s.to : t);

function options(
  now: { current: Props },
  focused: { current: number },
  zone: Zone,
  banded: boolean,
  width: number,
  height: number,
  point: (t: number) => void,
): uPlot.Options {
  const n = now.current.lines.length;
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { font, stroke: () => colour("--faint"), ticks: { show: false }, grid: { stroke: () => colour("--line"), width: 1 } };
  const lines: uPlot.Series[] = now.current.lines.map((_, i) => {
    const s = strokeOf(i, n);
    const series: uPlot.Series = {
      stroke: () => {
        const level = now.current.level;
        if (n === 1) return colour(level ? "--" + level : "--ink");
        if (focused.current >= 0) return colour(focused.current === i ? "--ink" : "--line");
        return colour(s.shade);
      },
      width: s.width,
      dash: s.dash,
      points: { show: false },
      spanGaps: false,
    };
    return series;
  });
  // Bounds without a number between them are the news themselves.
  const bare = (): boolean => now.current.lines[0]?.values.every((v) => v == null) ?? false;
  const edge: uPlot.Series = { stroke: () => (bare() ? colour("--calm") : "transparent"), width: 1, points: { show: false } };
  return {
    width,
    height,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    tzDate: (ts) => (zone === "utc" ? uPlot.tzDate(new Date(ts * 1000), "Etc/UTC") : new Date(ts * 1000)),
    cursor: { y: false, points: { size: 5, width: 0, fill: () => colour("--ink") }, drag: { x: !!now.current.onBrush, y: false, setScale: false } },
    scales: {
      x: { time: true, range: () => [now.current.span.from / 1000, now.current.span.to / 1000] },
      y: { range: () => [now.current.scale.lo, now.current.scale.hi] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 24,
        space: 64,
        values: (_, at) => at.map((t) => clock(t * 1000, zone, day(t * 1000, now.current.span), t % 60 !== 0)),
      },
      { ...axis, size: 54, gap: 4, splits: () => ticks(now.current.scale), values: (_, at) => at.map((v) => axisText(now.current.say(v))) },
    ],
    series: [{}, ...(banded ? [edge, edge] : []), ...lines],
    bands: banded ? [{ series: [2, 1], fill: () => (now.current.usual ? colour("--calm") + "55" : colour("--usual")) }] : [],
    hooks: {
      setCursor: [
        (u) => {
          const { left } = u.cursor;
          if (left == null || left < 0) return;
          const { step } = now.current;
          point(Math.round((u.posToVal(left, "x") * 1000) / step) * step);
        },
      ],
      setSelect: [
        (u) => {
          if (u.select.width < 4) return;
          const from = u.posToVal(u.select.left, "x") * 1000;
          const to = u.posToVal(u.select.left + u.select.width, "x") * 1000;
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          now.current.onBrush?.(from, to);
        },
      ],
      drawAxes: [(u) => behind(u, now.current)],
      draw: [(u) => annotate(u, now.current, focused.current, font)],
    },
  };
}

/** behind is what lies under the lines: where they usually are, and the window that the reader asks about. */
function behind(u: uPlot, p: Props): void {
  const { ctx } = u;
  const { left, top, width, height } = u.bbox;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  if (p.usual) {
    const hi = u.valToPos(p.usual.hi, "y", true);
    ctx.fillStyle = colour("--usual");
    ctx.fillRect(left, hi, width, Math.max(1, u.valToPos(p.usual.lo, "y", true) - hi));
  }
  const b = p.brushed;
  if (b && (b.from > p.span.from || b.to < p.span.to)) {
    const from = u.valToPos(Math.max(b.from, p.span.from) / 1000, "x", true);
    const to = u.valToPos(Math.min(b.to, p.span.to) / 1000, "x", true);
    if (to > from) {
      ctx.fillStyle = colour("--calm") + "30";
      ctx.fillRect(from, top, to - from, height);
      ctx.strokeStyle = colour("--dim");
      ctx.lineWidth = devicePixelRatio || 1;
      ctx.strokeRect(from, top - 2, to - from, height + 4);
    }
  }
  ctx.restore();
}

/** annotate draws the events, and says where knowledge ends. */
function annotate(u: uPlot, p: Props, focus: number, font: string): void {
  const { ctx } = u;
  const px = devicePixelRatio || 1;
  const { left, top, width, height } = u.bbox;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.font = font.replace("11px", `${11 * px}px`);
  ctx.lineWidth = px;
  ctx.strokeStyle = colour("--faint");
  ctx.setLineDash([2 * px, 3 * px]);
  for (const m of p.marks ?? []) {
    if (m.t < p.span.from || m.t > p.span.to) continue;
    const x = Math.round(u.valToPos(m.t / 1000, "x", true)) + 0.5;
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + height);
    ctx.stroke();
  }
  let last = -1;
  for (const l of p.lines) for (let i = l.values.length - 1; i > last; i--) if (l.values[i] != null || l.hi?.[i] != null) last = i;
  const end = p.t0 + last * p.step;
  const silence = p.span.to - end;
  if (last >= 0 && silence > Math.max(10_000, 2.5 * p.step)) {
    const x = Math.max(left, u.valToPos(end / 1000, "x", true));
    const y = top + height - px;
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, y);
    ctx.lineTo(left + width, y);
    ctx.stroke();
    ctx.fillStyle = colour("--dim");
    const right = left + width - x > 120 * px;
    ctx.textAlign = right ? "left" : "right";
    ctx.fillText("no data since", right ? x + 6 * px : x - 6 * px, top + 10 * px);
  }
  ctx.setLineDash([]);
  if (focus >= 0 && p.lines[focus]) {
    // The line that is pointed at lies on top of the others.
    const l = p.lines[focus]!;
    ctx.strokeStyle = colour("--ink");
    ctx.lineWidth = 2 * px;
    ctx.beginPath();
    let pen = false;
    l.values.forEach((v, i) => {
      if (v == null) {
        pen = false;
        return;
      }
      const x = u.valToPos((p.t0 + i * p.step) / 1000, "x", true);
      const y = u.valToPos(v, "y", true);
      if (pen) ctx.lineTo(x, y);
      else ctx.moveTo(x, y);
      pen = true;
    });
    ctx.stroke();
  }
  ctx.restore();
}
