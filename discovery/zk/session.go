package zk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	gozk "github.com/go-zookeeper/zk"

	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// Status is where a session stands.
type Status struct {
	Connected bool
	ReadOnly  bool          // the server has lost its quorum: what it says may be old, and it takes no writes
	SessionID int64         // of the session last had; 0 before the first. A new one means that every ephemeral of the old is gone, or will be
	Timeout   time.Duration // as the server set it
	Server    string        // the server talked to, or last talked to, as configured
	Version   string        // its release, where it was asked and told
	LastHeard time.Time     // the last byte from any server
	Since     time.Time     // when it became connected, or lost the connection
	Epoch     uint64        // connections made so far
	Err       string        // why there is no connection, or what is amiss with this one
}

// Session keeps one ZooKeeper session alive over lost connections, moved servers and rebuilt ensembles. Its calls are bounded by their contexts. It is safe for
// concurrent use.
type Session struct {
	cfg Config
	m   sessionMetrics

	tasks     sync.WaitGroup
	mu        sync.Mutex
	running   context.Context // of Run; nil outside
	client    *client
	link      *link
	status    Status
	changed   chan struct{} // closed at each change of status
	feeds     []*feed
	back      backoff
	refused   int  // connections that ended over addWatch, in a row
	rootOnly  bool // the recursive watches of the server do not tell what happened below them
	detach    bool
	learned   []server      // of the ensemble's own configuration
	adopted   chan struct{} // has a value when learned has changed
	ensemble  string        // path of the ensemble's configuration
	homeAfter time.Duration // the least wait of returnHome
	hold      func(int)     // of Sessions, where it is shared
	zxid      atomic.Int64  // the newest transaction that a server has told of since the client was made
}

// client is one incarnation of the library's client.
type client struct {
	conn     *gozk.Conn
	made     chan struct{} // closed when conn is set: the library dials before it returns
	hosts    *hosts
	events   <-chan gozk.Event
	ctx      context.Context // ends when the client is to end
	cancel   context.CancelCauseFunc
	refusals atomic.Int64 // connections that ended before the server answered, since the last that did not
	last     *link        // only the library's loop, by way of connect, uses it
}

var (
	errRenew  = errors.New("a new client is needed")
	errClosed = errors.New("the session is closed")
)

type sessionMetrics struct {
	connects, losses, expiries, clients, events, calls, failures, received *metrics.Counter
	connected, silence                                                     *metrics.Gauge
}

// NewSession checks the configuration. The session begins with Run.
func NewSession(cfg Config) (*Session, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("make zookeeper session %q: %w", cfg.Name, err)
	}
	s := &Session{cfg: cfg, changed: make(chan struct{}), status: Status{Err: "not connected yet"}, homeAfter: returnAfter, ensemble: configPath, adopted: make(chan struct{}, 1)}
	s.back.limit = min(maxBackoff, cfg.SessionTimeout/4)
	count := func(what string) *metrics.Counter {
		return cfg.Metrics.GetOrCreateCounter(fmt.Sprintf("rollcall_zk_%s_total{session=%s}", what, promtext.Quote(cfg.Name)))
	}
	s.m = sessionMetrics{connects: count("connects"), losses: count("connection_losses"), expiries: count("session_expiries"), clients: count("clients"),
		events: count("events"), calls: count("calls"), failures: count("call_failures")}
	// Set by Run and not asked for by a function: a session of the same name may follow this one, after a reload.
	gauge := func(what string) *metrics.Gauge {
		return cfg.Metrics.GetOrCreateGauge(fmt.Sprintf("rollcall_zk_%s{session=%s}", what, promtext.Quote(cfg.Name)), nil)
	}
	s.m.received, s.m.connected, s.m.silence = count("received_bytes"), gauge("connected"), gauge("silence_seconds")
	return s, nil
}

// Status is where the session stands now.
func (s *Session) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	if s.link != nil {
		st.LastHeard = s.link.lastHeard()
	}
	return st
}

// Changed returns the status and a channel that is closed when it is no longer current. LastHeard alone is no change. A follower that loops over it can miss
// moves in between, never where the session stands.
func (s *Session) Changed() (Status, <-chan struct{}) {
	s.mu.Lock()
	ch := s.changed
	s.mu.Unlock()
	return s.Status(), ch
}

// Detach makes the end of Run leave the session to its timeout instead of closing it: its ephemerals stay until then, for a successor to replace.
func (s *Session) Detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detach = true
}

// Reconnect drops the connection; the session goes on over the next one.
func (s *Session) Reconnect() {
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l != nil {
		l.Close()
	}
}

func (s *Session) set(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setLocked(f)
}

