package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	_ "github.com/segmentio/kafka-go/zstd"

	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// runBroker is the process of the embedded broker, in memory. It prints its address as JSON and ends with stdin.
func runBroker(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	fs := flag.NewFlagSet("broker", flag.ContinueOnError)
	if err := fs.Parse(args); err != nil {
		return err
	}
	// Everything is kept, for it is read to the last record at the end.
	b, err := broker.New(broker.Config{Addr: "127.0.0.1:0", RetentionBytes: 4 << 30, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-b.Ready():
	}
	out := json.NewEncoder(stdout)
	if err := out.Encode(b.Addr()); err != nil {
		return err
	}
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		if err := out.Encode("ok"); err != nil {
			return err
		}
	}
	stop()
	return errors.Join(lines.Err(), <-done)
}

// tally is what stands in the topics after a run of rollcall.
type tally struct {
	Records  int            // of good scrapes
	Other    map[string]int // by outcome; those that the end of the run cut apart, as stopped
	Doubles  int            // ids that stand twice
	Missing  int            // ids that are missing between others
	Untold   int            // slots of a target between its first and its last record that no record speaks of
	Broken   int            // records that do not say what the fleet said
	Fewest   int            // skipped of one target
	Most     int
	interval int64 // ms; Untold, Fewest and Most are of scrapes at this one
	changed  bool  // there was another interval before: a pull that waited meanwhile is the first at this one
	slots    map[string]*targetSlots
	ids      map[int32][]uint64
}

// targetSlots is what the topics say of one target.
type targetSlots struct {
	told    []int64 // slots, ms
	skipped int
}

// untold is how many slots no record speaks of. Who is scraped at once, because he is new, has his second scrape in the first slot that is half an interval or more
// away; so one slot may be missing after the first record. Where the interval was another one before, that record is from before.
func (s *targetSlots) untold(interval int64, changed bool) (n int) {
	slices.Sort(s.told)
	told := slices.Compact(s.told)
	for i := 1; i < len(told); i++ {
		gap := int((told[i]-told[i-1])/interval) - 1
		if i == 1 {
			gap = max(0, gap-1)
		}
		if i == 1 && changed {
			gap = 0
		}
		n += gap
	}
	return n
}

// Outcomes as records have them; stopped is what we call a scrape that the end of the run cut.
const (
	outcomeOK      = "ok"
	outcomeSkipped = "skipped"
	outcomeStopped = "stopped"
)

func newTally(interval int64) *tally {
	return &tally{interval: interval, Other: map[string]int{}, slots: map[string]*targetSlots{}, ids: map[int32][]uint64{}}
}

// readTopics reads every record of the topics, both lanes, and counts. Slots are compared of the scrapes at one interval; changed says that there were others before.
func readTopics(ctx context.Context, addr string, interval time.Duration, changed bool, topics ...string) (*tally, error) {
	t := newTally(interval.Milliseconds())
	t.changed = changed
	for _, topic := range topics {
		err := eachRecord(ctx, addr, topic, t.record)
		if err != nil {
			return nil, fmt.Errorf("read topic %s: %w", topic, err)
		}
	}
	t.sum()
	return t, nil
}

func (t *tally) sum() {
	for _, ids := range t.ids {
		slices.Sort(ids)
		for i := range ids {
			switch {
			case i == 0:
				t.Missing += int(ids[0] - 1)
			case ids[i] == ids[i-1]:
				t.Doubles++
			default:
				t.Missing += int(ids[i] - ids[i-1] - 1)
			}
		}
	}
	t.ids = nil
	t.Fewest = 1 << 30
	for _, s := range t.slots {
		t.Untold += s.untold(t.interval, t.changed)
		t.Fewest, t.Most = min(t.Fewest, s.skipped), max(t.Most, s.skipped)
	}
}

