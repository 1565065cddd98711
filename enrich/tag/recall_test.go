package tag

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Past what may be remembered nobody's samples are lost, the memory stays within its bound, and a scrape makes nothing anew: it allocates nothing.
func TestPastTheMemory(t *testing.T) {
	nothing := []Rule{{Name: `(?P<n>zzz)/(?P<name>.+)`}}
	for _, tc := range []struct {
		name   string
		limits Limits
		rules  []Rule
		drop   bool
	}{
		{"relabelled, of targets only", Limits{Target: 3000}, []Rule{{Name: `users/(?P<id>\d+)/(?P<name>.+)`}}, false},
		{"limits", Limits{3000, 100_000}, nil, false},
		{"of targets only", Limits{Target: 3000}, nil, false},
		{"of services only", Limits{Service: 100_000}, nil, false},
		{"a rule that fits nothing", Limits{}, nothing, false},
		{"limits and a rule", Limits{3000, 100_000}, nothing, false},
		{"metric relabelling", Limits{3000, 100_000}, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const limit, targets, series = 1 << 20, 150, 1000
			var log bytes.Buffer
			cfg := Config{Limits: tc.limits, Rules: tc.rules, StateBytes: limit, Log: slog.New(slog.NewTextHandler(&log, nil))}
			want := series
			if tc.drop {
				cfg.MetricRelabel = map[string][]Relabel{"apps": {{SourceLabels: []string{"__name__"}, Regex: ptr("users/[0-9]*7/.*"), Action: "drop"}}}
				want -= series / 10
			}
			e := mustNew(t, cfg)
			all, work := users(0, series), make([]collector.Sample, series)
			s := snapshot(t0)
			at := t0
			round := func() {
				at = at.Add(10 * time.Second)
				for port := range targets {
					copy(work, all)
					s.Instance.Port, s.Samples, s.Time, s.LeftOut, s.Tags = uint16(port+1), work, at, 0, s.Instance.Tags
					if e.Enrich(s); len(s.Samples) != want || s.LeftOut != 0 {
						t.Fatalf("target %d: %d samples go on, %d are left out", port, len(s.Samples), s.LeftOut)
					}
					if b := e.Status().StateBytes; b > limit+serviceSmall+targets*targetSmall {
						t.Fatalf("target %d: %d bytes", port, b)
					}
				}
			}
			for range 5 { // more than the limit of 3,000 series, if each scrape counted them anew
				round()
			}
			if n := testing.AllocsPerRun(1, round) / targets; n > 1 && !strings.HasPrefix(tc.name, "relabelled") {
				t.Errorf("%v allocations a scrape", n)
			}
			if said := strings.Count(log.String(), "enrich.state_bytes"); said != 1 || e.unknown.Get() == 0 {
				t.Errorf("said %d times, %d samples counted: %s", said, e.unknown.Get(), log.String())
			}
		})
	}
}

// A limit of a target holds past the memory too, for each body; and a larger memory is in force at once.
func TestLimitPastTheMemory(t *testing.T) {
	cfg := Config{Limits: Limits{Target: 600}, StateBytes: 1 << 10}
	e := mustNew(t, cfg)
	for i := range 20 {
		s := snapshot(t0.Add(time.Duration(i)*10*time.Second), users(0, 700)...)
		if e.Enrich(s); len(s.Samples) != 600 || s.LeftOut != 100 {
			t.Fatalf("scrape %d: %d go on, %d are left out", i, len(s.Samples), s.LeftOut)
		}
	}
	cfg.StateBytes = 0
	if err := e.Update(cfg); err != nil {
		t.Fatal(err)
	}
	was := e.unknown.Get()
	s := snapshot(t0.Add(time.Hour), users(0, 500)...)
	if e.Enrich(s); len(s.Samples) != 500 || e.unknown.Get() != was {
		t.Fatalf("%d go on, %d are not remembered", len(s.Samples), e.unknown.Get()-was)
	}
}

// What is left out where there is no room is the same in each scrape, and none of it is made out anew.
func TestLeftOutPastTheMemory(t *testing.T) {
	renamed := []Rule{{Name: `users/(?P<id>\d+)/(?P<name>.+)`}}
	for _, tc := range []struct {
		name   string
		limits Limits
		rules  []Rule
		kept   int
	}{
		{"a service's limit", Limits{Service: 600}, nil, 600},
		{"no room for the service's series", Limits{Service: 10_000}, nil, serviceSmall / 4 * 3 / 4},
		{"both limits", Limits{500, 600}, nil, 500},
		{"renamed, a target's limit", Limits{Target: 600}, renamed, 600},
		{"renamed, a service's limit", Limits{5000, 600}, renamed, 600},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := mustNew(t, Config{Limits: tc.limits, Rules: tc.rules})
			e.states.bytes.Add(256 << 20) // others have it
			all, work := users(0, 1000), make([]collector.Sample, 1000)
			s := snapshot(t0)
			scrape := func() {
				copy(work, all)
				s.Samples, s.LeftOut, s.Tags = work, 0, s.Instance.Tags
				if e.Enrich(s); len(s.Samples) != tc.kept || s.LeftOut != len(all)-tc.kept {
					t.Fatalf("%d samples go on, %d are left out", len(s.Samples), s.LeftOut)
				}
			}
			for range 10 {
				scrape()
			}
			if n := testing.AllocsPerRun(5, scrape); n > 12 && tc.rules == nil { // the text of an example is made
				t.Errorf("%v allocations a scrape", n)
			}
		})
	}
}

func BenchmarkPastTheMemory(b *testing.B) {
	for _, bm := range []struct {
		name  string
		rules []Rule
	}{{"limits", nil}, {"limits and a rule", []Rule{hits}}} {
		b.Run(bm.name, func(b *testing.B) {
			cfg := Config{Limits: Limits{50_000, 1_000_000}, Rules: bm.rules}
			benchmarkFull(b, cfg, 256<<20, newBody(200, func(i int) string { return fmt.Sprintf("http/requests/%d", i) }), map[string]string{Version: "1", Track: "canary"})
		})
	}
}
