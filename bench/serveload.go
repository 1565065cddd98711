package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// loadTotals is what was written of a service's records within a time: how many there are, and what their requests add up to.
type loadTotals struct {
	Records  int
	Requests uint64
}

// loadCounts is what the load says of itself.
type loadCounts struct {
	Records int64
	Bytes   int64 // of records, as they are before they are compressed
	Late    int   // ms: the most that a record was made after its time, since the last time that this was asked
	Error   string
}

// serveLoad writes what a collector would, of a whole fleet: first the past as fast as it can, then as time goes.
type serveLoad struct {
	interval time.Duration
	services []*served
	members  []*member
	client   *kgo.Client
	records  atomic.Int64
	bytes    atomic.Int64
	late     atomic.Int64
	failed   atomic.Pointer[error]

	mu      sync.Mutex // over what follows, and over the services' bodies while the present is written
	written map[string][]pulled
	seq     [partitions]uint64
}

// pulled is one record that was written.
type pulled struct {
	at       int64 // Unix ms
	requests uint64
}

// runLoad is the process of the load. It answers each line of stdin with one value of JSON: `past 1h` writes what led to now and goes on from there, `break` and
// `mend SERVICE`, `counts`, `totals FROM TO` in Unix milliseconds, both inclusive.
func runLoad(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) (err error) {
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	broker := fs.String("broker", "", "address")
	instances := fs.Int("instances", 5000, "how many")
	services := fs.Int("services", 50, "how many they are of")
	interval := fs.Duration("interval", 10*time.Second, "between two scrapes of one")
	if err := fs.Parse(args); err != nil {
		return err
	}
	l := &serveLoad{interval: *interval, written: map[string][]pulled{}}
	if l.services, l.members, err = fleetOf(*instances, *services, *interval); err != nil {
		return err
	}
	// As the collector's sink has it: batches closed after 75 ms, zstd at its fastest, all replicas acknowledging.
	l.client, err = kgo.NewClient(kgo.SeedBrokers(*broker), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.ZstdCompression().WithLevel(1)), kgo.ProducerBatchMaxBytes(batchBytes),
		kgo.ProducerLinger(75*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedBytes(64<<20), kgo.MaxBufferedRecords(10_000))
	if err != nil {
		return err
	}
	defer l.client.Close()
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	out := json.NewEncoder(stdout)
	if err := out.Encode(l.services[0].numbers()); err != nil {
		return err
	}
	return eachLine(bufio.NewReader(stdin), func(line string) error {
		var answer any = "ok"
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "past":
			back, err := time.ParseDuration(rest)
			if err != nil {
				return err
			}
			l.roster(ctx, time.Now().Add(-back))
			next := l.past(ctx, time.Now().Add(-back).Truncate(l.interval))
			if err := l.client.Flush(ctx); err != nil {
				return err
			}
			wg.Go(func() { l.present(ctx, next) })
			answer = l.counts()
		case "break", "mend":
			l.mu.Lock()
			for _, s := range l.services {
				if s.name == rest {
					s.broken = word == "break"
				}
			}
			l.mu.Unlock()
		case "counts":
			answer = l.counts()
		case "totals":
			from, to, _ := strings.Cut(rest, " ")
			a, err := strconv.ParseInt(from, 10, 64)
			b, err2 := strconv.ParseInt(to, 10, 64)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			answer = l.totals(a, b)
		default:
			return fmt.Errorf("load: %q is nothing to ask", line)
		}
		return out.Encode(answer)
	})
}

func (l *serveLoad) counts() loadCounts {
	c := loadCounts{Records: l.records.Load(), Bytes: l.bytes.Load(), Late: int(l.late.Swap(0))}
	if err := l.failed.Load(); err != nil {
		c.Error = (*err).Error()
	}
	return c
}

func (l *serveLoad) totals(from, to int64) map[string]loadTotals {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]loadTotals{}
	for name, all := range l.written {
		var t loadTotals
		for _, p := range all {
			if p.at >= from && p.at <= to {
				t.Records++
				t.Requests += p.requests
			}
		}
		out[name] = t
	}
	return out
}

