package dashboards

import (
	"math"
	"testing"
	"time"
)

// A figure is told as one that moved when it moved by more than it varies: by more than chance, where it is counted.
func TestStepped(t *testing.T) {
	rate := func(unit string) figure { return figure{"errors", unit, 10} }
	for _, c := range []struct {
		name        string
		f           figure
		was, wiggle float64
		is          float64
		want        string
	}{
		{"one error a second after none, in steps of ten", rate("/s"), 0, 0, 1, ""},
		{"a storm of them after none", rate("/s"), 0, 0, 30, "errors 0/s → 30/s"},
		{"a twentieth more of many requests", figure{"rate", "/s", 10}, 1000, 3, 1050, ""},
		{"half as many again", figure{"rate", "/s", 10}, 1000, 3, 1500, "rate 1000/s → 1500/s"},
		{"it varies as much all the time", figure{"rate", "/s", 10}, 1000, 200, 1500, ""},
		{"a latency, which is no count", figure{"latency", " ms", 0}, 20, 0.2, 81.23, "latency 20 ms → 81.2 ms"},
		{"a gauge that always stood still", figure{name: "threads"}, 8, 0, 16, "threads 8 → 16"},
		{"nothing moved", figure{name: "threads"}, 8, 0, 8, ""},
	} {
		at := time.Unix(1_700_000_000, 0)
		get := func(from, to int64) (v []float64) {
			for k, x := from/10_000, 0.0; k <= to/10_000; k++ {
				if x = c.is; k*10_000 < ms(at)-changeBack.Milliseconds() {
					x = c.was + c.wiggle*math.Sin(float64(k))
				}
				v = append(v, x)
			}
			return v
		}
		said := ""
		for _, change := range stepped(nil, &service{name: "cart", env: "prod"}, c.f, at, 1, get) {
			said = change.Text
		}
		if said != c.want {
			t.Errorf("%s: told %q, want %q", c.name, said, c.want)
		}
	}
}
