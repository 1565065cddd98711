package past

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/feed"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/gate"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

const partitions = 3

type record struct {
	at         time.Time
	key, value []byte
}

// log is a Kafka in memory; what lies before first is gone.
type log struct {
	mu      sync.Mutex
	topics  map[string]*[partitions][]record
	first   map[string]int64
	reads   map[string]int                  // records that were read, by topic and partition
	asked   int                             // questions for offsets
	offline error                           // what every question is answered with
	hold    func(ctx context.Context) error // what reading waits for
	answers int                             // so many questions for offsets are answered, no more; 0: all are
}

func newLog() *log {
	return &log{topics: map[string]*[partitions][]record{"live": {}, "late": {}}, first: map[string]int64{}, reads: map[string]int{}}
}

func place(topic string, p int) string { return fmt.Sprintf("%s/%d", topic, p) }

func (l *log) put(topic, key string, at time.Time, value []byte) {
	p := wire.Partition(key, partitions)
	l.topics[topic][p] = append(l.topics[topic][p], record{at, []byte(key), value})
}

func (l *log) Partitions(_ context.Context, topic string) (int, error) {
	if l.topics[topic] == nil || l.offline != nil {
		return 0, l.offline
	}
	return partitions, nil
}

func (l *log) Offsets(ctx context.Context, topic string, p int, at time.Time) (first, from, end int64, err error) {
	if l.asked++; l.answers > 0 && l.asked > l.answers {
		<-ctx.Done()
		return 0, 0, 0, ctx.Err()
	}
	all := l.topics[topic][p]
	first, end = l.first[place(topic, p)], int64(len(all))
	for from = first; from < end && all[from].at.Before(at); from++ {
	}
	return first, from, end, l.offline
}

