// A list that is drawn a few items at a time: the others stay as they were drawn until their turn.
import { Component, type ComponentChildren, type VNode } from "preact";
import { useEffect, useLayoutEffect, useReducer, useRef } from "preact/hooks";
import { useApp } from "../state/app";

/** rowsATurn is how many rows of a list are drawn before it is asked whether the frame has time for more. */
const rowsATurn = 4;

/** Item is drawn again only when it is its turn. */
class Item extends Component<{ turn: boolean; draw: () => ComponentChildren }> {
  override shouldComponentUpdate(next: { turn: boolean }): boolean {
    return next.turn;
  }
  render(): ComponentChildren {
    return this.props.draw();
  }
}

/**
 * useInTurns is the items as they are drawn now. One that is new is drawn at once, all others in turns when render is another, in order; one that nobody sees stays
 * as it is.
 */
export function useInTurns<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  render: (item: T, i: number) => ComponentChildren,
  first = 0, // the number of the first item
  seen: (i: number) => boolean = () => true,
  each = rowsATurn,
): VNode[] {
  const { turns } = useApp();
  const drawn = useRef(new Map<string, number>()); // each as of which round
  const round = useRef({ n: 0, by: render });
  if (round.current.by !== render) round.current = { n: round.current.n + 1, by: render };
  const mine = useRef(false); // is it this list's turn?
  const [, again] = useReducer<number, void>((n) => n + 1, 0);
  const draw = useRef(() => {
    mine.current = true;
    again();
  }).current;

  let left = mine.current ? each : 0;
  mine.current = false;
  let late = false;
  const now = new Map<string, number>();
  const nodes = items.map((item, n) => {
    const i = first + n;
    const key = keyOf(item);
    const was = drawn.current.get(key);
    const old = was !== undefined && was !== round.current.n && seen(i);
    const turn = was === undefined || (old && left-- > 0);
    late ||= old && !turn;
    now.set(key, turn ? round.current.n : was);
    return <Item key={key} turn={turn} draw={() => render(item, i)} />;
  });
  drawn.current = now;
  useLayoutEffect(() => {
    if (late) turns.ask(draw);
  });
  useEffect(() => () => turns.forget(draw), []);
  return nodes;
}

interface Props<T> {
  items: readonly T[];
  keyOf: (item: T) => string;
  render: (item: T, i: number) => ComponentChildren;
}

/** InTurns is a few things that are each as much as a turn has time for. */
export function InTurns<T>({ items, keyOf, render }: Props<T>) {
  return <>{useInTurns(items, keyOf, render, 0, undefined, 1)}</>;
}
