package dashboards

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// t0 is a round moment at which every test's world begins.
var t0 = time.Unix(1764000000, 0).UTC()

// fleet feeds a Board with made-up instances.
type fleet struct {
	t     testing.TB
	b     *Board
	seq   uint64
	every time.Duration
}

func newFleet(t testing.TB, o Options) *fleet {
	t.Helper()
	b, err := NewBoard(o)
	if err != nil {
		t.Fatal(err)
	}
	return &fleet{t: t, b: b, every: time.Second}
}

// record is the next record of an instance of checkout/prod at s seconds after t0.
func (f *fleet) record(instance string, s float64, samples ...collector.Sample) *Record {
	f.seq++
	at := t0.Add(time.Duration(s * float64(time.Second)))
	return &Record{ID: RecordID{1, 1, 0, f.seq, 0}, Seen: at.Add(100 * time.Millisecond), Service: "checkout", Env: "prod", Instance: instance, Time: at,
		Took: 2 * time.Millisecond, Interval: f.every, Samples: samples}
}

func (f *fleet) add(instance string, s float64, samples ...collector.Sample) {
	f.b.Add(f.record(instance, s, samples...))
}

func (f *fleet) tick(s float64) { f.b.Tick(t0.Add(time.Duration(s * float64(time.Second)))) }

func (f *fleet) row() *Row {
	f.t.Helper()
	rows := f.b.Rows()
	if len(rows) != 1 {
		f.t.Fatalf("%d rows, want one", len(rows))
	}
	return rows[0]
}

func num(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func counter(name string, x float64) collector.Sample {
	return collector.Sample{Name: name, Kind: collector.Counter, Value: num(x)}
}

func gauge(name string, x float64) collector.Sample {
	return collector.Sample{Name: name, Kind: collector.Gauge, Value: num(x)}
}

func untyped(name string, x float64) collector.Sample {
	return collector.Sample{Name: name, Value: num(x)}
}

func labelled(s collector.Sample, pairs ...string) collector.Sample {
	for i := 0; i < len(pairs); i += 2 {
		s.Labels = append(s.Labels, collector.LabelPair{Name: pairs[i], Value: pairs[i+1]})
	}
	return s
}

func dist(name string, w collector.Window, pairs ...any) collector.Sample {
	s := collector.Sample{Name: name, Kind: collector.Distribution, Window: w}
	for i := 0; i < len(pairs); i += 2 {
		s.Fields = append(s.Fields, collector.Field{Name: pairs[i].(string), Value: fmt.Sprint(pairs[i+1])})
	}
	return s
}

func entry(addr string, state discovery.State, since float64, tags map[string]string) discovery.Entry {
	host, port, _ := discovery.SplitAddr(addr)
	at := t0.Add(time.Duration(since * float64(time.Second)))
	return discovery.Entry{Instance: discovery.Instance{Key: discovery.Key{Service: "checkout", Env: "prod", Host: host, Port: port}, Source: "apps",
		Path: "/discovery/checkout/prod", Tags: discovery.TagsOf(tags)}, State: state, Since: at, Joined: at, Verified: at}
}

func near(a Num, b float64) bool {
	if !a.Known() {
		return false
	}
	d := float64(a) - b
	return d < 1e-3 && d > -1e-3 || b != 0 && d/b < 1e-3 && d/b > -1e-3
}
