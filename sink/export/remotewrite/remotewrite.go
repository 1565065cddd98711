// Package remotewrite sends what the applications said to a receiver of Prometheus' remote write, version 1.0, over HTTP.
//
// It owns names and labels as Prometheus takes them, the protobuf of the request, and what an answer means. It must not know Kafka. The protocol is
// https://prometheus.io/docs/specs/prw/remote_write_spec/.
package remotewrite

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/s2"

	"github.com/rollcall-metrics/rollcall/internal/promtext"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// Config shapes an Output. URL must be given.
type Config struct {
	URL    string
	Client *http.Client // nil: one of our own; TLS is its business
	// Authorize sets what the receiver wants to see of who asks; nil: nothing. It is called for each request, so that a password file is read again.
	Authorize func(*http.Request) error
	Headers   map[string]string // such as X-Scope-OrgID
	Tags      []string          // which tags of an instance become labels; nil: all
	// Late sends samples that are older than what was sent of their instance. Prometheus takes them with an out_of_order_time_window only, and refuses a whole request
	// for one; without Late they are left out and counted.
	Late       bool
	MaxSamples int           // of a request; default 5,000
	AtOnce     int           // requests; default 4
	Timeout    time.Duration // of one; default 30 s

	Name    string // in metrics
	Logger  *slog.Logger
	Metrics *metrics.Set
}

func (c *Config) fill() {
	c.MaxSamples = cmp.Or(c.MaxSamples, 5000)
	c.AtOnce = cmp.Or(c.AtOnce, 4)
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.Metrics = cmp.Or(c.Metrics, metrics.NewSet())
	if c.Client == nil {
		c.Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
}

func (c *Config) validate() error {
	var faults []error
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		faults = append(faults, errors.New("the URL is not an http or https one, such as http://prometheus:9090/api/v1/write"))
	}
	if c.MaxSamples < 1 || c.AtOnce < 1 || c.Timeout < 100*time.Millisecond {
		faults = append(faults, fmt.Errorf("%d samples, %d at once, timeout %v: want at least 1, 1 and 100ms", c.MaxSamples, c.AtOnce, c.Timeout))
	}
	return errors.Join(faults...)
}

// Output sends to a receiver. It implements export.Output.
type Output struct {
	cfg    Config
	slots  chan struct{}
	until  atomic.Int64 // before which nothing is sent, as the receiver asked, Unix ms
	sent   *metrics.Counter
	count  func(reason string) *metrics.Counter
	warned sync.Map // by reason
}

// The reasons for which samples are left out.
const (
	Collision = "collision" // two samples of one record have one name and the same labels, as Prometheus takes them; the first counts
	Text      = "text"      // it is no number
	TooLate   = "late"      // older than what was sent of the instance
	Number    = "number"    // out of a float's range
)

// New checks the configuration; it dials nothing.
func New(c Config) (*Output, error) {
	c.fill()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("configure remote write: %w", err)
	}
	o := &Output{cfg: c, slots: make(chan struct{}, c.AtOnce)}
	o.sent = c.Metrics.GetOrCreateCounter(fmt.Sprintf("rollcall_export_remote_write_samples_total{export=%s}", promtext.Quote(c.Name)))
	o.count = func(reason string) *metrics.Counter {
		return c.Metrics.GetOrCreateCounter(fmt.Sprintf("rollcall_export_remote_write_left_out_total{export=%s,reason=%q}", promtext.Quote(c.Name), reason))
	}
	for _, r := range []string{Collision, Text, TooLate, Number} {
		o.count(r)
	}
	return o, nil
}

// Close gives the connections back.
func (o *Output) Close() error {
	o.cfg.Client.CloseIdleConnections()
	return nil
}

// Open implements export.Output.
func (o *Output) Open(context.Context, int, string) (export.Part, export.Recall, error) {
	return &part{o: o, enc: newEncoder(o.cfg.Tags), last: map[string]stood{}}, export.Recall{}, nil
}

// part sends one partition.
type part struct {
	o    *Output
	enc  *encoder
	last map[string]stood
	todo []request // made of the records in hand, in their order; what was not taken yet
	made bool
	zip  []byte
	raw  []byte
}

// stood is the newest record of an instance.
type stood struct {
	ts int64
	id wire.ID
}

// request is a row of series, each as a field of WriteRequest.
type request [][]byte

// Write implements export.Part.
func (p *part) Write(ctx context.Context, rs []export.Record) (string, error) {
	if !p.made {
		p.make(rs)
	}
	for len(p.todo) > 0 {
		if err := p.send(ctx, p.todo[0]); err != nil {
			return "", err
		}
		p.todo = p.todo[1:]
	}
	p.made, p.todo = false, nil
	return "", nil
}

// Close implements export.Part.
func (p *part) Close() error { return nil }

