// Package collector says what one pull of one instance saw.
//
// It owns Sample, Snapshot and Outcome. collector/stats turns bodies into samples, collector/scrape pulls on schedule; both fill these nouns, and
// enrich and sink read them. A failed pull is a Snapshot too, so that good and bad take one path.
package collector

import (
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// Kind is what a sample's number means.
type Kind uint8

// The kinds, as the wire record spells them.
const (
	Untyped      Kind = iota // a number of which nobody said what it is
	Counter                  // a total since some start; only grows, but for resets
	Gauge                    // a value at this moment
	Distribution             // count, sum, percentiles, in Fields
	Histogram                // native histogram, in Hist
	Delta                    // an increase since the collector's last good scrape of the instance; Since says how long ago
	Label                    // a text, not a number: state such as a version or mode
)

var kindNames = [...]string{"untyped", "counter", "gauge", "distribution", "histogram", "delta", "label"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Window is the span that a distribution speaks of.
type Window uint8

// The windows. On Lifetime ones only the differences of count and sum say something about now.
const (
	WindowUnknown Window = iota
	Lifetime             // since the start of the process
	Latched              // the last closed period
	Decaying             // weighted towards now
	Interval             // since the last read
	Buckets              // native histograms: any window's percentiles follow from the difference of two
)

var windowNames = [...]string{"", "lifetime", "latched", "decaying", "interval", "buckets"}

func (w Window) String() string { return windowNames[w] }

// LabelPair is one label of one sample.
type LabelPair struct{ Name, Value string }

// Field is one named number of a distribution: count, sum, average, minimum, maximum, stddev, p50, p99, p999, …
type Field struct{ Name, Value string }

// Sample is one number (or text) that an application said. Its strings are views into the body unless a rule made them: they are
// valid until the Snapshot is released.
type Sample struct {
	Name   string
	Kind   Kind
	Window Window      // of a Distribution; Buckets on a Histogram
	Labels []LabelPair // sorted by name; nil on most
	// Value holds the digits that the application sent, or the text of a Label. Empty for Distribution and Histogram.
	Value    string
	Fields   []Field // of a Distribution, in the body's order
	Hist     *NativeHistogram
	Exemplar *Exemplar     // of a Counter, most often of a bucket; those of a Histogram are in Hist
	Since    time.Duration // of a Delta
}

// Float is the value as a number. The error names the sample and its text.
func (s *Sample) Float() (float64, error) { return strconv.ParseFloat(s.Value, 64) }

// NativeHistogram is a Prometheus native histogram with exponential buckets, as model/histogram defines its fields.
type NativeHistogram struct {
	Schema         int32
	ZeroThreshold  float64
	ZeroCount      float64
	Sum, Count     float64
	PositiveSpans  []Span
	PositiveCounts []float64 // absolute, one a bucket
	NegativeSpans  []Span
	NegativeCounts []float64
	Exemplars      []Exemplar
}

// Exemplar is one observation that a number is made of, with what leads to it: most often a trace_id.
type Exemplar struct {
	Labels []LabelPair // sorted by name
	Value  float64     // that was observed; finite
	Time   int64       // milliseconds since 1970; 0: not said
}

// Span is a run of buckets: Offset from the end of the span before, Length buckets.
type Span struct {
	Offset int32
	Length uint32
}

// Outcome says how a pull ended.
type Outcome uint8

// The outcomes, a bounded list: each is a metric and a word on the page.
const (
	OK          Outcome = iota
	Timeout             // no whole answer within the scrape timeout
	Refused             // nobody listens, or the connection broke
	DNS                 // the host's name does not resolve
	TLS                 // the handshake failed
	Status              // an answer other than 200
	BodyLimit           // more decoded bytes than allowed
	SampleLimit         // more samples than allowed
	Parse               // the body cannot be read; Reason has the byte offset
	Forbidden           // the address is not on the allow-list
	Skipped             // not tried: the collector could not keep up
	NumOutcomes
)

var outcomeNames = [...]string{"ok", "timeout", "refused", "dns", "tls", "status", "body_limit", "sample_limit", "parse", "forbidden", "skipped"}

func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "outcome " + strconv.Itoa(int(o))
}

// Asked reports whether the instance was asked at all.
func (o Outcome) Asked() bool { return o != Forbidden && o != Skipped }

// Answered reports whether the instance answered, with whatever: it is alive.
func (o Outcome) Answered() bool {
	return o == OK || o == Status || o == BodyLimit || o == SampleLimit || o == Parse
}

// ParseOutcome is the inverse of String; ok is false for a word that is no outcome.
func ParseOutcome(s string) (o Outcome, ok bool) {
	for i, n := range outcomeNames {
		if n == s {
			return Outcome(i), true
		}
	}
	return 0, false
}

// Snapshot is what one pull of one instance saw. enrich may still change Tags and Samples; past it nothing changes any more.
type Snapshot struct {
	Instance discovery.Instance
	Time     time.Time     // when the request was written, by the collector's clock
	Took     time.Duration // until the body was read
	Interval time.Duration // the scrape interval in force
	// Usual is the interval to which the instance goes back when it is not looked at closely any more; 0: Interval is it.
	Usual time.Duration
	// Slot is the start of the slot of Interval that the pull belongs to: the same for an instance on every collector that pulls it as this one does. Zero:
	// it belongs to none.
	Slot    time.Time
	Term    uint64 // of the division of the fleet among collectors in which the pull began; 0: there is none
	Outcome Outcome
	Reason  string // for people; empty when OK
	Samples []Sample
	// JSON is the body, decoded, if it is JSON and was read whole; nil else. What is as it was sent can be copied from it. It is valid until the Snapshot is released.
	JSON []byte
	// Tags go on the wire. They begin as the instance's own and the global external labels; enrich adds to them.
	Tags discovery.Tags
	// Info is what the application says of itself beside its statistics (/server_info): build name, version, revision.
	Info discovery.Tags

	BodyBytes  int // decoded
	Nonfinite  int // samples left out because they were NaN or infinite
	Duplicates int // keys that stood twice in the body; the last one won
	Invalid    int // names with invalid UTF-8, mended
	Stale      int // samples left out because their own time stamp is far from now
	LeftOut    int // samples in a form that the record has no words for: histograms with buckets of their own making, exemplars past a limit

	// Skew is the target's clock minus ours, by the Date of its answer; 0 where it is within a second or not said.
	Skew time.Duration

	RulesHash string // of the rules that changed Samples
	GeoBuild  string // of the databases that were asked, yyyy-mm-dd

	OnRelease func() // gives body and slices back to their pools; may be nil
}

// Release ends the life of Samples and all their strings. Call it once, after encoding.
func (s *Snapshot) Release() {
	if f := s.OnRelease; f != nil {
		s.OnRelease = nil
		f()
	}
}
