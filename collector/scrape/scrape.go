// Package scrape pulls from every target on schedule and hands over one Snapshot a pull, failed ones too.
//
// It owns the Pool: who is pulled when, connections, limits, and what a failure is called. What a body says is collector/stats' affair; who the targets are
// is told from outside, as full sets. Most targets are pulled over connections of our own with fasthttp's codec: an idle target then costs a
// socket and a few hundred bytes, and no goroutine; net/http is used where a job has a proxy, follows redirects or speaks HTTP/2.
package scrape

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Config shapes a Pool. Only Handle is needed.
type Config struct {
	// Handle takes each snapshot and must release it. It is called from many goroutines, never twice at once for one instance of one job, and never
	// after Run has returned. While it works, its target waits.
	Handle func(*collector.Snapshot)

	// MaxInFlight is how many pulls may be under way at once; 0 means 4,096. Targets that timed out the last time may take half of them.
	MaxInFlight int
	// MaxBodyBytes is how many bytes of bodies may be held at once, over all targets; 0 means 512 MiB. Who comes when they are used up is skipped.
	MaxBodyBytes int64

	// AtOnce has whoever joins be pulled at once, however many join and at the start, too: for a pool that asks once. MaxInFlight alone bounds them then.
	AtOnce bool

	// Dial connects to an address that is resolved and allowed, ip:port; nil means TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Lookup resolves a name; nil means the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	// Fresh says whether who is to be pulled is known as of now; while it is not, nothing begins. nil: it always is. It is asked at each moment at
	// which something is due, and must not wait.
	Fresh func(now time.Time) bool
	// Behind says that what comes after Handle has more to do than it gets done: while it says so nothing begins, and slots are skipped. nil: it never does. It is asked
	// before pulls begin, and must not wait.
	Behind func() bool
	// Term is the term of each snapshot; nil: 0.
	Term func() uint64
	// Retired is told of each key given to Retire, once nothing more comes of it; not of one that was put again meanwhile, nor after a stop. It must not call the
	// pool, nor wait. May be nil.
	Retired func(TargetKey)

	Seed         uint64            // moves every target's place in its interval; collectors that scrape the same targets on purpose take different ones
	ExternalTags map[string]string // tags of every snapshot whose instance has no tag of that name
	UserAgent    string            // "" means rollcall
	Log          *slog.Logger      // nil means none
	Metrics      *metrics.Set      // nil means a private one
}

func (c *Config) validate() error {
	var errs []error
	if c.Handle == nil {
		errs = append(errs, errors.New("no Handle: snapshots would go nowhere"))
	}
	if c.MaxInFlight < 0 || c.MaxBodyBytes < 0 {
		errs = append(errs, fmt.Errorf("MaxInFlight is %d and MaxBodyBytes %d: neither can be less than 0", c.MaxInFlight, c.MaxBodyBytes))
	}
	if strings.ContainsFunc(c.UserAgent, func(r rune) bool { return r < ' ' || r > '~' }) {
		errs = append(errs, fmt.Errorf("user agent %q has a character that cannot stand in a header", c.UserAgent))
	}
	return errors.Join(errs...)
}

// Pool pulls from the targets of the latest Set.
type Pool struct {
	c       Config
	dial    *dialer
	secrets secrets
	pulls   pulls
	readers sync.Pool

	hands     chan struct{} // as many as bodies may be worked on at once
	exchanges sync.Pool     // of *exchange, those of pulls that have ended
	m         poolMetrics
	wake      chan struct{}
	stopped   atomic.Bool // Run ends

	mu       sync.Mutex
	ctx      context.Context // of pulls; nil before Run
	set      []Target        // the newest one, until it is applied
	fresh    bool            // set was not applied yet
	changes  []change        // that came after it, in order, until they are applied
	retiring []TargetKey     // that came before set, and are to be retired before it is applied
	applied  bool            // the first ones were
	targets  map[TargetKey]*target
	leaving  map[TargetKey]*target   // gone, but a worker still has them, or will for their last pull
	left     map[TargetKey]time.Time // when the interval of their last pull ends
	sweepAt  int                     // left is swept when it has grown to this
	jobs     map[*Job]*jobRun
	heap     heap
	bucket   bucket // of first pulls
	lasts    bucket // of last pulls
	workers  workers
	worker   func(chan *target) // what each of them does
	line     uint64             // the last place in line that was given
	lines    [numBadness]fifo   // for a worker, by how the last pull ended
	pulled   [numBadness]int    // that are being pulled
	counts   counts
	load     load
}

// handsEach is how many bodies may be worked on at once for each processor: more than one, as whoever takes a snapshot may have to wait for a moment.
const handsEach = 8

