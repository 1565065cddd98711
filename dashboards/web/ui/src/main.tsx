// Wires the page together: this is the only place where its parts are made.
import type { Me } from "./api/answers";
import { render } from "preact";
import { Stream } from "./api/stream";
import { Frame } from "./app";
import "./css/base.css";
import "./css/frame.css";
import "./css/now.css";
import "./css/finding.css";
import "./css/chart.css";
import "./css/table.css";
import "./css/pages.css";
import "./css/roster.css";
import "./css/look.css";
import { AppContext, type App } from "./state/app";
import { Clock } from "./state/clock";
import { openPrefs } from "./state/prefs";
import { Router } from "./state/route";
import { Store } from "./state/store";
import { screenFrames, Turns } from "./state/turns";

const root = document.getElementById("app");
if (root) {
  const end = new AbortController(); // the page ends with its tab
  const turns = new Turns(screenFrames());
  const clock = new Clock(Date.now, turns);
  const router = new Router(window);
  const app: App = {
    clock,
    router,
    prefs: openPrefs(window),
    stream: new Stream(clock, turns),
    turns,
    cursor: new Store<number | null>(null),
    palette: new Store(false),
    me: new Store<Me | null>(null),
  };
  clock.run(end.signal);
  router.run(end.signal);
  render(
    <AppContext.Provider value={app}>
      <Page />
    </AppContext.Provider>,
    root,
  );
}

/**
 * Page is never drawn again by itself, so that nothing holds on to how it was drawn first: Preact keeps what a component was drawn as first in the properties of the
 * one around it, and from there every later drawing that shares a part of it.
 */
function Page() {
  return <Frame />;
}
