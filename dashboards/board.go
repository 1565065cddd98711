package dashboards

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options shape a Board; the zero value keeps an hour within 256 MiB and recognises golden signals by name. Owns, Percentile, Rolled and About are asked of several services
// at the same time.
type Options struct {
	Window     time.Duration  // how far back raw values of each instance are kept, default 1h
	MaxBytes   int            // budget of all windows, default 256 MiB; past it the oldest values go, counted and named
	MaxColumns int            // names (a field of a distribution is one) that a service may have, default 50,000
	MaxService int            // services that the Board knows, default 20,000
	Golden     Golden         // names that mean rate, errors and latency, beside those known
	Percentile PercentileFunc // percentiles over hosts: quantile.Over; nil: latency is shown as a mean or not at all
	// Judge says at each tick what is wrong now: detect.Detector.Judge. It may read the Board. nil: nothing is ever found.
	Judge func(now time.Time, b *Board) []Finding
	// Owns says whose findings this process decides about; nil: everybody's. Publish takes what all others, and this one after a restart, are to know; it must
	// not block. nil: nobody hears of it.
	Owns    func(service, env string) bool
	Publish func(Note)
	// Alerted takes what is told of alerts, which the Board itself knows nothing of; it must not block. nil: nobody does.
	Alerted func(Note)
	// Roll takes each rollup of a service that this process owns as it is made; it must not block. nil: none are made. Rolled says whether one of the past is known
	// already, so that it is not made once more after a restart; nil: none is.
	Roll   func(Rollup)
	Rolled func(service, env string, t int64) bool
	Pinned []string // names of metrics that are rolled up by dimension too, with * for any text
	// About is what people say of a service; tag gives the first of several tags that its members have. It is asked every ten seconds, and after Renew. nil: only tags say
	// anything.
	About func(service, env string, tag func(names ...string) string) About
	// Spark draws a service that another replica owns; nil: it has none.
	Spark func(service, env string, now int64) *Spark
}

func (o *Options) defaults() {
	o.Window = cmp.Or(o.Window, time.Hour)
	o.MaxBytes = cmp.Or(o.MaxBytes, 256<<20)
	o.MaxColumns = cmp.Or(o.MaxColumns, 50_000)
	o.MaxService = cmp.Or(o.MaxService, 20_000)
}

func (o *Options) validate() error {
	var errs []error
	if o.Window < time.Minute || o.Window > 24*time.Hour {
		errs = append(errs, fmt.Errorf("window %s is not within 1m..24h", o.Window))
	}
	if o.MaxBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("budget of %d bytes is too small; give 1 MiB at least", o.MaxBytes))
	}
	if o.MaxColumns < 1 || o.MaxService < 1 {
		errs = append(errs, errors.New("limits of columns and services must be positive"))
	}
	for _, g := range [][]string{o.Golden.Rate, o.Golden.Errors, o.Golden.Latency, o.Golden.Saturation} {
		if slices.Contains(g, "") {
			errs = append(errs, errors.New("an empty golden name matches nothing; remove it"))
		}
	}
	return errors.Join(errs...)
}

// Board is what is known of the fleet: fed record by record, read by pages, judged once a second. It is safe for concurrent use; a reader of one
// service does not hold up the others.
type Board struct {
	opts Options

	mu          sync.RWMutex
	services    map[string]*service // by service/env
	ordered     []*service          // the same in order; nil: to be made anew
	origins     *origins
	findings    []Finding
	rows        []*Row                     // of the last tick, by service and environment
	asOf        time.Time                  // the newest tick
	shown       time.Time                  // the one that rows and findings are of: the same but while a tick is under way
	woke        time.Time                  // the tick after the last stall
	strips      map[string]Strip           // by environment; "" is all
	regions     map[string]map[string]bool // by environment
	looked      map[[2]string]time.Time    // when somebody has last looked at a region of an environment
	following   map[[2]string]time.Time    // looked, as of the beginning of the tick
	followed    map[[2]string]bool         // those of which partRows has the rows
	partRows    map[string][]*Row          // of the last tick, by region
	shortest    time.Duration              // interval of any service
	ownExpected int                        // instances of one's own services
	ticked      chan struct{}              // closed and made anew at each tick
	feed        Feed
	bytes       int
	evictions   Evictions
	late        []Exception // of collectors that do not keep up, as of the last tick
	refused     uint64      // records of services over the limit

	book   *book
	fleet  chronicle
	others elsewhere
	orders orders
	ledger ledger
	clocks clocks

	namesGone NamesGone // of all services
	overNames string    // a service that has more names than may be; empty: none
	shares    [Workers]share
	turn      int // of the ticks

	renew atomic.Bool
}

// NewBoard makes an empty Board. The error names every option that cannot be.
func NewBoard(o Options) (*Board, error) {
	o.defaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("make board: %w", err)
	}
	return &Board{opts: o, services: map[string]*service{}, origins: newOrigins(), strips: map[string]Strip{}, ticked: make(chan struct{}),
		feed: Feed{State: FeedConnecting}, book: newBook()}, nil
}

