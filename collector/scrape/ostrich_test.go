package scrape

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// TestOstrichItself asks an application on Ostrich's own library for its last ten seconds. It refuses: a minute is the least. What the plain answer says of its lifetime,
// the snapshot says of that minute.
func TestOstrichItself(t *testing.T) {
	port := strconv.Itoa(testenv.Port(t))
	addr := "127.0.0.1:" + port
	if _, ok := testenv.Java(t, testenv.Artifacts{Name: "ostrich", Coordinates: []string{"com.twitter:ostrich_2.10:9.18.0"}},
		filepath.Join("..", "..", "cmd", "rollcall", "testdata", "OstrichApp.java"), []string{port}, testenv.Answers("http://"+addr+"/stats.json")); !ok {
		return // testenv says so at the end, and fails with CI=true
	}
	latched := make(chan collector.Sample, 1)
	p, err := New(Config{Handle: func(s *collector.Snapshot) {
		for _, x := range s.Samples {
			if x.Name == "latency_ms" && x.Window == collector.Latched && len(x.Fields) > 3 {
				x.Name = strings.Clone(x.Name)
				fields := x.Fields
				x.Fields = nil
				for _, f := range fields {
					x.Fields = append(x.Fields, collector.Field{Name: strings.Clone(f.Name), Value: strings.Clone(f.Value)})
				}
				select {
				case latched <- x:
				default:
				}
			} else if x.Kind == collector.Distribution && x.Window != collector.Latched {
				t.Errorf("%s speaks of its %q", x.Name, x.Window)
			}
		}
		switch s.Outcome {
		case collector.OK:
			if s.Skew != 0 {
				t.Errorf("skew %s", s.Skew)
			}
		case collector.Timeout, collector.Skipped: // a JVM that has just begun, on a machine with other work
		default:
			t.Errorf("%s %s", s.Outcome, s.Reason)
		}
		s.Release()
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	set(t, p, targets(&Job{Name: "apps", Interval: 2 * time.Second, OstrichPeriod: 10 * time.Second, NoServerInfo: true}, addr))
	select {
	case x := <-latched:
		count, whole := 0.0, lifetimeCount(t, addr)
		for _, f := range x.Fields {
			if f.Name == "count" {
				count, _ = strconv.ParseFloat(f.Value, 64)
			}
		}
		if count < 1 || whole < count {
			t.Errorf("%v in the last minute, %v in all: %+v", count, whole, x)
		}
		if note := p.Status()[0].PeriodNote; note != "asked for the last 10s: status 400" {
			t.Errorf("the status says %q", note)
		}
	case <-time.After(60 * time.Second):
		t.Errorf("no distribution of the last minute; %+v", p.Status())
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// lifetimeCount is what the plain answer counts.
func lifetimeCount(t *testing.T, addr string) float64 {
	resp, err := http.Get("http://" + addr + "/stats.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(body), `"latency_ms":`)
	_, rest, _ = strings.Cut(rest, `"count":`)
	digits, _, _ := strings.Cut(rest, ",")
	n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimRight(digits, "}")), 64)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return n
}