func (s *Session) setLocked(f func(*Status)) {
	was := s.status
	f(&s.status)
	if s.status != was {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// Run holds the session until ctx ends, then closes it, so that its ephemerals go at once (see Detach). It returns nil.
func (s *Session) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		s.mu.Lock()
		s.running = nil
		s.mu.Unlock()
		s.tasks.Wait()
	}()
	s.mu.Lock()
	s.running = ctx
	s.mu.Unlock()
	s.tasks.Go(func() { s.leaveReadOnly(ctx) })
	s.tasks.Go(func() { s.returnHome(ctx) })
	for ctx.Err() == nil {
		c, err := s.open(ctx)
		if err != nil {
			return fmt.Errorf("open zookeeper session %q: %w", s.cfg.Name, err)
		}
		why := s.tend(ctx, c)
		s.shut(c, why)
	}
	return nil
}

func (s *Session) open(ctx context.Context) (*client, error) {
	s.mu.Lock()
	c := &client{hosts: newHosts(s.cfg.Prefer, s.cfg.Servers, s.learned), made: make(chan struct{})}
	s.mu.Unlock()
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	s.mu.Lock()
	s.client, s.refused, s.rootOnly = c, 0, false
	s.zxid.Store(0) // it may be the transaction of an ensemble that is no more
	s.mu.Unlock()
	s.m.clients.Inc()
	conn, events, err := gozk.Connect(s.cfg.Servers, s.cfg.SessionTimeout,
		gozk.WithHostProvider(c.hosts), gozk.WithDialer(func(string, string, time.Duration) (net.Conn, error) { return s.connect(c) }),
		gozk.WithLogger(libraryLog{s.cfg.Log}), gozk.WithLogInfo(false),
		gozk.WithEventCallback(func(e gozk.Event) { s.take(c, e) }),
		gozk.WithMaxBufferSize(s.cfg.MaxPacket), gozk.WithMaxConnBufferSize(s.cfg.MaxRequest))
	if err != nil {
		c.cancel(err)
		return nil, err
	}
	c.conn, c.events = conn, events
	close(c.made)
	return c, nil
}

// tend returns when the client is of no more use: ctx is done, someone asked for a new one, or there was no connection for so long that the session is gone
// in any case. The library would go on for ever, and in vain where an ensemble was rebuilt, for it insists on the last transaction that it saw.
func (s *Session) tend(ctx context.Context, c *client) error {
	tick := time.NewTicker(max(50*time.Millisecond, min(time.Second, s.cfg.SessionTimeout/20)))
	defer tick.Stop()
	last, before, told := time.Now(), s.Status().Epoch, false
	for {
		select {
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		case <-tick.C:
		}
		st := s.Status()
		s.measure(st)
		timeout := st.Timeout
		if timeout <= 0 {
			timeout = s.cfg.SessionTimeout
		}
		switch {
		case st.Connected:
			last, told = time.Now(), false
		case s.rebuilt(c.ctx, c):
			s.cfg.Log.Warn("the ZooKeeper ensemble was made anew: its servers have not seen what this session has; beginning a new one", "session", s.cfg.Name)
			return errRenew
		case time.Since(last) <= timeout*4/3:
		case st.Epoch != before:
			s.cfg.Log.Warn("no ZooKeeper server took the session back in 4/3 of its timeout; beginning a new one", "session", s.cfg.Name, "timeout", timeout, "err", st.Err)
			s.back.sessionGone()
			return errRenew
		case !told: // this client has no session to give up, and another would begin the wait between two attempts anew, and perhaps never get to make one
			told = true
			s.cfg.Log.Warn("no ZooKeeper server answers; trying on", "session", s.cfg.Name, "for", time.Since(last).Round(time.Second), "err", st.Err)
		}
	}
}

func (s *Session) measure(st Status) {
	connected, silence := 0.0, 0.0
	if st.Connected {
		connected = 1
	}
	if !st.LastHeard.IsZero() {
		silence = time.Since(st.LastHeard).Seconds()
	}
	s.m.connected.Set(connected)
	s.m.silence.Set(silence)
}

// shut ends a client: politely, so that the session's ephemerals go, unless it is detached or was given up.
func (s *Session) shut(c *client, why error) {
	c.cancel(errClosed)
	c.hosts.stop()
	s.mu.Lock()
	l, rude := s.link, s.detach || errors.Is(why, errRenew) && s.link == nil
	s.mu.Unlock()
	if rude && l != nil {
		l.Close()
	}
	c.conn.Close()
	if l != nil {
		l.Close()
	}
	// The library closes the channel when its loops have ended.
	for late := time.After(5 * time.Second); ; {
		select {
		case _, ok := <-c.events:
			if ok {
				continue
			}
		case <-late:
		}
		break
	}
	s.mu.Lock()
	if s.client == c {
		s.client = nil
	}
	s.mu.Unlock()
}