// service finds or makes one; nil when there are too many.
func (b *Board) service(name, env string) *service {
	var buf [128]byte
	k := append(append(append(buf[:0], name...), '/'), env...)
	b.mu.RLock()
	s := b.services[string(k)]
	b.mu.RUnlock()
	if s != nil {
		return s
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s = b.services[string(k)]; s == nil {
		if len(b.services) >= b.opts.MaxService {
			b.refused++
			return nil
		}
		s = newService(strings.Clone(name), strings.Clone(env), b.origins)
		b.services[string(k)], b.ordered = s, nil
	}
	return s
}

// find is a service that is there, or nil.
func (b *Board) find(name, env string) *service {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.services[name+"/"+env]
}

// Add takes one snapshot in. One that was seen before, by its ID, is counted and left out, and so is one of a slot in which another
// collector's counts: of two the one of the higher term, then of the smaller collector. Late ones find their place.
func (b *Board) Add(r *Record) {
	if !b.ledger.take(r) {
		return
	}
	if r.ahead = 0; !b.clocks.right(r) {
		return
	}
	s := b.service(r.Service, r.Env)
	if s == nil {
		return
	}
	s.mu.Lock()
	in, counts := s.add(&b.opts, r)
	if !counts {
		s.mu.Unlock()
		return
	}
	joined, first := in.firstSeen(r)
	s.mu.Unlock()
	if first {
		b.ledger.join(joined)
	}
	b.ledger.fresh(r)
}

// The Board ticks twice a second, so that nothing that is seen waits longer for the page: a quarter after the full second, when what was scraped before it
// has mostly come, and half a second later. A tick that takes long is not followed by the second one, nor is any where everybody is scraped seldom.
const (
	tickAt    = 250 * time.Millisecond
	tickEvery = 500 * time.Millisecond
	tickLong  = 50 * time.Millisecond // a tenth of the time
	seldom    = 10 * time.Second
)

// Run ticks until ctx ends.
func (b *Board) Run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		begun := time.Now()
		b.Tick(begun)
		now := time.Now()
		every := tickEvery
		if _, interval := b.Pulse(); now.Sub(begun) > tickLong || interval >= seldom {
			every = 2 * tickEvery
		}
		t.Reset(now.Add(-tickAt).Truncate(every).Add(every + tickAt).Sub(now))
	}
}

// tellRolled hands rollups on, those of now with the service's row.
func (b *Board) tellRolled(rolled []Rollup, now int64) {
	if len(rolled) == 0 {
		return
	}
	rows := map[string]*Row{}
	for _, r := range b.Rows() {
		rows[r.Group()] = r
	}
	for i := range rolled {
		r := &rolled[i]
		if row := rows[r.Service+"/"+r.Env]; row != nil && now-r.T < 5*time.Minute.Milliseconds() {
			bare := *row
			bare.Spark = nil
			r.Row = &bare
		}
		b.opts.Roll(*r)
	}
}

// stall is how far apart two ticks are when the process did not run in between: what the fleet said meanwhile is still to be read.
const stall = 3 * time.Second

// known is until when (Unix ms) anything is known of the fleet: now, or, while the feed is dead, when its newest snapshot was taken. Who answered then is who
// answers, for all we know: a dead feed is no dead fleet.
func (b *Board) known(now time.Time) int64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.feed.State == FeedDead && b.feed.Since > 0 {
		return min(b.feed.Since, now.UnixMilli())
	}
	return now.UnixMilli()
}

// all is the services in order. The list is shared: do not change it.
func (b *Board) all() []*service {
	b.mu.RLock()
	all := b.ordered
	b.mu.RUnlock()
	if all != nil {
		return all
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ordered == nil {
		b.ordered = slices.SortedFunc(maps.Values(b.services), func(x, y *service) int {
			return cmp.Or(strings.Compare(x.name, y.name), strings.Compare(x.env, y.env))
		})
	}
	return b.ordered
}

// now is the moment that answers speak of: the last tick, or, before the first one, this moment.
func (b *Board) now() time.Time {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.asOf.IsZero() {
		return time.Now()
	}
	return b.asOf
}

// Updated is closed at the next tick.
func (b *Board) Updated() <-chan struct{} {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.ticked
}

// Feed is what the reader of the topic says of itself.
type Feed struct {
	State FeedState `json:"state"`
	Since int64     `json:"since"` // Unix ms: since when it is in this state
	Error string    `json:"error"` // why, and what follows from it; empty when live
	// History is from when on raw values are here, Unix ms, 0 where there are none; while Filling more is being read. Note says what that means for who reads the page.
	History int64  `json:"history,omitempty"`
	Filling bool   `json:"filling,omitempty"`
	Note    string `json:"note,omitempty"`
}

// FeedState is connecting, live or dead.
type FeedState string

// The states of a Feed.
const (
	FeedConnecting FeedState = "connecting" // not yet read up to now
	FeedLive       FeedState = "live"
	FeedDead       FeedState = "dead" // the broker does not answer, or nothing came for three intervals
)

// SetFeed tells the Board how its feed is.
func (b *Board) SetFeed(f Feed) {
	b.mu.Lock()
	b.feed = f
	b.mu.Unlock()
}

// Feed is what SetFeed said last.
func (b *Board) Feed() Feed {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.feed
}
