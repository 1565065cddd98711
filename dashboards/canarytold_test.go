package dashboards

import (
	"strings"
	"testing"
	"time"
)

// What nobody of ours can have told of a canary is not taken.
func TestCanaryIsHeldToItsShape(t *testing.T) {
	now := time.Unix(1764000000, 0)
	for name, change := range map[string]func(*CanaryTold){
		"":                func(*CanaryTold) {},
		"no version":      func(c *CanaryTold) { c.Version = "" },
		"a long reason":   func(c *CanaryTold) { c.Reason = strings.Repeat("x", MaxWords+1) },
		"a turn to come":  func(c *CanaryTold) { c.Turns[0].T = now.Add(2 * time.Hour).UnixMilli() },
		"no verdict":      func(c *CanaryTold) { c.Turns[0].Verdict = "" },
		"many turns":      func(c *CanaryTold) { c.Turns = make([]CanaryTurn, MaxCanaryTurns+1) },
		"no metric":       func(c *CanaryTold) { c.Failed[0].Name = "" },
		"what is no text": func(c *CanaryTold) { c.Failed[0].Text = "\x00" },
	} {
		c := &CanaryTold{Version: "2", Baseline: "1", Verdict: "fail", Reason: "failed", Turns: []CanaryTurn{{1, "hold"}}, Failed: []CanaryHarm{{Name: "errors", Kind: "ratio", At: 1, Text: "errors 1 %"}}}
		change(c)
		f := Finding{ID: "c1", Service: "a", Env: "b", Level: LevelBad, Metric: MetricCanary, Since: 1, Canary: c}
		n := Note{V: 1, Kind: NoteFinding, ID: "c1", TS: now.UnixMilli(), Finding: &f}
		if err := n.check(now); (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