func (l *serveLoad) send(ctx context.Context, topic string, partition int32, key string, value []byte, at time.Time) {
	l.client.Produce(ctx, &kgo.Record{Topic: topic, Partition: partition, Key: []byte(key), Value: value, Timestamp: at}, func(_ *kgo.Record, err error) {
		if err != nil && ctx.Err() == nil {
			l.failed.CompareAndSwap(nil, &err)
		}
	})
}

// roster tells who is there, each service whole.
func (l *serveLoad) roster(ctx context.Context, joined time.Time) {
	for _, s := range l.services {
		r := wire.RosterRecord{Collector: 1, Start: 1, TS: time.Now().UnixMilli(), Service: s.name, Env: fleetEnv, Full: true, Version: 1}
		for _, m := range l.members {
			if m.of == s {
				r.Changes = append(r.Changes, discovery.Change{Entry: discovery.Entry{Instance: discovery.Instance{Key: m.key, Source: "bench", Path: "/discovery/" + s.name, Format: "static", Shard: discovery.NoShard, Tags: m.tags},
					State: discovery.Present, Since: joined, Joined: joined, Verified: joined}, At: joined})
			}
		}
		wire.SplitRoster(r, wire.MaxRecord, func(rec []byte) {
			l.send(ctx, sink.DefaultTopics().Roster, wire.Partition(r.Key(), partitions), r.Key(), append([]byte(nil), rec...), time.Now())
		})
	}
}

// record writes the record of one instance's scrape at a time.
func (l *serveLoad) record(ctx context.Context, m *member, at time.Time) pulled {
	key := sink.Key(m.of.name, fleetEnv)
	p := wire.Partition(key, partitions)
	snap := m.snapshot(at, l.interval)
	l.seq[p]++ // a partition is one goroutine's
	value := wire.AppendSnapshot(make([]byte, 0, len(m.of.body)+1024), &snap, wire.ID{Collector: 1, Start: 1, Partition: p, Sequence: l.seq[p]}, wire.Provenance{})
	l.send(ctx, sink.DefaultTopics().Snapshots, p, key, value, at)
	l.records.Add(1)
	l.bytes.Add(int64(len(value)))
	return pulled{at.UnixMilli(), m.vals[m.of.requests[0]]}
}

// past writes every scrape since a time until it has caught up, on as many goroutines as there are partitions, and gives the slot that comes next.
func (l *serveLoad) past(ctx context.Context, from time.Time) time.Time {
	by := [partitions][]*member{}
	for _, m := range l.members {
		p := wire.Partition(sink.Key(m.of.name, fleetEnv), partitions)
		by[p] = append(by[p], m)
	}
	for until := time.Now().Truncate(l.interval); from.Before(until); until = time.Now().Truncate(l.interval) {
		var all sync.WaitGroup
		for _, members := range by {
			all.Go(func() {
				mine := map[string][]pulled{}
				for slot := from; slot.Before(until) && ctx.Err() == nil; slot = slot.Add(l.interval) {
					for _, m := range members {
						mine[m.of.name] = append(mine[m.of.name], l.record(ctx, m, slot.Add(m.phase)))
					}
				}
				l.mu.Lock()
				defer l.mu.Unlock()
				for name, of := range mine {
					l.written[name] = append(l.written[name], of...)
				}
			})
		}
		all.Wait()
		from = until
	}
	return from
}

// present writes every scrape at its time, spread evenly over the interval.
func (l *serveLoad) present(ctx context.Context, slot time.Time) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.mu.Lock()
			for now := time.Now(); ; {
				m := l.members[n]
				at := slot.Add(m.phase)
				if at.After(now) {
					break
				}
				if late := now.Sub(at).Milliseconds(); late > l.late.Load() {
					l.late.Store(late)
				}
				l.written[m.of.name] = append(l.written[m.of.name], l.record(ctx, m, at))
				if n++; n == len(l.members) {
					n, slot = 0, slot.Add(l.interval)
				}
			}
			l.mu.Unlock()
		}
	}
}
