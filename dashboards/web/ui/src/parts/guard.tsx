// A page that fails says so and leaves the frame, the strip and the way to the other pages alone.
import { Component, type ComponentChildren } from "preact";

interface Props {
  children?: ComponentChildren;
}

export class Guard extends Component<Props, { error: unknown }> {
  override state = { error: null };

  override componentDidCatch(error: unknown): void {
    console.error(error);
    this.setState({ error });
  }

  render({ children }: Props, { error }: { error: unknown }): ComponentChildren {
    if (error == null) return children;
    return (
      <section class="calm" role="alert" data-testid="failed">
        <p class="big">▲ This page failed.</p>
        <p class="dim">
          {error instanceof Error ? error.message : String(error)}. The facts themselves are at <a href="/api/v1/now">/api/v1/now</a>.
        </p>
        <p>
          <button type="button" class="link" onClick={() => this.setState({ error: null })}>
            Draw it again
          </button>
        </p>
      </section>
    );
  }
}
