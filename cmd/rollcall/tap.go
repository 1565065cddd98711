package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/pick"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/sink/readback"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

type tapCmd struct {
	topicFlags
	collectorFlags
	URL      string        `name:"url" default:"http://127.0.0.1:7150" env:"ROLLCALL_URL" help:"URL of the page; it or the collector is asked which brokers to read, where nothing names them."`
	What     []string      `arg:"" optional:"" help:"NAME=PATTERN: only records whose service, env, instance, outcome, version, zone, track, host, region or any tag is like that. PATTERN: only samples of that name; NAME.FIELD is one of a distribution's numbers. A * stands for any text. An argument may hold several of one sort; what stands after a = keeps its blanks ('team=site ops')."`
	Since    time.Duration `help:"Begin so far back; default: with what comes from here on."`
	Backfill bool          `help:"What came late, too."`
	Count    int           `help:"End after so many records; default: when told to."`
	Format   string        `enum:"text,json" default:"text" help:"text, or json: one object a line; whole records where no sample is named."`
}

// Run shows records as they arrive in the topic, with no daemon in between.
func (c *tapCmd) Run(e *env) error {
	tap := &tap{format: c.Format, left: c.Count, counted: c.Count > 0, w: e.stdout}
	if err := tap.parse(c.What); err != nil {
		return err
	}
	w, err := c.way(askPlaces(e.ctx, c.collectorFlags, c.URL)...)
	if err != nil {
		return err
	}
	tap.at = " from " + w.at()
	client, err := w.readback("tap")
	if err != nil {
		return err
	}
	defer client.Close()
	topics := w.lanes()
	if !c.Backfill {
		topics = topics[:1]
	}
	var from time.Time
	if c.Since > 0 {
		from = time.Now().Add(-c.Since)
	}
	spans, err := client.Spans(e.ctx, from, topics...)
	if err != nil {
		return w.asked(unread(err))
	}
	ctx, end := context.WithCancelCause(e.ctx)
	defer end(nil)
	var wg sync.WaitGroup
	troubles := &once{w: e.stderr}
	for _, s := range spans {
		at := s.End
		if c.Since > 0 {
			at = s.From
		}
		wg.Go(func() {
			var r wire.Record
			end(client.Follow(ctx, s.Topic, s.Partition, at, func(ms []readback.Message, _ int64) error {
				for i := range ms {
					if err := wire.Decode(ms[i].Value, &r); err != nil {
						troubles.say(fmt.Errorf("%s/%d at offset %d: %w", s.Topic, s.Partition, ms[i].Offset, err))
						continue
					}
					if err := tap.take(&r, ms[i].Value); err != nil {
						return err
					}
				}
				return nil
			}, troubles.say))
		})
	}
	go tap.watch(ctx, troubles.say)
	wg.Wait()
	if err := context.Cause(ctx); e.ctx.Err() == nil && !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

var errEnough = errors.New("as many records as were asked for")

// once tells a trouble that goes on a single time.
type once struct {
	mu   sync.Mutex
	w    io.Writer
	last string
}

func (o *once) say(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if text := plainLines(err); text != o.last {
		o.last = text
		fmt.Fprintln(o.w, text)
	}
}

// tap chooses records and samples, and writes them.
type tap struct {
	where   []condition
	at      string // " from" which brokers records come, and how they are known
	metrics []string
	format  string
	heard   heard

	mu      sync.Mutex // of all below
	w       io.Writer
	counted bool
	left    int
	line    bytes.Buffer
}

// condition is a word that a record must say.
type condition struct{ name, like string }

// tapNames are the short names of tags.
var tapNames = map[string]string{"version": "service.version", "zone": "cloud.availability_zone", "region": "cloud.region", "track": "rollcall.track", "host": "host.name"}

// parse takes what is asked for; several words may stand in one argument.
func (t *tap) parse(args []string) error {
	for _, arg := range args {
		for _, word := range split(arg) {
			name, like, isCondition := strings.Cut(word, "=")
			switch {
			case !isCondition:
				t.metrics = append(t.metrics, word)
			case name == "":
				return usage("%q names nothing before its =; write service=checkout or zone=us-east-1c", word)
			default:
				if full, ok := tapNames[name]; ok {
					name = full
				}
				t.where = append(t.where, condition{name, like})
			}
		}
	}
	return nil
}

// split divides an argument at its blanks, unless they belong to what stands after its =: an argument whose words hold a = all or none of them is several words, any
// other one condition.
func split(arg string) []string {
	words, conditions := strings.Fields(arg), 0
	for _, w := range words {
		if strings.Contains(w, "=") {
			conditions++
		}
	}
	if conditions == 0 || conditions == len(words) {
		return words
	}
	return []string{strings.TrimSpace(arg)}
}

// fits reports whether a record says all that is asked.
func (t *tap) fits(r *wire.Record) bool {
	for _, c := range t.where {
		if !c.fits(c.of(r)) {
			return false
		}
	}
	return true
}

// of is what a record says where the condition looks.
func (c condition) of(r *wire.Record) string {
	switch c.name {
	case "service":
		return r.Service
	case "env":
		return r.Env
	case "instance":
		return r.Instance
	case "outcome":
		return r.OutcomeText
	}
	return r.Tag(c.name)
}

func (c condition) fits(is string) bool { return pick.Like(c.like, is) }

func (c condition) words() string { return c.name + "=" + c.like }

// take writes a record, if it is asked for. The error is errEnough after the last one, or the output's.
func (t *tap) take(r *wire.Record, raw []byte) error {
	if !t.fits(r) {
		t.heard.miss(t, r)
		return nil
	}
	nums := pick.Numbers(r.Samples, t.metrics)
	if len(t.metrics) > 0 && len(nums) == 0 && r.Outcome == collector.OK { // a pull that failed is an answer to any question about the instance
		t.heard.miss(t, r)
		return nil
	}
	t.heard.hit()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counted && t.left == 0 {
		return errEnough
	}
	t.line.Reset()
	switch {
	case t.format == "json" && len(t.metrics) == 0:
		t.line.Write(raw)
	case t.format == "json":
		t.json(r, nums)
	default:
		t.text(r, nums)
	}
	t.line.WriteByte('\n')
	if _, err := t.w.Write(t.line.Bytes()); err != nil {
		return err
	}
	if t.left--; t.counted && t.left == 0 {
		return errEnough
	}
	return nil
}

func (t *tap) text(r *wire.Record, nums []pick.Number) {
	fmt.Fprintf(&t.line, "%s  %s  %s in %v", time.UnixMilli(r.TS).Format("15:04:05.000"), plain(r.Service+"/"+r.Env+"/"+r.Instance), plain(r.OutcomeText), r.Took.Round(time.Millisecond))
	if r.Reason != "" {
		fmt.Fprintf(&t.line, "  %s", plain(r.Reason))
	}
	if len(t.metrics) == 0 {
		fmt.Fprintf(&t.line, "  %s", many(len(r.Samples), "sample", "samples"))
	}
	for _, n := range nums {
		fmt.Fprintf(&t.line, "  %s=%s", plain(n.Name), plain(n.Text))
	}
}

// tapped is a record of which some samples were asked for.
type tapped struct {
	ID       string         `json:"id"`
	TS       int64          `json:"ts"` // Unix ms
	Service  string         `json:"service"`
	Env      string         `json:"env"`
	Instance string         `json:"instance"`
	Outcome  string         `json:"outcome"`
	Reason   string         `json:"reason,omitempty"`
	Samples  map[string]any `json:"samples"`
}

func (t *tap) json(r *wire.Record, nums []pick.Number) {
	o := tapped{r.ID.String(), r.TS, r.Service, r.Env, r.Instance, r.OutcomeText, r.Reason, make(map[string]any, len(nums))}
	for _, n := range nums {
		if n.Word || !json.Valid([]byte(n.Text)) {
			o.Samples[n.Name] = n.Text
		} else {
			o.Samples[n.Name] = json.RawMessage(n.Text) // digit for digit
		}
	}
	b, err := json.Marshal(o)
	if err != nil { // of strings and digits: there is none
		b = fmt.Appendf(nil, "{\"error\":%q}", err)
	}
	t.line.Write(b)
}