func (l *log) Read(ctx context.Context, topic string, p int, from, end int64, take func(at time.Time, key, value []byte) error) error {
	if l.hold != nil {
		if err := l.hold(ctx); err != nil {
			return err
		}
	}
	for _, r := range l.topics[topic][p][from:end] {
		l.mu.Lock()
		l.reads[place(topic, p)]++
		l.mu.Unlock()
		if err := take(r.at, bytes.Clone(r.key), bytes.Clone(r.value)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (l *log) total() (n int) {
	for _, k := range l.reads {
		n += k
	}
	return n
}

const every = 10 * time.Second

// story writes what four instances of a service said from a time to another; in its last fifth those of 1.42.0 fail. It goes to the live lane, but for every twentieth
// record, and into a Board that ticks as it comes.
func story(t *testing.T, l *log, service string, from, to time.Time) *dashboards.Board {
	t.Helper()
	live, err := dashboards.NewBoard(dashboards.Options{Window: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	key := sink.Key(service, "prod")
	var sequence uint64
	var in wire.Record
	requests, errs := [4]int{}, [4]int{}
	type late struct {
		at    time.Time
		value []byte
	}
	var lates []late
	for at := from; at.Before(to); at = at.Add(every) {
		for i := range 4 {
			requests[i] += 100 + 10*i + at.Second()
			version := "1.41.3"
			if i >= 2 {
				version = "1.42.0"
				if at.After(to.Add(-to.Sub(from) / 5)) {
					errs[i] += 30
				}
			}
			sequence++
			id := wire.ID{Collector: 7, Start: 1, Partition: wire.Partition(key, partitions), Sequence: sequence}
			s := &collector.Snapshot{Instance: discovery.Instance{Key: discovery.Key{Service: service, Env: "prod", Host: "10.0.0." + strconv.Itoa(i), Port: 80}, Shard: discovery.NoShard},
				Time: at.Add(time.Duration(i) * time.Second), Took: time.Millisecond, Interval: every, Tags: discovery.TagsOf(map[string]string{dashboards.TagVersion: version}),
				Samples: []collector.Sample{{Name: "requests", Kind: collector.Counter, Value: strconv.Itoa(requests[i])}, {Name: "errors", Kind: collector.Counter, Value: strconv.Itoa(errs[i])},
					{Name: "heap", Kind: collector.Gauge, Value: strconv.Itoa(at.Minute() + i)}}}
			b := wire.AppendSnapshot(nil, s, id, wire.Provenance{})
			if err := wire.Decode(b, &in); err != nil {
				t.Fatal(err)
			}
			r := feed.RecordOf(&in)
			r.Seen = s.Time
			live.Add(&r)
			if sequence%20 == 0 {
				lates = append(lates, late{s.Time, b})
				continue
			}
			l.put("live", key, s.Time, b)
		}
		live.Tick(at.Add(every - time.Second))
	}
	for _, r := range lates {
		l.put("late", key, r.at, r.value)
	}
	return live
}

func reader(t *testing.T, l *log, change func(*Config)) *Past {
	t.Helper()
	c := Config{Kafka: l, Snapshots: "live", Backfill: "late"}
	if change != nil {
		change(&c)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func of(t *testing.T, p *Past, service string, from, to time.Time) *Window {
	t.Helper()
	w, err := p.Of(t.Context(), service, "prod", from, to)
	if err != nil || w == nil {
		t.Fatal(w, err)
	}
	return w
}

// lines are a query's answer as it is written.
func lines(t *testing.T, b *dashboards.Board, q dashboards.Query) string {
	t.Helper()
	a, err := b.Series(q)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(a.Lines)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var start = time.Date(2025, 11, 24, 14, 0, 0, 0, time.UTC)

// What is read back gives the values that the Board gave at the time, whatever is asked of it, from both lanes, and is read once.
func TestReadBack(t *testing.T) {
	l := newLog()
	live := story(t, l, "checkout", start, start.Add(50*time.Minute))
	story(t, l, "cart", start, start.Add(50*time.Minute))
	p := reader(t, l, nil)
	from, to := start.Add(30*time.Minute), start.Add(44*time.Minute)
	w := of(t, p, "checkout", from, to)
	if got := w.Back(from, to); got != (Back{from.UnixMilli(), to.UnixMilli(), true, "read back from Kafka: 14:30:00–14:44:00 UTC"}) {
		t.Errorf("%+v", got)
	}
	if got := w.Back(from.Add(-13*time.Minute), to); !got.Whole {
		t.Errorf("of the time before: %+v", got)
	}
	q := dashboards.Query{Service: "checkout", Env: "prod", Metric: "requests", From: from, To: to, Step: every}
	for name, change := range map[string]func(*dashboards.Query){
		"whole": func(*dashboards.Query) {}, "by version": func(q *dashboards.Query) { q.By = "version" }, "by instance": func(q *dashboards.Query) { q.By, q.Metric = "instance", "errors" },
		"a gauge": func(q *dashboards.Query) { q.Metric, q.By = "heap", "version" }, "where": func(q *dashboards.Query) { q.Where = []dashboards.Where{{Name: "version", Values: []string{"1.42.0"}}} },
		"within": func(q *dashboards.Query) { q.From, q.To = from.Add(3*time.Minute), to.Add(-time.Minute) },
	} {
		q := q
		change(&q)
		if is, was := lines(t, w.Board, q), lines(t, live, q); is != was || !strings.Contains(is, "values") || strings.Contains(is, "null,null") && !strings.Contains(is, `"lo":null`) {
			t.Errorf("%s: %s\nwas %s", name, is, was)
		}
	}
	is, was := w.Board.Leaves("checkout", "prod", from.Add(-10*time.Minute), from, to, false), live.Leaves("checkout", "prod", from.Add(-10*time.Minute), from, to, false)
	if len(is) != 4 || len(was) != 4 {
		t.Fatalf("%d leaves, were %d", len(is), len(was))
	}
	for i := range is {
		for _, x := range [][2]float64{{is[i].Before.Requests, was[i].Before.Requests}, {is[i].After.Requests, was[i].After.Requests}, {is[i].After.Errors, was[i].After.Errors}, {is[i].After.Seconds, was[i].After.Seconds}} {
			if math.Abs(x[0]-x[1]) > 1e-9 || !(x[0] >= 0) {
				t.Errorf("leaf %d: %v, was %v", i, is[i], was[i])
			}
		}
	}
	broke := start.Add(40*time.Minute + 4*every)
	moved := func(b *dashboards.Board) (out []string) {
		for _, c := range b.Changes("checkout", "prod", broke, time.Time{}, 20) {
			if c.Kind == "metric" {
				out = append(out, c.Text)
			}
		}
		return out
	}
	if is, was := moved(of(t, p, "checkout", broke, to).Board), moved(live); !slices.Equal(is, was) || !slices.ContainsFunc(is, func(text string) bool { return strings.HasPrefix(text, "errors 0/s → ") }) {
		t.Errorf("moved: %q, was %q", is, was)
	}
	if n := p.readings.Get(); n != 1 {
		t.Errorf("%d readings for the same while", n)
	}
	for name := range l.reads {
		if other := fmt.Sprintf("/%d", wire.Partition(sink.Key("checkout", "prod"), partitions)); !strings.HasSuffix(name, other) {
			t.Errorf("%s was read", name)
		}
	}
}

// Whatever bounds or retention leave out is said.
func TestSaid(t *testing.T) {
	from, to := start.Add(30*time.Minute), start.Add(40*time.Minute)
	part := func(topic string) string {
		return place(topic, int(wire.Partition(sink.Key("checkout", "prod"), partitions)))
	}
	for _, tc := range []struct {
		name   string
		change func(*log, *Config)
		ask    [2]time.Time
		whole  bool
		text   string
	}{
		{"all", func(*log, *Config) {}, [2]time.Time{from, to}, true, "read back from Kafka: 14:30:00–14:40:00 UTC"},
		{"gone in part", func(l *log, _ *Config) { l.first[part("live")] = 4 * 6 * 33 }, [2]time.Time{from, to}, false,
			"read back from Kafka: 14:34:4"},
		{"gone altogether", func(l *log, _ *Config) { l.first[part("live")] = 4 * 6 * 46 }, [2]time.Time{from, to}, false,
			"read back from Kafka: nothing of 14:30:00–14:40:00 UTC: older ones are gone"},
		{"gone before", func(l *log, _ *Config) { l.first[part("live")] = 4 * 6 * 22 }, [2]time.Time{from.Add(-10 * time.Minute), to}, false, "of 14:20:00–14:40:00 UTC: older ones are gone"},
		{"bytes read", func(_ *log, c *Config) { c.MaxRead = 40_000 }, [2]time.Time{from, to}, false, "of 14:30:00–14:40:00 UTC: 0 MiB were read"},
		{"bytes read of late ones", func(l *log, c *Config) {
			c.MaxRead = 400_000
			for range 200 {
				l.put("late", sink.Key("checkout", "prod"), to, make([]byte, 1000))
			}
		}, [2]time.Time{from, to}, false, "not all that came late was read, as 0 MiB were read"},
		{"too long", func(_ *log, c *Config) { c.MaxSpan = 5 * time.Minute }, [2]time.Time{from, to}, false, "not read back from Kafka, of more than 5 min at a time"},
		{"no answer", func(l *log, _ *Config) { l.offline = errors.New("no broker answers") }, [2]time.Time{from, to}, false, "not read back from Kafka, as Kafka cannot be read: no broker answers"},
		{"no answer when asked for the time before", func(l *log, c *Config) { l.answers, c.Within = 2, time.Second }, [2]time.Time{from.Add(-10 * time.Minute), to}, false, "of 14:20:00–14:40:00 UTC: 1 s were over"},
		{"nor for what came late", func(l *log, c *Config) { l.answers, c.Within = 1, time.Second }, [2]time.Time{from, to}, false, "not all that came late was read, as 1 s were over"},
		{"no topic", func(_ *log, c *Config) { c.Snapshots = "other" }, [2]time.Time{from, to}, false, "topic other is not there"},
		{"no other lane", func(_ *log, c *Config) { c.Backfill = "other" }, [2]time.Time{from, to}, true, "read back from Kafka: 14:30:00–14:40:00 UTC"},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(start.Add(time.Hour)))
			l := newLog()
			story(t, l, "checkout", start, start.Add(50*time.Minute))
			p := reader(t, l, func(c *Config) { tc.change(l, c) })
			asked := [2]time.Time{tc.ask[0], tc.ask[1]}
			if asked[0].Before(from) {
				asked[0] = from // what is read; the rest is the time before it
			}
			if got := of(t, p, "checkout", asked[0], asked[1]).Back(tc.ask[0], tc.ask[1]); got.Whole != tc.whole || !strings.Contains(got.Text, tc.text) || strings.Contains(got.Text, "\n") {
				t.Errorf("%s: %+v, want %q", tc.name, got, tc.text)
			}
			if tc.name == "bytes read" && l.total() > 400 {
				t.Errorf("%d records were read", l.total())
			}
		})
	}
}

// What one may take in memory ends a reading, and what all take lets go of those asked for longest ago.
func TestBytes(t *testing.T) {
	l := newLog()
	var large []collector.Sample
	for i := range 4000 {
		large = append(large, collector.Sample{Name: "c" + strconv.Itoa(i), Kind: collector.Gauge, Value: strconv.Itoa(i * i)})
	}
	key := sink.Key("large", "prod")
	for i := range 120 {
		s := &collector.Snapshot{Instance: discovery.Instance{Key: discovery.Key{Service: "large", Env: "prod", Host: "10.0.0." + strconv.Itoa(i%20), Port: 80}, Shard: discovery.NoShard},
			Time: start.Add(time.Duration(i) * time.Second), Took: time.Millisecond, Interval: every, Samples: large}
		l.put("live", key, s.Time, wire.AppendSnapshot(nil, s, wire.ID{Collector: 7, Start: 1, Partition: wire.Partition(key, partitions), Sequence: uint64(i + 1)}, wire.Provenance{}))
	}
	for i := range 4 {
		story(t, l, "s"+strconv.Itoa(i), start, start.Add(20*time.Minute))
	}
	from, to := start.Add(5*time.Minute), start.Add(10*time.Minute)
	p := reader(t, l, func(c *Config) { c.MaxBytes = 3 * least })
	for range 2 {
		for i := range 4 {
			of(t, p, "s"+strconv.Itoa(i), from, to)
		}
	}
	if n := p.readings.Get(); n != 8 || p.size() > p.cfg.MaxBytes || len(p.kept) == 0 {
		t.Errorf("%d readings; %d bytes of %d kept", n, p.size(), len(p.kept))
	}
	if w := of(t, p, "s3", from, to); p.readings.Get() != 8 || w.Board == nil {
		t.Error("the newest was not kept")
	}
	p = reader(t, l, func(c *Config) { c.MaxBytes = 1 << 20 })
	if got := of(t, p, "large", start, start.Add(2*time.Minute)).Back(start, start.Add(2*time.Minute)); got.Whole || !strings.Contains(got.Text, "they take more than 1 MiB") {
		t.Errorf("%+v", got)
	}
}

// A reading ends in time, others wait for it no longer than they may, and what nobody asks for is forgotten.
func TestTime(t *testing.T) {
	l := newLog()
	story(t, l, "checkout", start, start.Add(20*time.Minute))
	from, to := start.Add(5*time.Minute), start.Add(10*time.Minute)
	synctest.Test(t, func(t *testing.T) {
		l.hold = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		p := reader(t, l, func(c *Config) { c.Within = 30 * time.Second })
		begun := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			w, err := p.Of(t.Context(), "checkout", "prod", from, to)
			if err != nil {
				t.Error(err)
				return
			}
			if got := w.Back(from, to); time.Since(begun) != 30*time.Second || !strings.Contains(got.Text, "30 s were over") {
				t.Errorf("after %s: %+v", time.Since(begun), got)
			}
		})
		synctest.Wait()
		if _, err := p.Of(t.Context(), "checkout", "prod", from, to); !errors.Is(err, gate.ErrLong) {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.Of(ctx, "checkout", "prod", from, to); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		wg.Wait()
		if kept(p) != 1 {
			t.Error("it is not kept")
		}
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if kept(p) != 0 {
			t.Error("it is kept for good")
		}
	})
}

func kept(p *Past) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.kept)
}

// Whatever is asked, nothing is read that has no end or lies nowhere.
func TestHostile(t *testing.T) {
	l := newLog()
	p := reader(t, l, nil)
	for _, tc := range [][2]time.Time{{start, start}, {start, start.Add(-time.Hour)}, {time.UnixMilli(0), time.UnixMilli(1000)}, {time.UnixMilli(-5), time.UnixMilli(5)}, {start, time.UnixMilli(1 << 53)},
		{time.UnixMilli(1), time.UnixMilli(2)}, {time.UnixMilli(1<<53 - 1), time.UnixMilli(1 << 53)}} {
		w, err := p.Of(t.Context(), "../\x00", strings.Repeat("e", 1000), tc[0], tc[1])
		if err != nil || w != nil && w.Back(tc[0], tc[1]).Text == "" {
			t.Errorf("%v: %+v %v", tc, w, err)
		}
	}
	if l.total() != 0 || p.size() > 4*least {
		t.Error(l.total(), p.size())
	}
	for _, c := range []Config{{}, {Kafka: l}, {Kafka: l, Snapshots: "live", MaxSpan: 2 * time.Hour}, {Kafka: l, Snapshots: "live", MaxRead: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v", c)
		}
	}
}