const mostInstances = 200_000 // of a partition, whose newest time is remembered

func (p *part) make(rs []export.Record) {
	p.made = true
	var req request
	for i := range rs {
		r := rs[i].Record
		if rs[i].Known {
			continue
		}
		key := r.Service + "/" + r.Env + "/" + r.Instance
		if last, ok := p.last[key]; ok && r.TS <= last.ts && !(r.TS == last.ts && r.ID.Part > 0 && r.ID.Whole() == last.id) && !p.o.cfg.Late {
			p.o.count(TooLate).Add(len(r.Samples))
			continue
		}
		if len(p.last) >= mostInstances {
			clear(p.last) // the receiver finds out by itself
		}
		p.last[key] = stood{r.TS, r.ID.Whole()}
		p.enc.record(r, func(series []byte) {
			if len(req) >= p.o.cfg.MaxSamples {
				p.todo, req = append(p.todo, req), nil
			}
			req = append(req, series)
		})
	}
	if len(req) > 0 {
		p.todo = append(p.todo, req)
	}
	p.o.count(Collision).Add(p.enc.collisions)
	p.o.count(Text).Add(p.enc.texts)
	p.o.count(Number).Add(p.enc.numbers)
	p.enc.collisions, p.enc.texts, p.enc.numbers = 0, 0, 0
}

// refusal is an answer that will not change.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return fmt.Sprintf("the receiver answers %d: %s", r.status, r.text) }

// splits bounds how many requests are made of one that is refused, to find out which series it is that the receiver does not want.
const splits = 128

// send brings a request to the receiver. Of one that is refused for good the halves are tried, down to single series; those that are refused alone are left out.
func (p *part) send(ctx context.Context, req request) error {
	budget := splits
	var try func(req request) error
	try = func(req request) error {
		err := p.post(ctx, req)
		var no *refusal
		if !errors.As(err, &no) {
			return err
		}
		if len(req) == 1 || budget <= 0 {
			p.o.leftOut(no, len(req))
			return nil
		}
		budget -= 2
		if err := try(req[:len(req)/2]); err != nil {
			return err
		}
		return try(req[len(req)/2:])
	}
	return try(req)
}

func (o *Output) leftOut(no *refusal, n int) {
	reason := "refused_" + strconv.Itoa(no.status)
	o.count(reason).Add(n)
	if _, told := o.warned.LoadOrStore(no.status, true); !told {
		o.cfg.Logger.Warn("the receiver refuses samples for good; they are left out, like others after them", "status", no.status, "samples", n, "says", no.text)
	}
}

// post sends one request and waits for its answer.
func (p *part) post(ctx context.Context, req request) error {
	o := p.o
	if wait := time.Until(time.UnixMilli(o.until.Load())); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case o.slots <- struct{}{}:
		defer func() { <-o.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	p.raw = p.raw[:0]
	for _, s := range req {
		p.raw = append(p.raw, s...)
	}
	p.zip = s2.EncodeSnappy(p.zip[:cap(p.zip)], p.raw)
	ctx, stop := context.WithTimeout(ctx, o.cfg.Timeout)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, o.cfg.URL, bytes.NewReader(p.zip))
	if err != nil {
		return err
	}
	for name, value := range o.cfg.Headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("User-Agent", "rollcall-export/1")
	r.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	if o.cfg.Authorize != nil {
		if err := o.cfg.Authorize(r); err != nil {
			return err
		}
	}
	res, err := o.cfg.Client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the URL may hold a secret
		}
		return fmt.Errorf("send to %s: %w", r.URL.Host, err)
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, 512))
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)) // so that the connection is used again
	text := strings.TrimSpace(string(said))
	switch code := res.StatusCode; {
	case code/100 == 2:
		o.sent.Add(len(req))
		return nil
	case code == http.StatusBadRequest || code == http.StatusRequestEntityTooLarge || code == http.StatusUnprocessableEntity:
		return &refusal{code, text}
	case code == http.StatusTooManyRequests || code/100 == 5:
		o.heed(res.Header.Get("Retry-After"))
		fallthrough
	default: // who we are, or where it is: somebody will mend that, and then nothing should be missing
		return fmt.Errorf("send to %s: it answers %s: %s", r.URL.Host, res.Status, text)
	}
}

// mostHeeded bounds how long a receiver may ask us to wait.
const mostHeeded = 5 * time.Minute

// heed takes a Retry-After: seconds, or a date.
func (o *Output) heed(after string) {
	var wait time.Duration
	if n, err := strconv.Atoi(after); err == nil {
		wait = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(after); err == nil {
		wait = time.Until(at)
	}
	if wait > 0 {
		o.until.Store(time.Now().Add(min(wait, mostHeeded)).UnixMilli())
	}
}
