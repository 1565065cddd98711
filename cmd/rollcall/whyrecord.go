package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink/readback"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// whyRecord is a record as `why ID` shows it.
type whyRecord struct {
	ID        string          `json:"id"`
	Topic     string          `json:"topic"`
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
	Lane      string          `json:"lane"`
	Sentences []string        `json:"sentences"`
	Record    json.RawMessage `json:"record"`
}

// record finds a record by its id and says how it came to be.
func (c *whyCmd) record(e *env, id wire.ID) error {
	w, err := c.way(askPlaces(e.ctx, c.collectorFlags, c.URL)...)
	if err != nil {
		return err
	}
	return w.asked(c.recordAt(e, w, id))
}

// recordAt looks for the record in the topics of a Kafka.
func (c *whyCmd) recordAt(e *env, w *way, id wire.ID) error {
	client, err := w.readback("why")
	if err != nil {
		return err
	}
	defer client.Close()
	for i, topic := range w.lanes() {
		n, err := client.Partitions(e.ctx, topic)
		if err != nil {
			return unread(err)
		}
		if int(id.Partition) >= n {
			continue
		}
		s, err := client.Span(e.ctx, topic, int(id.Partition), time.Time{})
		if err != nil {
			return err
		}
		m, r, err := findRecord(e.ctx, client, s, id)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		out := whyRecord{ID: r.ID.String(), Topic: topic, Partition: id.Partition, Offset: m.Offset, Lane: [...]string{"live", "backfill"}[i], Record: m.Value}
		out.Sentences = recordStory(r, &out)
		if c.JSON {
			b, err := json.Marshal(out)
			if err == nil {
				_, err = fmt.Fprintln(e.stdout, string(b))
			}
			return err
		}
		for _, text := range out.Sentences {
			fmt.Fprintln(e.stdout, plain(text))
		}
		return nil
	}
	return fmt.Errorf("%v stands in neither %s nor %s: retention has removed it, it has not come yet, or it is lost; `rollcall audit` says which", id, w.topics.Snapshots, w.topics.Backfill)
}

const (
	nearBy   = 20_000 // offsets that are read one by one around the place where a record should be
	maxJumps = 64
)

var errFound = errors.New("found")

// findRecord looks for a record in one partition of one lane: by jumps, as the sequences of a collector's start only grow there but for those within a batch, then
// one by one around the place, then all of it.
func findRecord(ctx context.Context, client *readback.Client, s readback.Span, id wire.ID) (found *readback.Message, r *wire.Record, err error) {
	r = new(wire.Record)
	fits := func(m readback.Message) bool {
		return wire.Decode(m.Value, r) == nil && (r.ID == id || id.Part == 0 && r.ID.Whole() == id)
	}
	scan := func(from, end int64) error {
		part := s
		part.From, part.End = max(s.From, from), min(s.End, end)
		err := client.Read(ctx, part, func(m readback.Message) error {
			if fits(m) {
				found = &m
				return errFound
			}
			return nil
		})
		if errors.Is(err, errFound) {
			return nil
		}
		return err
	}
	lo, hi := s.From, s.End
	for range maxJumps {
		if hi-lo <= nearBy {
			break
		}
		mid := lo + (hi-lo)/2
		ms, err := client.Some(ctx, s.Topic, s.Partition, mid)
		if err != nil {
			return nil, nil, err
		}
		least, most := 1, -1 // how those of the collector compare with the one that is looked for
		for i := range ms {
			if fits(ms[i]) {
				return &ms[i], r, nil
			}
			if r.ID.Collector == id.Collector {
				d := cmp.Or(cmp.Compare(r.ID.Start, id.Start), cmp.Compare(r.ID.Sequence, id.Sequence))
				least, most = min(least, d), max(most, d)
			}
		}
		switch {
		case len(ms) == 0 || least > most: // nobody to compare with
			lo, hi = s.From, s.End
		case least > 0:
			hi = mid
			continue
		case most < 0:
			lo = ms[len(ms)-1].Offset + 1
			continue
		default:
			lo, hi = mid, ms[len(ms)-1].Offset+1
		}
		break
	}
	if hi-lo < s.Len() {
		if err := scan(lo-nearBy, hi+nearBy); err != nil || found != nil {
			return found, r, err
		}
	}
	err = scan(s.From, s.End)
	return found, r, err
}

