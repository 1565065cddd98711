package topic

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/export/exporttest"
	"github.com/rollcall-metrics/rollcall/sink/export/flat"
	"github.com/rollcall-metrics/rollcall/sink/readback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.Runner{M: m}) }

// breakable is a codec that may refuse to work.
type breakable struct {
	Codec
	broken *atomic.Bool
}

func (b breakable) Encode(ctx context.Context, r *export.Record, emit func(key, value []byte)) error {
	if b.broken.Load() {
		return context.DeadlineExceeded
	}
	return b.Codec.Encode(ctx, r, emit)
}

func subject(t *testing.T, addr, topic string) exporttest.Subject {
	var broken atomic.Bool
	return exporttest.Subject{
		Output: func(t testing.TB) export.Output {
			memory := flat.NewMemory(0, "test", nil, nil)
			o, err := New(Config{Brokers: []string{addr}, Topic: topic, Partitions: 4, Intervals: flat.Intervals, Schema: flat.Schema, MaxBatch: 2000,
				Codec: func() Codec { return breakable{flat.NewEncoder(memory), &broken} }})
			if err != nil {
				t.Fatal(err)
			}
			return o
		},
		Break: broken.Store,
		Delivered: func(t testing.TB) map[string]int {
			out := map[string]int{}
			for _, s := range read(t, addr, topic) {
				if s.Name == "heap" {
					out[s.Instance]++
				}
			}
			return out
		},
	}
}

type sample struct {
	Name, Instance, Service, ID string
	Delta                       *json.Number
}

func read(t testing.TB, addr, topic string) (out []sample) {
	t.Helper()
	c, err := readback.New(readback.Config{Brokers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	spans, err := c.Spans(context.Background(), time.Time{}, topic)
	if err != nil {
		return nil // it is not made yet
	}
	for _, s := range spans {
		if err := c.Read(context.Background(), s, func(m readback.Message) error {
			var one sample
			out = append(out, one)
			return json.Unmarshal(m.Value, &out[len(out)-1])
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestContract(t *testing.T) {
	exporttest.Check(t, func(t *testing.T, addr string) exporttest.Subject {
		return subject(t, addr, strings.ReplaceAll(t.Name(), "/", ".")+".samples")
	})
}

// Over exporters that are killed before they commit, the deltas of a counter add up to what it grew.
func TestSumOverKills(t *testing.T) {
	addr := exporttest.Broker(t)
	r, s := exporttest.NewRig(t, addr), subject(t, addr, "sum.samples")
	began := time.Now().Add(-time.Hour).Truncate(time.Second)
	n := 0
	sum := func() (total int64, samples int) {
		for _, one := range read(t, addr, "sum.samples") {
			if one.Name != "requests" {
				continue
			}
			if samples++; one.Delta != nil {
				d, err := one.Delta.Int64()
				if err != nil {
					t.Fatal(err)
				}
				total += d
			}
		}
		return total, samples
	}
	for kill := range 4 {
		for range 25 {
			snap := exporttest.Snapshot(1)
			snap.Time = began.Add(time.Duration(n) * time.Second)
			snap.Samples[0].Value = strconv.Itoa(1000 + n*n)
			r.Put(t, snap)
			n++
		}
		run := r.Start(t, s.Output(t), func(c *export.Config) {
			c.BatchRecords = 4
			if kill%2 == 0 {
				c.CommitEvery = time.Minute
			}
		})
		testenv.Eventually(t, "all to be written", func() bool { _, samples := sum(); return samples >= n })
		if kill < 3 {
			run.Kill()
		} else {
			run.End()
		}
	}
	if total, samples := sum(); total != int64((n-1)*(n-1)) || samples != n {
		t.Errorf("%d samples whose deltas add up to %d, want %d and %d", samples, total, n, (n-1)*(n-1))
	}
}

// The same behind a real Kafka: its group coordinator, its offsets and their notes, its idempotence.
func TestRealKafka(t *testing.T) {
	k, ok := testenv.Kafka(t)
	if !ok {
		return
	}
	exporttest.CheckAt(t, k.Brokers[0], func(t *testing.T, addr string) exporttest.Subject {
		return subject(t, addr, strings.ReplaceAll(t.Name(), "/", ".")+".samples")
	}, "EveryRecordOnce", "KillLosesNothing", "TwoShareTheWork", "NothingCommittedBeforeDelivered")
}
