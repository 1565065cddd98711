package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/demo"
)

// Who sees the demo for the first time reads what it does, what will break, and how it ends.
func TestDemoWords(t *testing.T) {
	for _, tc := range []struct {
		c    demoCmd
		what string
		want []string
	}{
		{demoCmd{Interval: time.Second}, "a host dies", []string{"scraped every 1s", "In 20s a host dies, for 1m15s; then other things break.", "Ctrl-C ends it, and nothing stays behind."}},
		{demoCmd{Interval: time.Second, Storage: "/here"}, "", []string{"Nothing breaks by itself", "what it has kept stays in /here"}},
	} {
		text := strings.Join(tc.c.words(tc.what, 20*time.Second, 75*time.Second), "\n")
		for _, want := range tc.want {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
	}
	var out bytes.Buffer
	now := time.Now()
	announce(&out, demo.Fault{Text: "host a is dead", End: now.Add(time.Hour)})
	announce(&out, demo.Fault{Text: "host a is dead", End: now, Next: "a host gets sick", NextAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)})
	announce(&out, demo.Fault{Text: "host a is dead", End: now})
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{"  broken until " + now.Add(time.Hour).Format("15:04:05") + ": host a is dead", "  healed. At 03:04:05 a host gets sick.", "  healed."} {
		if !strings.HasSuffix(lines[i], want) {
			t.Errorf("%q, want %q", lines[i], want)
		}
	}
}
