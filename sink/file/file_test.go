package file

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func subject(t *testing.T, change func(*Config)) (sinktest.Subject, *Sink) {
	t.Helper()
	c := Config{Path: filepath.Join(t.TempDir(), "trial.ndjson"), Ledger: sink.NewLedger(sink.Identity{Collector: 0x9f3c2a7be01d44c1, Start: 3}, time.Now()), Flush: 5 * time.Millisecond}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return sinktest.Subject{Sink: s, Ledger: c.Ledger, Topics: s.cfg.Topics,
		Read: func(t testing.TB, topic string) []sinktest.Message { return read(t, c.Path, topic) }}, s
}

func read(t testing.TB, path, topic string) (out []sinktest.Message) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 4<<20)
	for sc.Scan() {
		var line struct {
			Topic, Key string
			TS         int64
			Value      json.RawMessage
		}
		if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
			t.Errorf("%v: %.200s", err, sc.Bytes())
			continue
		}
		if line.Topic == topic {
			out = append(out, sinktest.Message{Key: line.Key, Value: line.Value, Time: time.UnixMilli(line.TS)})
		}
	}
	if err := sc.Err(); err != nil {
		t.Error(err)
	}
	return out
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Subject {
		s, _ := subject(t, nil)
		return s
	})
}

func TestAppendsAfterACutLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(`{"topic":"cut sho`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := subject(t, func(c *Config) { c.Path = path })
	s.Sink.Publish(s.Topics.Roster, "k\"\n", []byte("{\n\"a\":\r\n1}"), time.UnixMilli(5))
	s.Go(t)()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const want = "{\"topic\":\"cut sho\n{\"topic\":\"rollcall.roster\",\"key\":\"k\\\"\\n\",\"ts\":5,\"value\":{ \"a\":  1}}\n"
	if string(b) != want {
		t.Errorf("%q\nwant\n%q", b, want)
	}
}

func TestBounds(t *testing.T) {
	s, f := subject(t, func(c *Config) { c.MaxBytes, c.MemoryBytes = 1<<20, 4<<20 })
	end := s.Go(t)
	value := []byte(`"` + strings.Repeat("x", 100_000) + `"`)
	for range 30 {
		s.Sink.Publish(s.Topics.Findings, "k", value, time.Now())
	}
	end()
	sums := s.Ledger.Report(time.Now()).Topics[0]
	if sums.Acknowledged != 11 || sums.Reasons[DroppedFull] != 19 || !sums.Balanced() {
		t.Errorf("%+v", sums)
	}
	if i, err := os.Stat(f.cfg.Path); err != nil || i.Size() > 1<<20+200_000 {
		t.Errorf("%v, %v", i.Size(), err)
	}
}

func TestUnwritable(t *testing.T) {
	s, f := subject(t, func(c *Config) { c.Path = filepath.Join(c.Path, "no", "such") })
	s.Sink.Put(sinktest.Snapshot("a", 1))
	if err := f.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "open file sink") {
		t.Errorf("Run = %v", err)
	}
	s.Sink.Put(sinktest.Snapshot("a", 2))
	total := s.Ledger.Report(time.Now()).Total
	if total.Reasons[DroppedWrite] != 1 || total.Reasons[sink.DroppedClosed] != 1 || !total.Balanced() {
		t.Errorf("%+v", total)
	}
}

func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Log("no /dev/full here: a disk that is full is not tried")
		return
	}
	s, _ := subject(t, func(c *Config) { c.Path = "/dev/full" })
	end := s.Go(t)
	s.Sink.Put(sinktest.Snapshot("a", 1))
	end()
	r := s.Ledger.Report(time.Now())
	if r.Total.Reasons[DroppedWrite] != 1 || len(r.Losses) != 1 || r.Losses[0].First != 1 {
		t.Errorf("%+v %+v", r.Total, r.Losses)
	}
}

func TestConfig(t *testing.T) {
	ledger := sink.NewLedger(sink.Identity{Collector: 1, Start: 1}, time.Now())
	for _, tc := range []struct {
		c    Config
		want string
	}{
		{Config{Path: "x", Ledger: ledger}, ""},
		{Config{Ledger: ledger}, "no path"},
		{Config{Path: "x"}, "no ledger"},
		{Config{Path: "x", Ledger: sink.NewLedger(sink.Identity{}, time.Now())}, "no ledger with an identity"},
		{Config{Path: "x", Ledger: ledger, MaxBytes: 1}, "at least 1 MiB"},
		{Config{Path: "x", Ledger: ledger, Flush: time.Hour}, "flush every"},
	} {
		_, err := New(tc.c)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("New(%+v) = %v, want %q", tc.c, err, tc.want)
		}
	}
}
