// Package stats turns the bodies that applications serve into samples.
//
// It owns the formats: Ostrich JSON, text and CSV, twitter-server, twitter commons, Dropwizard, expvar and any other JSON, Prometheus text and protobuf, and
// OpenMetrics. It tells them apart by Content-Type, then by their first bytes, never by a path; it knows nothing of HTTP. A body is taken whole or not at all:
// a fault anywhere is an error with its byte offset, and no sample comes out. Watch finds out what distributions speak of whose format does not say it.
//
// What becomes of a body:
//
//	Ostrich            counters → Counter, gauges → Gauge, labels → Label, metrics → Distribution (lifetime, or latched where a period was asked for)
//	Dropwizard         counters, gauges as above; histograms, timers → Distribution (decaying); a meter → a Counter, and a Gauge a rate below its name
//	dotted JSON        x.count, x.p99, x.avg … → one Distribution x (latched where the percentiles are spelled as Finagle spells them); other numbers → Untyped
//	other JSON         numbers → Untyped under their path joined by '/', booleans → Gauge 0 or 1, texts up to MaxText bytes → Label, an array → a Gauge of its length
//	MBeans in JSON     named by domain/type/name/attribute, other properties → labels; percentiles beside a count → Distribution (decaying)
//	CSV, /vars         as their type says, else as dotted JSON
//	Prometheus         counter → Counter, gauge → Gauge, _bucket, _sum and _count → Counter, a quantile → Gauge, labels sorted; no TYPE → Untyped;
//	                   native histogram → Histogram (buckets); exemplars are kept
//
// Numbers keep the digits that were sent. NaN and the infinities are counted and left out. Of a name that stands twice the last value wins, and it is counted.
// Invalid UTF-8 is mended with U+FFFD and counted. The numbers of a Distribution have one spelling each: average, count, maximum, minimum, stddev, sum, p50 … p9999.
package stats

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// Options are what a scrape job asks of a body. The zero value has the limits that each field names; there is no way to have none.
type Options struct {
	Samples    int // numbers and texts in one body, those in a distribution each; 0 means 100,000
	Name       int // bytes of a sample's name; 0 means 1,024
	Labels     int // labels of one sample; 0 means 64
	LabelName  int // bytes; 0 means 256
	LabelValue int // bytes, also of a text; 0 means 4,096
	Depth      int // objects and arrays within each other; 0 means 64, the most is 1,024
	// Window is the span of the distributions in an Ostrich body: WindowUnknown means Lifetime, which is what a plain GET answers; a job that asks
	// with ?period= says Latched.
	Window collector.Window
	// Arrays matches the names of arrays in JSON whose elements are read, too, below the name by their number from 0. nil: an array is its length and no more.
	Arrays *regexp.Regexp
	// Now is the time by the target's clock. Samples with a time stamp of their own that is more than MaxAge away from it are left out and counted: they do not
	// speak of now. Zero: time stamps say nothing, and every sample counts as of now.
	Now time.Time
}

func (o *Options) defaults() {
	o.Samples = cmp.Or(o.Samples, 100_000)
	o.Name = cmp.Or(o.Name, 1024)
	o.Labels = cmp.Or(o.Labels, 64)
	o.LabelName = cmp.Or(o.LabelName, 256)
	o.LabelValue = cmp.Or(o.LabelValue, 4096)
	o.Depth = cmp.Or(o.Depth, 64)
	o.Window = cmp.Or(o.Window, collector.Lifetime)
}

// MaxText is the length, in bytes, up to which a text in arbitrary JSON is a Label sample. Longer ones are prose, not state, and are left out.
const MaxText = 256

// MaxAge is how far a sample's own time stamp may be from now. It is what Prometheus looks back for the newest value of a series.
const MaxAge = 5 * time.Minute

// noTime stands for a sample without a time stamp of its own.
const noTime = math.MinInt64

// ParseError says why a body cannot be read. Nothing of the body is emitted.
type ParseError struct {
	Format Format
	Offset int   // of the byte that is wrong, from the start of the body as decoded
	Err    error // names the offset too
}

func (e *ParseError) Error() string { return fmt.Sprintf("parse %s: %v", e.Format, e.Err) }

func (e *ParseError) Unwrap() error { return e.Err }

// LimitError says which limit a body breaks, and who breaks it. Nothing of the body is emitted.
type LimitError struct {
	What  string // samples, name, labels, label name, label value, metric, depth
	Limit int
	Name  string // of the offender, cut to 80 bytes
}

func (e *LimitError) Error() string {
	switch e.What {
	case "samples":
		return fmt.Sprintf("more than %d samples; the first too many is %q", e.Limit, e.Name)
	case "labels":
		return fmt.Sprintf("more than %d labels on one series; the first too many is %q", e.Limit, e.Name)
	case "depth":
		return fmt.Sprintf("objects and arrays more than %d deep in %q", e.Limit, e.Name)
	case "label value":
		return fmt.Sprintf("label value longer than %d bytes: that of %q", e.Limit, e.Name)
	}
	return fmt.Sprintf("%s longer than %d bytes: %q…", e.What, e.Limit, e.Name)
}

