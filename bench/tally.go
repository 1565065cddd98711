package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

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

// failed is how many scrapes were tried and came to nothing.
func (t *tally) failed() (n int) {
	for outcome, of := range t.Other {
		if outcome != outcomeSkipped && outcome != outcomeStopped {
			n += of
		}
	}
	return n
}

// answered is how many failed scrapes had an answer of the target, for certain, and unclear how many may have had one that came too late.
func (t *tally) answered() (certain, unclear int) {
	for _, o := range []collector.Outcome{collector.Status, collector.BodyLimit, collector.SampleLimit, collector.Parse} {
		certain += t.Other[o.String()]
	}
	return certain, t.Other[collector.Timeout.String()]
}

// off is how many of the fleet's answers no record speaks of, good or bad, or how many records of an answer nobody has answered for; and what is wrong with the records.
func (t *tally) off(answers int64) int {
	failed, late := t.answered()
	least := t.Records + failed
	return max(0, int(answers)-least-late, least-int(answers)) + t.Doubles + t.Missing + t.Broken
}

// words are what became of those that are not good, and what is wrong.
func (t *tally) words() (s string) {
	for _, outcome := range slices.Sorted(maps.Keys(t.Other)) {
		if outcome != outcomeStopped {
			s += fmt.Sprintf(", %d %s", t.Other[outcome], outcome)
		}
	}
	if t.Doubles+t.Missing+t.Broken > 0 {
		s += fmt.Sprintf(", %d ids twice, %d missing, %d records not whole", t.Doubles, t.Missing, t.Broken)
	}
	return s
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