// New makes a pool that does nothing until Run.
func New(c Config) (*Pool, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("configure scrape pool: %w", err)
	}
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 4096)
	c.UserAgent = cmp.Or(c.UserAgent, "rollcall")
	if c.Fresh == nil {
		c.Fresh = func(time.Time) bool { return true }
	}
	if c.Behind == nil {
		c.Behind = func() bool { return false }
	}
	if c.Term == nil {
		c.Term = func() uint64 { return 0 }
	}
	if c.Retired == nil {
		c.Retired = func(TargetKey) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
	p := &Pool{
		hands: make(chan struct{}, handsEach*runtime.GOMAXPROCS(0)),
		c:     c, dial: newDialer(&c), wake: make(chan struct{}, 1),
		targets: map[TargetKey]*target{}, leaving: map[TargetKey]*target{}, left: map[TargetKey]time.Time{}, jobs: map[*Job]*jobRun{},
	}
	p.readers.New = newReader
	p.worker = p.work
	p.pulls.budget, p.pulls.zstd = cmp.Or(c.MaxBodyBytes, 512<<20), sync.OnceValues(newZstd)
	p.load.init()
	p.m.register(p)
	return p, nil
}

// Set replaces the whole set of targets. The latest wins; a target that is in the old set and in the new keeps its schedule and its connection, and one that
// is not any more is ended, whatever it was at. Set may be called at any time, from any goroutine, and does not wait. A job that does not
// validate is an error, and then nothing changes. Of two targets of one key and job the first counts.
func (p *Pool) Set(targets []Target) error {
	if err := checkJobs(targets); err != nil {
		return fmt.Errorf("set targets: %w", err)
	}
	p.mu.Lock()
	p.keepRetiring()
	p.set, p.fresh = slices.Clone(targets), true
	p.mu.Unlock()
	p.wakeUp()
	return nil
}

func (p *Pool) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// grace is how long pulls under way have, beside their own timeouts, when the pool stops.
const grace = 2 * time.Second

// Run pulls until ctx ends. Then it begins no more pulls, gives those under way 2 s, tells a skipped snapshot of each that did not end in time, and closes every
// connection. It may be called once.
func (p *Pool) Run(ctx context.Context) error {
	p.mu.Lock()
	if p.ctx != nil {
		p.mu.Unlock()
		return errors.New("run scrape pool: it runs already, or did")
	}
	var cancel context.CancelFunc
	p.ctx, cancel = context.WithCancel(context.WithoutCancel(ctx)) // for pulls under way at the end
	p.mu.Unlock()
	defer cancel()

	timer := time.NewTimer(0)
	defer timer.Stop()
	trim := time.NewTicker(trimEvery)
	defer trim.Stop()
	for {
		select {
		case <-ctx.Done():
			p.end()
			return nil
		case <-trim.C:
			p.pulls.giveBack()
			p.mu.Lock()
			p.workers.trim()
			p.pulls.large.trim()
			p.mu.Unlock()
			continue
		case <-p.wake:
		case <-timer.C:
		}
		timer.Reset(p.turn(time.Now()))
	}
}

// turn applies what is new, starts what is due and returns how long until there is more to do.
func (p *Pool) turn(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fresh || len(p.changes) > 0 {
		if p.fresh {
			p.apply(now)
		}
		p.applyChanges(now)
		p.applied = p.applied || len(p.changes) == 0
	}
	if p.heap.dueBy(now) != nil && !p.c.Fresh(now) {
		p.m.held.Inc()
		p.launch()
		return heldFor
	}
	for t := p.heap.dueBy(now); t != nil; t = p.heap.dueBy(now) {
		s := t.spec.Load()
		next, lost := t.next(t.due, now, s.interval)
		for i := range min(lost, maxMissed) { // a machine may have slept for days
			p.miss(t, s, slot{t.due.Add(time.Duration(i+1) * s.interval), s.interval}, skippedSlept)
		}
		s.run.m.skipped[skippedSlept].Add(max(0, lost-maxMissed))
		due := slot{t.due, s.interval}
		p.heap.set(t, next)
		switch {
		case t.running:
			p.miss(t, s, due, skippedRunning)
		case t.queued: // it keeps its place in line, for this slot
			why := skippedBusy
			if t.bad == gorged {
				why = skippedLarge
			}
			p.miss(t, s, t.wanted, why)
			t.wanted = due
		default:
			p.start(t, due)
		}
	}
	if p.load.again = !p.launch(); len(p.changes) > 0 {
		return 0
	}
	if p.load.again {
		return together
	}
	return max(together, p.heap.wait(now))
}

// heldFor is how long the pool waits before it asks again whether what it knows is fresh.
const heldFor = 20 * time.Millisecond

// start has t wait for a worker.
func (p *Pool) start(t *target, due slot) {
	p.line++
	t.queued, t.wanted, t.place = true, due, p.line
	p.lines[t.bad].push(t)
}

