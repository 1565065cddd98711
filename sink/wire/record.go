package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// Record is one decoded record of topic rollcall.snapshots or its backfill lane.
type Record struct {
	ID          ID
	Parts       int // 0: whole; else this is part ID.Part of so many, and stands alone
	TS          int64
	Service     string
	Env         string
	Instance    string // host:port
	Shard       int    // discovery.NoShard where there is none
	Outcome     collector.Outcome
	OutcomeText string // as written; Outcome is NumOutcomes for a word of a later version
	Reason      string
	Took        time.Duration
	Tags        []collector.LabelPair // by name
	Samples     []collector.Sample
	Source      Source
	Skipped     int // samples in a form that we do not know

	scan   jsonscan.Scanner
	text   []byte // unescaped strings; views point into it
	pairs  []collector.LabelPair
	fields []collector.Field
	hists  []*collector.NativeHistogram // kept for the next record
	nhists int

	exemplars []collector.Exemplar
}

// Source is a record's account of where its numbers come from: "src".
type Source struct {
	Term        uint64        // as in Provenance; 0: its collector was alone
	Slot        int64         // start of the slot that the pull belongs to, Unix ms; 0: none
	Interval    time.Duration // the scrape interval in force
	Usual       time.Duration // as in collector.Snapshot
	Roster      string        // the discovery source that named the instance
	Zxid        int64         // the transaction in which it did; 0 outside ZooKeeper
	Rules       string        // hash of the rules that changed samples
	Geo         string        // build of the geo databases
	Nonfinite   int           // numbers left out because JSON cannot say them
	Duplicates  int           // keys that stood twice in the body
	Invalid     int           // names mended
	Stale       int           // samples left out because their own time stamp was far from then
	LeftOut     int           // samples in a form that a record has no words for
	Skew        time.Duration // the target's clock minus the collector's; 0 within a second
	Oversize    int           // samples left out because no record holds them
	BodyBytes   int           // decoded
	TagsLeftOut bool          // the tags were larger than a record may be
	Previous    ID            // the last id of the start before this one in this partition
}

// Tag is the value of the tag called name, or "".
func (r *Record) Tag(name string) string {
	for i := range r.Tags {
		if r.Tags[i].Name == name {
			return r.Tags[i].Value
		}
	}
	return ""
}

var (
	errVersion = errors.New(`"v" is missing or not 1`)
	errFields  = errors.New("id, ts, service or instance is missing")
)

// Decode reads one record into r and reuses r's memory. Strings and slices of r are views into b and into r: they are valid until the next Decode
// into r and as long as b is not changed. What a later version added is skipped; samples in an unknown form are counted in Skipped. The
// error says what is wrong and at which byte; r is then of no use.
func Decode(b []byte, r *Record) error {
	r.reset()
	s := &r.scan
	s.Reset(b, jsonscan.Options{})
	v := int64(0)
	var bad error
	if s.Object() {
		for key, ok := s.Key(); ok; key, ok = s.Key() {
			switch string(key.Raw) {
			case "v":
				v = r.int()
			case "id":
				if t := r.string(); s.Err() == nil {
					id, err := ParseID(t)
					bad = errors.Join(bad, err)
					r.ID = id
				}
			case "parts":
				r.Parts = int(r.int())
			case "ts":
				r.TS = r.int()
			case "service":
				r.Service = r.string()
			case "env":
				r.Env = r.string()
			case "instance":
				r.Instance = r.string()
			case "shard":
				r.Shard = int(r.int())
			case "outcome":
				r.OutcomeText = r.string()
				r.Outcome = collector.NumOutcomes
				if o, ok := collector.ParseOutcome(r.OutcomeText); ok {
					r.Outcome = o
				}
			case "reason":
				r.Reason = r.string()
			case "took_us":
				r.Took = time.Duration(r.int()) * time.Microsecond
			case "tags":
				r.Tags = r.labels()
			case "counters":
				r.numbers(collector.Counter)
			case "gauges":
				r.numbers(collector.Gauge)
			case "untyped":
				r.numbers(collector.Untyped)
			case "metrics":
				r.distributions()
			case "labels":
				r.texts()
			case "series":
				r.series()
			case "exemplars":
				r.exemplarsByName()
			case "src":
				bad = errors.Join(bad, r.source())
			default:
				s.Skip()
			}
		}
	}
	switch err := s.End(); {
	case err != nil:
		return fmt.Errorf("decode record: %w", err)
	case v != Version:
		return fmt.Errorf("decode record: %w", errVersion)
	case bad != nil:
		return fmt.Errorf("decode record: %w", bad)
	case r.ID.Sequence == 0 || r.TS == 0 || r.Service == "" || r.Instance == "":
		return fmt.Errorf("decode record: %w", errFields)
	}
	return nil
}

