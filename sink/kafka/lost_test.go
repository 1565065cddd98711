package kafka

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
	"github.com/rollcall-metrics/rollcall/sink/spool"
)

// A damaged batch is lost and named; the rest is not.
func TestDamagedBatchIsNamed(t *testing.T) {
	addr, dir := "127.0.0.1:"+strconv.Itoa(testenv.Port(t)), t.TempDir()
	first, _ := startN(t, addr, dir, 1, func(c *Config) { c.Drain, c.Partitions = 10*time.Millisecond, 1 })
	end := first.Go(t)
	for i := range 10 {
		first.Sink.Put(sinktest.Snapshot("checkout", i))
		until(t, "it", func() bool { return first.Ledger.Report(time.Now()).Total.InMemory == 0 })
	}
	end()
	v, err := spool.Look(filepath.Join(dir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	var victim spool.Entry
	v.Each(func(e spool.Entry, _ *spool.Attempt) bool { victim = e; return e.First < 4 })
	file := filepath.Join(dir, "spool", fmt.Sprintf("%016x.seg", victim.Segment))
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[int(victim.Offset)+150] ^= 4
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _ = embedded(t, broker.Config{Addr: addr})
	second, _ := startN(t, addr, dir, 2, func(c *Config) { c.Partitions = 1 })
	end = second.Go(t)
	until(t, "all", func() bool { return second.Ledger.Report(time.Now()).Total.Acknowledged == 9 })
	end()
	r := second.Ledger.Report(time.Now())
	if len(r.Losses) != 1 || r.Losses[0].Reason != sink.DroppedDamaged || r.Losses[0].Start != 1 || r.Losses[0].First != 4 || r.Losses[0].Services["checkout/prod"] != 1 || !r.Total.Balanced() {
		t.Errorf("ledger %+v %+v", r.Total, r.Losses)
	}
}

// The folder is removed while all waits in it: that is in the ledger at once, for each service, and what comes then is delivered.
func TestRemovedFolderIsInTheLedger(t *testing.T) {
	addr, dir := "127.0.0.1:"+strconv.Itoa(testenv.Port(t)), t.TempDir()
	first, _ := startN(t, addr, dir, 1, func(c *Config) { c.Drain, c.Linger = 10*time.Millisecond, time.Millisecond })
	end := first.Go(t)
	for i := range 60 {
		snap := sinktest.Snapshot(fmt.Sprint("service-", i%3), i)
		snap.Time = time.Now().Add(-time.Hour)
		first.Sink.Put(snap)
		until(t, "it", func() bool { return first.Ledger.Report(time.Now()).Total.InMemory == 0 })
	}
	first.Sink.Publish(first.Topics.Roster, "k", []byte("{}"), time.Now().Add(-time.Hour))
	end()
	second, _ := startN(t, addr, dir, 2, nil)
	end = second.Go(t)
	until(t, "all to be told", func() bool { return second.Ledger.Report(time.Now()).Total.Spooled == 60 })
	if err := os.RemoveAll(filepath.Join(dir, "spool")); err != nil {
		t.Fatal(err)
	}
	until(t, "it to be in the ledger", func() bool { return second.Ledger.Report(time.Now()).Total.Spooled == 0 })
	r := second.Ledger.Report(time.Now())
	if !r.Total.Balanced() || r.Total.Reasons[sink.DroppedDamaged] != 60 {
		t.Errorf("ledger %+v", r.Total)
	}
	for _, l := range r.Losses {
		if l.Reason != sink.DroppedDamaged || l.Topic == "" && (len(l.Services) != 3 || l.Services["service-1/prod"] != 20) || l.Oldest == 0 {
			t.Errorf("loss %+v", l)
		}
	}
	_, _ = embedded(t, broker.Config{Addr: addr})
	second.Sink.Put(sinktest.Snapshot("checkout", 100))
	until(t, "what came then", func() bool { return second.Ledger.Report(time.Now()).Total.Acknowledged == 1 })
	end()
	if r := second.Ledger.Report(time.Now()); !r.Total.Balanced() || r.Total.Spooled != 0 {
		t.Errorf("ledger %+v", r.Total)
	}
}

// What is set aside and then removed by somebody, a file of it or all with the folder, is in the ledger as lost, and not as set aside until the next start.
func TestRemovedAsideIsInTheLedger(t *testing.T) {
	c := fake(t)
	dir := t.TempDir()
	folder := filepath.Join(dir, "spool")
	s, _ := startN(t, c.ListenAddrs()[0], dir, 1, func(c *Config) { c.Linger = time.Millisecond })
	answer(c, s.Topics.Snapshots, kerr.PolicyViolation.Code, kerr.PolicyViolation.Code)
	end := s.Go(t)
	for i := range 2 {
		s.Sink.Put(sinktest.Snapshot("checkout", i))
		until(t, "it to be set aside", func() bool { return s.Ledger.Report(time.Now()).Total.SetAside == uint64(i+1) })
	}
	files, err := filepath.Glob(filepath.Join(folder, "aside", "*"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	gone := func(r sink.Report, aside uint64) {
		t.Helper()
		if l := r.Losses[len(r.Losses)-1]; r.Total.Reasons[sink.DroppedDamaged] != 1 || r.Total.Dropped != 1 || r.Total.Aside["fatal"] != aside || !r.Total.Balanced() ||
			l.Reason != sink.DroppedDamaged || l.First == 0 || l.Services["checkout/prod"] != 1 {
			t.Errorf("ledger %+v, loss %+v", r.Total, l)
		}
	}
	until(t, "the file to be missed", func() bool { return s.Ledger.Report(time.Now()).Total.SetAside == 1 })
	gone(s.Ledger.Report(time.Now()), 1)
	end()
	second, _ := startN(t, c.ListenAddrs()[0], dir, 2, nil)
	end = second.Go(t)
	until(t, "what the first one has set aside", func() bool { return second.Ledger.Report(time.Now()).Total.SetAside == 1 })
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	until(t, "the folder to be missed", func() bool { return second.Ledger.Report(time.Now()).Total.SetAside == 0 })
	gone(second.Ledger.Report(time.Now()), 0)
	end()
}