// Parser turns bodies into samples, one at a time. It keeps its memory from one body to the next; the zero Parser is ready. It is not safe for
// concurrent use.
type Parser struct {
	o       Options
	format  Format
	scan    jsonscan.Scanner
	samples []collector.Sample
	fields  []collector.Field     // what the samples' Fields are cut from
	pairs   []collector.LabelPair // what their Labels are cut from
	text    []byte                // names that are not in the body as they are
	seen    seen
	dotted  []dotted
	groups  []group
	whole   []protoWalk // where the messages of one metric stand
	numbers int         // taken so far, against Options.Samples
	dead    int         // samples that a later duplicate has replaced

	now int64 // milliseconds; noTime where time stamps say nothing

	exemplars []collector.Exemplar // what the samples' Exemplar point into

	labelled   []collector.LabelPair // of the MBean that is being read; nil outside of one, and of one without labels
	labelsFrom int                   // where they begin in pairs

	nonfinite, duplicates, invalid, leftOut, stale int

	err error // the first one that is not the scanner's
}

// Parse reads body and fills s.Samples, JSON, BodyBytes, Nonfinite, Duplicates, Invalid, LeftOut and Stale. The samples' strings are views into body and into the Parser: both
// must stay as they are until the Snapshot is released. On an error, a *ParseError or a *LimitError, there are no samples.
func (p *Parser) Parse(s *collector.Snapshot, body []byte, contentType string, o Options) error {
	o.defaults()
	p.o = o
	if p.now = noTime; !o.Now.IsZero() {
		p.now = o.Now.UnixMilli()
	}
	p.reset()
	s.Samples, s.JSON, s.Nonfinite, s.Duplicates, s.Invalid, s.LeftOut, s.Stale, s.BodyBytes = nil, nil, 0, 0, 0, 0, 0, len(body)

	p.format = Detect(body, contentType)
	if err := p.read(body); err != nil && !p.readVars(body, contentType, err) {
		return err
	}
	if p.dead > 0 {
		p.bury()
	}
	s.Samples, s.Nonfinite, s.Duplicates, s.Invalid, s.LeftOut, s.Stale = p.samples, p.nonfinite, p.duplicates, p.invalid, p.leftOut, p.stale
	if p.format == JSON {
		s.JSON = body
	}
	return nil
}

// readVars reads a body that failed as Prometheus' text for a reason that twitter commons' /vars would give: as long as they are plain lines of names and
// numbers, the two are the same. False means that it is no such body either; the first error says more then.
func (p *Parser) readVars(body []byte, contentType string, err error) bool {
	var pe *ParseError
	if p.format != PrometheusText || saysPrometheus(contentType) || !errors.As(err, &pe) || !plain(body, pe.Offset) {
		return false
	}
	p.reset()
	if p.varsText(body) != nil {
		return false
	}
	p.format = VarsText
	return true
}

// reset forgets the body before.
func (p *Parser) reset() {
	p.samples, p.fields, p.pairs, p.text = p.samples[:0], p.fields[:0], p.pairs[:0], p.text[:0]
	p.dotted, p.groups, p.exemplars = p.dotted[:0], p.groups[:0], p.exemplars[:0]
	p.labelled, p.labelsFrom = nil, 0
	p.seen.reset()
	p.numbers, p.dead, p.nonfinite, p.duplicates, p.invalid, p.leftOut, p.stale, p.err = 0, 0, 0, 0, 0, 0, 0, nil
}

// read reads a body of the format that it was told to be.
func (p *Parser) read(body []byte) (err error) {
	switch p.format {
	case JSON:
		err = p.json(body)
	case OstrichText:
		err = p.ostrichText(body)
	case PrometheusText:
		err = p.prometheus(body)
	case OpenMetrics:
		err = p.openMetrics(body)
	case Protobuf:
		err = p.protobuf(body)
	case CSV:
		err = p.csv(body)
	case VarsText:
		err = p.varsText(body)
	default:
		err = unknown(body)
	}
	return err
}

// Format is that of the last body.
func (p *Parser) Format() Format { return p.format }

// Size is roughly how many bytes the Parser holds for the next body.
func (p *Parser) Size() int {
	return cap(p.samples)*112 + cap(p.fields)*32 + cap(p.pairs)*32 + cap(p.text) + p.seen.size() + cap(p.dotted)*16 + cap(p.groups)*32 + cap(p.exemplars)*40
}

// deadKind marks a sample that a later duplicate has replaced, until bury takes it out.
const deadKind collector.Kind = 255

// bury takes the dead samples out.
func (p *Parser) bury() {
	n := 0
	for i := range p.samples {
		if p.samples[i].Kind != deadKind {
			p.samples[n] = p.samples[i]
			n++
		}
	}
	p.samples = p.samples[:n]
}

// kill marks samples [from, to) as replaced.
func (p *Parser) kill(from, to int32) {
	for i := from; i < to; i++ {
		if p.samples[i].Kind != deadKind {
			p.samples[i].Kind = deadKind
			p.dead++
		}
	}
}

// take counts one more number under name against the limit, and the length of the name. False means that one is broken, and that p.err is set.
func (p *Parser) take(name string) bool {
	p.numbers++
	if p.numbers > p.o.Samples {
		return p.limit("samples", p.o.Samples, name)
	}
	if len(name) > p.o.Name {
		return p.limit("name", p.o.Name, name)
	}
	return true
}

func (p *Parser) limit(what string, limit int, name string) bool {
	if p.err == nil {
		p.err = &LimitError{What: what, Limit: limit, Name: cut(name, 80)}
	}
	return false
}

// cut is at most n bytes of s, valid UTF-8, in memory of its own.
func cut(s string, n int) string {
	return strings.ToValidUTF8(strings.Clone(s[:min(n, len(s))]), "")
}

// fault is a ParseError at an offset, with a message that names it.
func fault(f Format, offset int, msg string) error {
	return &ParseError{Format: f, Offset: offset, Err: fmt.Errorf("byte %d: %s", offset, msg)}
}