// recordStory tells each step of a record's way, from what it says of itself.
func recordStory(r *wire.Record, at *whyRecord) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	src := &r.Source
	who := fmt.Sprintf("%s/%s/%s", r.Service, r.Env, r.Instance)
	if r.Shard != discovery.NoShard {
		who += fmt.Sprintf(" (shard %d)", r.Shard)
	}
	say("This is the pull of %s at %s UTC, by the clock of collector %s, in its start %d.", who, clock(r.TS), wire.FormatCollector(r.ID.Collector), r.ID.Start)
	if r.Outcome == collector.OK {
		say("It was good: the answer took %v, %s of it.", r.Took, many(src.BodyBytes, "byte", "bytes"))
	} else {
		say("It failed after %v: %s: %s.", r.Took, r.OutcomeText, cmp.Or(r.Reason, "no reason is given"))
	}
	if src.Roster != "" {
		text := fmt.Sprintf("The instance was on the roster because discovery source %s named it", src.Roster)
		if src.Zxid != 0 {
			text += fmt.Sprintf(", in ZooKeeper's transaction 0x%x", src.Zxid)
		}
		say("%s.", text)
	}
	if src.Term != 0 {
		say("The collector pulled it because it was its own in the division of the fleet of term 0x%x.", src.Term)
	} else {
		say("The collector shared the fleet with nobody: there was no term.")
	}
	if src.Slot != 0 {
		say("It is of the slot that began at %s UTC, of an interval of %v; the pull came %v into it.", clock(src.Slot), src.Interval, time.Duration(r.TS-src.Slot)*time.Millisecond)
	} else if src.Interval > 0 {
		say("It is of no slot; the interval was %v.", src.Interval)
	}
	if src.Skew != 0 {
		say("The instance's own clock was %v off the collector's.", src.Skew)
	}
	out = append(out, contents(r))
	if src.Rules != "" {
		say("Rules changed its samples: those whose hash is %s.", src.Rules)
	} else {
		say("No rule changed its samples.")
	}
	if src.Geo != "" {
		say("Addresses were looked up in the databases built %s.", src.Geo)
	}
	if len(r.Tags) > 0 {
		var tags []string
		for _, t := range r.Tags {
			tags = append(tags, t.Name+"="+t.Value)
		}
		say("Its tags, of its registration, its networks and what was looked up: %s.", strings.Join(tags, ", "))
	}
	if text := leftOut(src); text != "" {
		say("%s", text)
	}
	given := fmt.Sprintf("It was given sequence %d of that start in partition %d", r.ID.Sequence, r.ID.Partition)
	if r.Parts > 0 {
		given += fmt.Sprintf(", and was too large for one record: this is part %d of %d", r.ID.Part, r.Parts)
	}
	say("%s.", given)
	if src.Previous != (wire.ID{}) {
		say("It also tells where the start before had ended in this partition: %v.", src.Previous)
	}
	if at.Lane == "live" {
		say("It was delivered fresh, in the live lane: topic %s, partition %d, offset %d.", at.Topic, at.Partition, at.Offset)
	} else {
		say("It was late at its first send, so it went in the lane of late records: topic %s, partition %d, offset %d.", at.Topic, at.Partition, at.Offset)
	}
	return out
}

func contents(r *wire.Record) string {
	kinds := map[collector.Kind]int{}
	for i := range r.Samples {
		kinds[r.Samples[i].Kind]++
	}
	if len(r.Samples) == 0 {
		return "It holds no samples."
	}
	var parts []string
	for k := collector.Untyped; k <= collector.Label; k++ {
		if n := kinds[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
		}
	}
	slices.Sort(parts)
	return fmt.Sprintf("It holds %s: %s.", many(len(r.Samples), "sample", "samples"), strings.Join(parts, ", "))
}

func leftOut(src *wire.Source) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{src.Nonfinite, "not finite"}, {src.Duplicates, "names that stood twice, of which the last counts"}, {src.LeftOut, "in a form without words for it"}, {src.Oversize, "too large for any record"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if src.Invalid > 0 {
		parts = append(parts, fmt.Sprintf("%d names were mended", src.Invalid))
	}
	if src.TagsLeftOut {
		parts = append(parts, "its tags, which were larger than a record")
	}
	if len(parts) == 0 {
		return ""
	}
	return "Left out or mended: " + strings.Join(parts, "; ") + "."
}
