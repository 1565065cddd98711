package feed

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

var _ board = (*dashboards.Board)(nil)

// paper is a board that notes what it is given: +host for a change, =hosts for a full state.
type paper []string

func (p *paper) RosterChange(c discovery.Change) { *p = append(*p, "+"+c.Host) }
func (p *paper) RosterState(_, _ string, entries []discovery.Entry, _ time.Time) {
	s := "="
	for _, e := range entries {
		s += e.Host
	}
	*p = append(*p, s)
}

// said is a record of a publisher, of one entry.
func said(term, collector, start, version uint64, after time.Duration, host string) wire.RosterRecord {
	return wire.RosterRecord{Service: "cart", Env: "prod", Term: term, Collector: collector, Start: start, Version: version, TS: time.UnixMilli(0).Add(time.Hour + after).UnixMilli(),
		Changes: []discovery.Change{{Entry: discovery.Entry{Instance: discovery.Instance{Key: discovery.Key{Host: host}}}}}}
}

func full(r wire.RosterRecord, part, parts int) wire.RosterRecord {
	r.Full, r.Part, r.Parts = true, part, parts
	return r
}

// Of two publishers of a service one counts, so that the page does not flip between what they say.
func TestRosterFence(t *testing.T) {
	now := time.UnixMilli(0).Add(24 * time.Hour)
	for _, tc := range []struct {
		name string
		in   []wire.RosterRecord
		want string
	}{
		{"one in its order", []wire.RosterRecord{said(5, 1, 1, 1, 0, "a"), said(5, 1, 1, 1, 0, "b"), said(5, 1, 1, 2, 0, "c")}, "+a +b +c"},
		{"an older full state of one", []wire.RosterRecord{said(5, 1, 1, 7, 0, "a"), full(said(5, 1, 1, 6, 0, "b"), 0, 0), said(5, 1, 1, 7, 0, "c")}, "+a +c"},
		{"a new term", []wire.RosterRecord{said(5, 1, 1, 70, 0, "a"), said(6, 2, 1, 3, 0, "b"), said(5, 1, 1, 71, 0, "c"), full(said(5, 1, 1, 72, 0, "d"), 0, 0), said(6, 2, 1, 4, 0, "e")}, "+a +b +e"},
		{"one term, two publishers", []wire.RosterRecord{said(5, 2, 1, 70, 0, "a"), full(said(5, 1, 1, 3, 0, "b"), 0, 0), full(said(5, 2, 1, 71, 0, "c"), 0, 0), said(5, 1, 1, 4, 0, "d")}, "+a =b +d"},
		{"a start", []wire.RosterRecord{said(5, 1, 1, 70, 0, "a"), said(0, 1, 2, 1, 0, "b"), said(5, 1, 1, 71, 0, "c")}, "+a +b"},
		{"no group", []wire.RosterRecord{said(0, 1, 1, 1, 0, "a"), said(0, 2, 1, 9, 0, "b"), said(0, 1, 1, 2, 0, "c")}, "+a +c"},
		{"it speaks on", []wire.RosterRecord{said(5, 1, 1, 1, 0, "a"), said(5, 1, 1, 2, 6*time.Minute, "b"), said(4, 2, 1, 1, 12*time.Minute, "c")}, "+a +b"},
		{"it fell silent", []wire.RosterRecord{said(5, 1, 1, 1, 0, "a"), said(4, 2, 1, 1, publisherLapse, "b"), said(4, 2, 1, 2, publisherLapse+time.Second, "c"), said(4, 2, 1, 3, 12*time.Minute, "d")}, "+a +c +d"},
		{"a wrong clock", []wire.RosterRecord{said(5, 1, 1, 1, 900*time.Hour, "a"), said(4, 2, 1, 1, 23*time.Hour, "b")}, "+a"},
		{"parts", []wire.RosterRecord{full(said(5, 1, 1, 1, 0, "a"), 1, 2), full(said(5, 1, 1, 1, 0, "a"), 1, 2), full(said(5, 1, 1, 1, 0, "b"), 2, 2)}, "=ab"},
		{"parts with a change between", []wire.RosterRecord{full(said(5, 1, 1, 1, 0, "a"), 1, 2), full(said(5, 1, 1, 1, 0, "b"), 2, 2), said(5, 1, 1, 2, 0, "c")}, "=ab +c"},
		{"parts of two with one version", []wire.RosterRecord{full(said(5, 1, 1, 9, 0, "a"), 1, 2), full(said(6, 2, 1, 9, 0, "b"), 2, 2), full(said(5, 1, 1, 9, 0, "c"), 2, 2), full(said(6, 2, 1, 9, 0, "d"), 1, 2)}, "=bd"},
		{"parts that cannot be", []wire.RosterRecord{full(said(5, 1, 1, 1, 0, "a"), 3, 2), full(said(5, 1, 1, 1, 0, "b"), -1, 2), full(said(5, 1, 1, 1, 0, "c"), 1, -7)}, "=c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, p := newRosters(), paper{}
			fenced := 0
			for i := range tc.in {
				if s.add(&tc.in[i], &p, now) {
					fenced++
				}
			}
			if got := strings.Join(p, " "); got != tc.want {
				t.Errorf("%s, want %s; %d fenced", got, tc.want, fenced)
			}
		})
	}
}

// What keeps nobody out any more is forgotten.
func TestRosterFenceForgets(t *testing.T) {
	s, p, now := newRosters(), paper{}, time.UnixMilli(0).Add(24*time.Hour)
	for i := range 2000 {
		r := said(5, 1, 1, uint64(i), time.Duration(i)*time.Second, "a")
		r.Service = fmt.Sprint("service-", i)
		s.add(&r, &p, now)
	}
	if most := 2 * int(publisherLapse/time.Second); len(p) != 2000 || len(s.words) > most {
		t.Errorf("%d words are kept, want at most %d; %d records passed", len(s.words), most, len(p))
	}
}

// A collector's word about itself goes to who asked for it, and not to the board.
func TestOwn(t *testing.T) {
	b, err := dashboards.NewBoard(dashboards.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, told := range []func(*wire.RosterRecord){nil, func(r *wire.RosterRecord) { got = append(got, r.Own.Delivery.Dropped) }} {
		f, err := New(Config{Board: b, Brokers: []string{"127.0.0.1:1"}, Told: told})
		if err != nil {
			t.Fatal(err)
		}
		r := wire.RosterRecord{Collector: 1, Start: 1, TS: 1, Own: &wire.Own{Delivery: sink.Sums{Dropped: 7}}}
		if err := (&reader{f: f}).roster()(r.Append(nil), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 1 || got[0] != 7 || len(b.Roster(nil)) != 0 {
		t.Errorf("told %v", got)
	}
}