// badness is how a target's last pull ended, as far as others could suffer from the next one: then it stands in a line of its own, of which few are pulled at once.
type badness uint8

const (
	notBad badness = iota
	hung           // it timed out
	gorged         // its body was as large as may be, or larger
	numBadness
)

// largeBody is what a body of too many samples may have before it is told apart from others.
const largeBody = 1 << 20

func badnessOf(o collector.Outcome, body int) badness {
	switch {
	case o == collector.Timeout:
		return hung
	case o == collector.BodyLimit, o == collector.SampleLimit && body > largeBody:
		return gorged
	}
	return notBad
}

// gorgedAtOnce is how many targets are pulled at once that broke a limit of size the last time. A body of too many samples is read each time, as is the first that is within
// its limit again, and to weigh one that is not takes the time that unzipping takes: together they cost no more than a few do.
const gorgedAtOnce = 2

// places is how many targets of a line may be pulled at once.
func (p *Pool) places(b badness) int {
	switch b {
	case hung:
		return max(1, p.c.MaxInFlight/2)
	case gorged:
		return gorgedAtOnce
	}
	return p.c.MaxInFlight
}

// inLine is how many targets wait for a worker.
func (p *Pool) inLine() (n int) {
	for i := range p.lines {
		n += p.lines[i].len()
	}
	return n
}

// pick is the next target to pull: the one that waits longest. But those that timed out the last time never take more than half of the places, and those that were
// too large two: who is bad hurts only the like.
func (p *Pool) pick() *target {
	for {
		var from *fifo
		for b := range p.lines {
			if x := p.lines[b].first(); x != nil && p.pulled[b] < p.places(badness(b)) && (from == nil || x.place < from.first().place) {
				from = &p.lines[b]
			}
		}
		if from == nil {
			return nil
		}
		t := from.pop()
		t.queued = false
		if t.gone && !t.last {
			continue
		}
		t.running = true
		t.lasting, t.last = t.last, false
		t.was = t.bad
		p.pulled[t.was]++
		return t
	}
}

// work is one worker: it pulls the targets that come over ch, and then those that wait, until ch is closed.
func (p *Pool) work(ch chan *target) {
	for t := range ch {
		for t != nil {
			p.mu.Lock()
			missed, last := t.missed, t.lasting
			t.missed = nil
			t.started = time.Now()
			late := t.started.Sub(t.wanted.due)
			p.mu.Unlock()
			var outcome collector.Outcome
			if last {
				outcome = p.scrapeLast(t, late)
			} else {
				outcome = p.scrape(t, missed, late)
			}
			p.mu.Lock()
			if t = p.finish(t, outcome); t == nil {
				p.workers.rest(ch)
			}
			p.mu.Unlock()
		}
	}
}

// finish takes t back from its worker and gives the worker its next one, or nil.
func (p *Pool) finish(t *target, o collector.Outcome) *target {
	t.running, t.lasting, t.bad = false, false, badnessOf(o, t.lastBody)
	if t.bad == notBad && (t.scale.weighed || t.period.scale.weighed) {
		t.bad = gorged
	}
	p.pulled[t.was]--
	t.mu.Lock()
	t.aborted, t.leaves, t.stop = false, false, nil
	t.mu.Unlock()
	switch {
	case p.again(t, o):
		t.running = true
		return t
	case t.gone:
		delete(p.leaving, t.key)
		t.drop()
		p.tellRetired(t)
	default:
		p.counts.move(t, lastOf(t))
	}
	return p.following()
}

// end ends everything and waits.
func (p *Pool) end() {
	p.stopped.Store(true)
	p.mu.Lock()
	p.lines = [numBadness]fifo{}
	for _, t := range p.targets {
		t.gone = true
		if t.queued {
			p.miss(t, t.spec.Load(), t.wanted, skippedStopped)
		}
	}
	p.heap = heap{}
	p.workers.close()
	p.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		p.workers.wait.Wait()
	}()
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-idle:
	case <-late.C:
		p.mu.Lock()
		for _, t := range p.targets {
			if t.running {
				t.abort(false)
			}
		}
		for _, t := range p.leaving {
			t.abort(true)
		}
		p.mu.Unlock()
		<-idle
	}
	p.mu.Lock()
	for _, t := range p.targets {
		t.drop()
	}
	for _, t := range p.leaving { // which waited for their last pull
		t.drop()
	}
	for _, r := range p.jobs {
		r.close()
	}
	left := p.targets
	p.targets, p.counts = map[TargetKey]*target{}, counts{}
	p.mu.Unlock()
	for _, t := range left { // slots that no pull came after to tell
		for _, m := range t.missed {
			p.tell(t, t.spec.Load(), m)
		}
	}
}