func (r *Record) reset() {
	r.ID, r.Parts, r.TS, r.Service, r.Env, r.Instance, r.Shard = ID{}, 0, 0, "", "", "", discovery.NoShard
	r.Outcome, r.OutcomeText, r.Reason, r.Took, r.Source, r.Skipped = collector.OK, "", "", 0, Source{}, 0
	r.Tags, r.Samples, r.text, r.pairs, r.fields, r.nhists = nil, r.Samples[:0], r.text[:0], r.pairs[:0], r.fields[:0], 0
	r.exemplars = r.exemplars[:0]
}

// int reads a whole number; another value is skipped and 0.
func (r *Record) int() int64 {
	if r.scan.Peek() != jsonscan.Number {
		r.scan.Skip()
		return 0
	}
	n, _ := jsonscan.Int64(r.scan.Number())
	return n
}

// string reads a text; another value is skipped and "".
func (r *Record) string() string {
	if r.scan.Peek() != jsonscan.String {
		r.scan.Skip()
		return ""
	}
	return r.view(r.scan.String())
}

// view is t as a string: into the record's bytes, or, with escapes, into ours.
func (r *Record) view(t jsonscan.Text) string {
	if t.Plain() {
		return t.View()
	}
	at := len(r.text)
	// Growing moves the text on; older views keep what they point to.
	r.text, _ = t.Append(r.text)
	return jsonscan.Text{Raw: r.text[at:]}.View()
}

// labels reads an object of strings; other values in it are skipped.
func (r *Record) labels() []collector.LabelPair {
	s := &r.scan
	if s.Peek() != jsonscan.Object || !s.Object() {
		s.Skip()
		return nil
	}
	from := len(r.pairs)
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		name := r.view(key)
		if s.Peek() != jsonscan.String {
			s.Skip()
			continue
		}
		r.pairs = append(r.pairs, collector.LabelPair{Name: name, Value: r.view(s.String())})
	}
	if len(r.pairs) == from {
		return nil
	}
	return r.pairs[from:len(r.pairs):len(r.pairs)]
}

// source reads "src".
func (r *Record) source() error {
	s := &r.scan
	if s.Peek() != jsonscan.Object || !s.Object() {
		s.Skip()
		return nil
	}
	src := &r.Source
	var bad error
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		switch string(key.Raw) {
		case "term":
			src.Term, _ = hex(r.string())
		case "slot":
			src.Slot = r.int()
		case "interval_ms":
			src.Interval = time.Duration(r.int()) * time.Millisecond
		case "usual_ms":
			src.Usual = time.Duration(r.int()) * time.Millisecond
		case "roster":
			src.Roster = r.string()
			if at := strings.LastIndex(src.Roster, ":0x"); at >= 0 {
				if z, ok := hex(src.Roster[at+1:]); ok {
					src.Roster, src.Zxid = src.Roster[:at], int64(z)
				}
			}
		case "rules":
			src.Rules = r.string()
		case "geo":
			src.Geo = r.string()
		case "nonfinite":
			src.Nonfinite = int(r.int())
		case "duplicates":
			src.Duplicates = int(r.int())
		case "invalid":
			src.Invalid = int(r.int())
		case "stale":
			src.Stale = int(r.int())
		case "left_out":
			src.LeftOut = int(r.int())
		case "skew_ms":
			src.Skew = time.Duration(r.int()) * time.Millisecond
		case "oversize":
			src.Oversize = int(r.int())
		case "body_bytes":
			src.BodyBytes = int(r.int())
		case "tags_left_out":
			if src.TagsLeftOut = s.Peek() == jsonscan.True; !s.Skip() {
				return nil
			}
		case "previous":
			if t := r.string(); t != "" {
				src.Previous, bad = ParseID(t)
			}
		default:
			s.Skip()
		}
	}
	return bad
}

// hex parses 0x….
func hex(s string) (uint64, bool) {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseUint(digits, 16, 64)
	return v, err == nil
}