// eachRecord reads a topic from its first record to its last.
func eachRecord(ctx context.Context, addr, topic string, each func([]byte) error) error {
	conn, err := kafka.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	partitions, err := conn.ReadPartitions(topic)
	if err = errors.Join(err, conn.Close()); err != nil {
		return err
	}
	for _, p := range partitions {
		if err := eachOf(ctx, addr, topic, p.ID, each); err != nil {
			return fmt.Errorf("partition %d: %w", p.ID, err)
		}
	}
	return nil
}

func eachOf(ctx context.Context, addr, topic string, partition int, each func([]byte) error) (err error) {
	conn, err := kafka.DialLeader(ctx, "tcp", addr, topic, partition)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	first, last, err := conn.ReadOffsets()
	if err != nil {
		return err
	}
	if first != 0 {
		return fmt.Errorf("it begins at %d: what was before is not there to be counted", first)
	}
	buf := make([]byte, 1<<20)
	for at := first; at < last; {
		if _, err := conn.Seek(at, kafka.SeekAbsolute); err != nil {
			return err
		}
		batch := conn.ReadBatch(1, 8<<20)
		began := at
		for at < last {
			n, err := batch.Read(buf)
			if err != nil {
				break // the batch's own error comes from Close
			}
			at++
			if err := each(buf[:n]); err != nil {
				return errors.Join(err, batch.Close())
			}
		}
		if err := batch.Close(); err != nil && !errors.Is(err, io.EOF) || at == began {
			return fmt.Errorf("read on from %d: %w", at, cmp.Or(err, io.ErrNoProgress))
		}
	}
	return nil
}

// looked is of how many records one is decoded whole and compared with what the fleet says.
const looked = 500

func (t *tally) record(rec []byte) error {
	id, body, err := wire.CutHead(rec)
	if err != nil {
		return err
	}
	t.ids[id.Partition] = append(t.ids[id.Partition], id.Sequence)
	outcome := between(body, `"outcome":"`)
	instance := between(body, `"instance":"`)
	slot := numberAfter(body, `"slot":`)
	if instance == nil || outcome == nil || slot == 0 {
		return fmt.Errorf("a record without instance, outcome or slot: %.300s", rec)
	}
	var s *targetSlots
	if numberAfter(body, `"interval_ms":`) == t.interval {
		if s = t.slots[string(instance)]; s == nil {
			s = &targetSlots{}
			t.slots[string(instance)] = s
		}
		s.told = append(s.told, slot)
	}
	if string(outcome) != outcomeOK {
		what := string(outcome)
		if what == outcomeSkipped && bytes.Contains(between(body, `"reason":"`), []byte("stopped")) {
			what = outcomeStopped
		} else if what == outcomeSkipped && s != nil {
			s.skipped++
		}
		t.Other[what]++
		return nil
	}
	if t.Records++; t.Records%looked == 1 {
		var r wire.Record
		if err := wire.Decode(rec, &r); err != nil || r.Outcome.String() != outcomeOK || !wholeRecord(rec) {
			t.Broken++
		}
	}
	return nil
}

// wholeRecord says whether a record has every number of a body of the fleet.
func wholeRecord(rec []byte) bool {
	var r struct {
		Counters, Gauges map[string]json.Number
		Metrics          map[string]map[string]any
	}
	if err := json.Unmarshal(rec, &r); err != nil {
		return false
	}
	n := len(r.Counters) + len(r.Gauges)
	for _, m := range r.Metrics {
		for _, v := range m {
			if _, ok := v.(float64); ok {
				n++
			}
		}
	}
	return n == numbersEach
}

// between is the text after a key, up to the next quote, or nil.
func between(b []byte, key string) []byte {
	_, rest, ok := bytes.Cut(b, []byte(key))
	if !ok {
		return nil
	}
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	return text
}

// numberAfter is the number after the last of a key, or 0.
func numberAfter(b []byte, key string) (n int64) {
	i := bytes.LastIndex(b, []byte(key))
	if i < 0 {
		return 0
	}
	for _, c := range b[i+len(key):] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int64(c-'0')
	}
	return n
}
