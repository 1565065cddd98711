package dashboards

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// What stands beside the golden signals is recognised by name, labels and shape.
func TestRecogniseSideLines(t *testing.T) {
	labelled := func(name, label, value string) collector.Sample {
		return collector.Sample{Name: name, Kind: collector.Counter, Value: "1", Labels: []collector.LabelPair{{Name: label, Value: value}}}
	}
	for _, tc := range []struct {
		name string
		of   []collector.Sample
		want string
	}{
		{"Ostrich's", []collector.Sample{counter("exceptions/java.io.IOException", 1), counter("exceptions/CardDeclined", 1)}, "0 CardDeclined 1/0, 0 IOException 1/0"},
		{"Finagle's, with causes", []collector.Sample{counter("srv/http/failures", 2), counter("srv/http/failures/com.twitter.finagle.ChannelClosedException/java.io.IOException", 1), counter("srv/http/failures/com.twitter.finagle.ChannelClosedException", 1)}, "0 ChannelClosedException 1/0"},
		{"a client's own", []collector.Sample{counter("clnt/db/failures/java.io.IOException", 1)}, ""},
		{"labelled", []collector.Sample{labelled("http_exceptions_total", "class", "a.b.Timeout"), labelled("http_exceptions_total", "class", "a.c.Timeout"), labelled("jobs_total", "class", "x")}, "0 Timeout 2/0"},
		{"in the name", []collector.Sample{counter("exceptions/class/NoBid", 1)}, "0 NoBid 1/0"},
		{"no class", []collector.Sample{counter("failures/total", 1), counter("failures/500", 1), counter("exceptions", 1)}, ""},
		{"used of max", []collector.Sample{gauge("pool_busy", 1), gauge("pool_size", 8)}, "1 pool_busy 1/1"},
		{"the JVM's heap", []collector.Sample{gauge("jvm/mem/current/heap/used", 1), gauge("jvm/mem/current/heap/max", 8)}, "1 jvm/mem/current/heap/used 1/1"},
		{"a connection pool", []collector.Sample{gauge("hikaricp_connections_active", 1), gauge("hikaricp_connections_max", 8)}, "1 hikaricp_connections_active 1/1"},
		{"used without a limit", []collector.Sample{gauge("heap_used", 1), gauge("heap_mb", 8)}, ""},
		{"a share", []collector.Sample{gauge("cpu_percent", 12), gauge("disk_utilization", .5)}, "1 cpu_percent 1/0, 1 disk_utilization 1/0"},
		{"a queue", []collector.Sample{gauge("work/queue", 12), gauge("queue_size", 100)}, "2 work/queue 1/0"},
	} {
		var cols []column
		for i := range tc.of {
			cols = append(cols, newColumn(&tc.of[i], ""))
		}
		var got []string
		for _, l := range linesOf(cols, nil) {
			got = append(got, fmt.Sprintf("%d %s %d/%d", l.kind, l.name, len(l.cols), len(l.of)))
		}
		if strings.Join(slices.Sorted(slices.Values(got)), ", ") != tc.want {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
}

func TestNamedLines(t *testing.T) {
	have := []collector.Sample{gauge("pool_busy", 1), gauge("pool_size", 8), gauge("work/queue", 1), gauge("cpu_percent", 9), gauge("threads_live", 9), gauge("threads_allowed", 10)}
	for _, tc := range []struct{ rules, want string }{
		{"threads_live of threads_allowed", "1 threads_live 1/1 1"},
		{"threads_live waits, cpu*", "1 cpu_percent 1/0 0.01, 2 threads_live 1/0 1"},
		{"threads_live of nothing", ""},
		{NoMetric, ""},
	} {
		var cols []column
		for i := range have {
			cols = append(cols, newColumn(&have[i], ""))
		}
		var got []string
		for _, l := range linesOf(cols, strings.Split(tc.rules, ", ")) {
			got = append(got, fmt.Sprintf("%d %s %d/%d %g", l.kind, l.name, len(l.cols), len(l.of), l.scale))
		}
		if strings.Join(slices.Sorted(slices.Values(got)), ", ") != tc.want {
			t.Errorf("%q: %q, want %q", tc.rules, got, tc.want)
		}
	}
}

func linesOf(cols []column, named []string) []*line {
	k := newKnowing(Golden{Saturation: named})
	k.learn(cols)
	return k.lines(cols, nil)
}

// A class that appears while its service is watched is new from the tick at which it was first counted; one that was there is not.
func TestSideLines(t *testing.T) {
	b, err := NewBoard(Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.SetFeed(Feed{State: FeedLive})
	const start = int64(1764000000)
	for k := range 60 {
		x := float64(k)
		at := time.Unix(start+int64(k), 0)
		for i := range 3 {
			r := &Record{ID: RecordID{1, 1, 0, uint64(k*3 + i), 0}, Service: "s", Env: "e", Instance: fmt.Sprintf("10.0.0.%d:80", i), Time: at, Seen: at, Interval: time.Second,
				Outcome: collector.OK, Samples: []collector.Sample{counter("requests", 100*x), counter("exceptions/Old", 2*x), gauge("pool_busy", float64(8+i)), gauge("pool_size", 10)}}
			if k >= 40 && i == 1 {
				r.Samples = append(r.Samples, counter("exceptions/New", 6*(x-39)))
			}
			b.Add(r)
		}
		b.Tick(at.Add(100 * time.Millisecond))
	}
	s := b.Signals("s", "e", 600)
	if len(s.Beside) != 3 {
		t.Fatalf("lines are %+v", s.Beside)
	}
	for _, l := range s.Beside {
		last := l.Values[len(l.Values)-1]
		want := map[string]float64{"Old": 6, "New": 6, "pool_busy": .9}[l.Name]
		first := map[string]int{"Old": -1, "New": 20, "pool_busy": -1}[l.Name]
		if math.Abs(last-want) > 1e-6 || l.First != first || len(l.Values) != len(s.Rate) {
			t.Errorf("%s: newest is %g, first seen %d ticks ago, %d ticks of %d", l.Name, last, l.First, len(l.Values), len(s.Rate))
		}
	}
	cut := time.Unix(start+39, 0)
	ls := b.SideLeaves("s", "e", SideException, "New", cut.Add(-10*time.Second), cut, cut.Add(10*time.Second))
	if len(ls) != 3 || ls[1].After.Errors == 0 || ls[0].After.Errors != 0 || ls[1].Before.Errors != 0 || ls[1].After.Requests == 0 {
		t.Errorf("leaves are %+v", ls)
	}
	if ls := b.SideLeaves("s", "e", SideUse, "pool_busy", cut.Add(-10*time.Second), cut, cut.Add(10*time.Second)); len(ls) != 3 || math.Abs(ls[2].After.Latency-1) > 1e-9 {
		t.Errorf("leaves are %+v", ls)
	}
	if ls := b.SideLeaves("s", "e", SideUse, "nothing", cut, cut, cut); ls != nil {
		t.Errorf("leaves of nothing are %+v", ls)
	}
}
