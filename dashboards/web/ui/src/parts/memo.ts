// A component that is drawn again only when what it was given is another thing.
import { Component, h, type ComponentChildren, type FunctionComponent } from "preact";

type Props = Record<string, unknown>;

function same(a: Props, b: Props): boolean {
  for (const k in a) if (!Object.is(a[k], b[k])) return false;
  for (const k in b) if (!(k in a)) return false;
  return true;
}

export function memo<P extends object>(inner: FunctionComponent<P>): new (props: P) => Component<P> {
  return class extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      return !same(this.props as Props, next as Props);
    }
    render(): ComponentChildren {
      return h(inner, this.props as P);
    }
  };
}
