package tag

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// A body that is the same but for its numbers is known by its sum, and one that differs in any series is not.
func TestSame(t *testing.T) {
	var body []collector.Sample
	for i := range 40 {
		body = append(body, counter("requests/of/some/handler"[:i/2]+fmt.Sprint(i), "7"))
	}
	body = append(body, collector.Sample{Name: "x", Kind: collector.Gauge, Value: "1", Labels: pairs("code", "200", "zone", "a")})
	for _, tc := range []struct {
		name   string
		change func(b []collector.Sample) []collector.Sample
		same   bool
	}{
		{"nothing", func(b []collector.Sample) []collector.Sample { return b }, true},
		{"other numbers", func(b []collector.Sample) []collector.Sample { b[3].Value = "12"; return b }, true},
		{"a counter of which nobody says that it is one", func(b []collector.Sample) []collector.Sample { b[3].Kind = collector.Untyped; return b }, true},
		{"another kind", func(b []collector.Sample) []collector.Sample { b[3].Kind = collector.Gauge; return b }, false},
		{"another order", func(b []collector.Sample) []collector.Sample { b[3], b[4] = b[4], b[3]; return b }, false},
		{"one less", func(b []collector.Sample) []collector.Sample { return slices.Delete(b, 20, 21) }, false},
		{"one more", func(b []collector.Sample) []collector.Sample { return append(b, counter("new", "1")) }, false},
		{"the last one twice", func(b []collector.Sample) []collector.Sample { return append(b, b[len(b)-1]) }, false},
		{"another label", func(b []collector.Sample) []collector.Sample {
			b[40].Labels = pairs("code", "200", "zone", "b")
			return b
		}, false},
		{"a label less", func(b []collector.Sample) []collector.Sample { b[40].Labels = b[40].Labels[:1]; return b }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := mustNew(t, Config{Limits: Limits{1000, 1000}})
			at := t0
			enrich := func(b []collector.Sample) *same {
				at = at.Add(time.Second)
				s := snapshot(at, b...)
				e.Enrich(s)
				if len(s.Samples) != len(b) {
					t.Fatalf("%d of %d samples are left", len(s.Samples), len(b))
				}
				st := e.states.peek(s.Instance.Key)
				defer st.mu.Unlock()
				return &st.shape.same
			}
			enrich(slices.Clone(body))
			sm := *enrich(slices.Clone(body))
			if !sm.is(e.states.secret, body) {
				t.Fatal("it was not remembered")
			}
			now := tc.change(slices.Clone(body))
			if got := sm.is(e.states.secret, now); got != tc.same {
				t.Fatalf("same: %v", got)
			}
			enrich(now)
		})
	}
	// At every length each byte counts.
	k := secret{0x243f6a8885a308d3, 0x13198a2e03707345}
	for n := 1; n < 70; n++ {
		b := make([]byte, n)
		none := k.text(string(b))
		for i := range b {
			b[i] = 1
			if k.text(string(b)) == none {
				t.Errorf("byte %d of %d does not count", i, n)
			}
			b[i] = 0
		}
	}
}

// What tells of a version is heard in a body that is known by its sum, too.
func TestSameTells(t *testing.T) {
	e := mustNew(t, Config{Limits: Limits{1000, 1000}})
	for i, v := range []string{"1.41.0", "1.41.0", "1.41.0", "1.42.0"} {
		s := snapshot(t0.Add(time.Duration(i)*time.Second), counter("requests", "7"), label("version", v))
		e.Enrich(s)
		if got := s.Tags.Get(Version); got != v {
			t.Errorf("%d: version %q, want %q", i, got, v)
		}
	}
}
