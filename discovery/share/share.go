// Package share divides the scraping of a fleet among the collectors of a group, without a coordinator.
//
// It owns the membership of the group (one ephemeral znode a collector), the Division that every member makes of it by rendezvous, and the orders that operators
// give to all of them. Whoever sees the same members comes to the same division; a term, the largest transaction of the membership, says whose view is newer, and
// the fence that makes two views harmless is at the readers of the records. It knows nothing of how a target is scraped.
package share

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// Config shapes a Membership. Self.ID is needed; without a Session the collector is alone.
type Config struct {
	// Session is the owning one: global, never read-only, for its ephemeral is what the others go by. Run holds it. nil: there is no group, and orders
	// bind this collector only.
	Session *zk.Session
	Root    string // default /rollcall
	Group   string // default "default"
	// Timeout is the session's, as asked for: it bounds how long a view that cannot be proven is believed. Default 16 s. What the server grants wins.
	Timeout time.Duration

	Self Collector // Weight is FullWeight unless given; Jobs may change: Announce
	Dir  string    // for share.json and audit.ndjson; "": nothing is kept

	// Begin is in force until Run has found the members: that of the Membership whose place this one takes. nil: there was none, and nothing is Mine until then.
	Begin *Membership

	// Ready says that the collector knows whom to scrape. It joins only then, for the others stop scraping what is its share as soon as they see it;
	// but after JoinWithin (default 1 min) in any case. nil: it knows.
	Ready      func() bool
	JoinWithin time.Duration
	// Ask asks another collector for its division; nil: nobody is asked. NewAsker makes one.
	Ask func(context.Context, Collector) (*Division, error)
	// OnChange is told of each Division that gives somebody something else, and OnOrders of all orders in force: once, as soon as it is known which, and when they have changed. Calls do not
	// overlap. When OnChange returns, the collector must act on the Division: only then is it said to be Fresh.
	OnChange func(*Division)
	OnOrders func([]discovery.Order)
	// Load is how busy the collector is, 0..1; its weight follows in steps. nil: it is never too busy.
	Load func() float64

	Log     *slog.Logger
	Metrics *metrics.Set
}

func (c Config) withDefaults() Config {
	c.Root, c.Group = cmp.Or(c.Root, "/rollcall"), cmp.Or(c.Group, "default")
	c.Timeout, c.JoinWithin = cmp.Or(c.Timeout, 16*time.Second), cmp.Or(c.JoinWithin, time.Minute)
	c.Self.Weight = cmp.Or(c.Self.Weight, FullWeight)
	c.Self.Jobs = maps.Clone(c.Self.Jobs)
	if c.Self.Started.IsZero() {
		c.Self.Started = time.Now()
	}
	if c.Ready == nil {
		c.Ready = func() bool { return true }
	}
	if c.OnChange == nil {
		c.OnChange = func(*Division) {}
	}
	if c.OnOrders == nil {
		c.OnOrders = func([]discovery.Order) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
	return c
}

func (c *Config) validate() error {
	var errs []error
	if !cleanName(c.Self.ID) || len(c.Self.ID) > maxIdentity {
		errs = append(errs, fmt.Errorf("id %.80q of the collector: 1 to %d letters, digits, _ . or -", c.Self.ID, maxIdentity))
	}
	if !cleanName(c.Group) {
		errs = append(errs, fmt.Errorf("group %.80q: use letters, digits, _ . or -", c.Group))
	}
	if !strings.HasPrefix(c.Root, "/") || path.Clean(c.Root) != c.Root {
		errs = append(errs, fmt.Errorf("root %.80q is not a clean absolute path", c.Root))
	}
	if c.Self.Weight < 1 || c.Self.Weight > FullWeight {
		errs = append(errs, fmt.Errorf("weight %d is not within 1..%d", c.Self.Weight, FullWeight))
	}
	if c.Timeout < time.Second {
		errs = append(errs, fmt.Errorf("timeout %v is less than a second", c.Timeout))
	}
	if c.Self.Addr != "" {
		if _, _, err := discovery.SplitAddr(c.Self.Addr); err != nil {
			errs = append(errs, fmt.Errorf("address: %w", err))
		}
	}
	return errors.Join(errs...)
}

// cleanName accepts what may become a znode's name.
func cleanName(s string) bool {
	ok := s != "" && s != "." && s != ".." && len(s) <= 200
	for i := range len(s) {
		c := s[i]
		ok = ok && ('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.')
	}
	return ok
}

// Membership holds a collector's place in its group. It is safe for concurrent use.
type Membership struct {
	cfg Config
	log *slog.Logger
	m   ownMetrics

	div    atomic.Pointer[Division]  // nil: not known yet
	proven atomic.Pointer[time.Time] // when the newest proof began that the division is right: nobody else can have taken our share a timeout after it

	mu      sync.Mutex
	self    Collector
	floor   Term     // of the disk, and of all that was seen since
	known   Division // of the disk: whom to ask while nothing is known
	joined  time.Time
	trouble string // why the znodes cannot be read or written; "": they can
	orders  map[string]placed
	local   map[string]placed
	junk    map[string]unreadable      // what stands among the group's orders and is none
	unread  int                        // how many more there are than are read
	ended   map[string]discovery.Order // withdrawn while nobody could say whether the group has them
	obeyed  []placed
	told    bool          // OnOrders has been told once what is in force
	dirty   chan struct{} // has a value when our znode is to be written or the membership to be read again

	asked  time.Time        // watch's
	ghosts ghosts           // follow's
	passed map[string]int64 // follow's: members that were complained about, and the transaction that made them so

	tell  sync.Mutex // held over OnChange and OnOrders
	audit audit
}

// New checks the configuration. The membership begins with Run.
func New(cfg Config) (*Membership, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure group %q: %w", cfg.Group, err)
	}
	m := &Membership{cfg: cfg, log: cfg.Log.With("group", cfg.Group), self: cfg.Self, passed: map[string]int64{}, orders: map[string]placed{}, local: map[string]placed{}, ended: map[string]discovery.Order{}, dirty: make(chan struct{}, 1)}
	m.audit = audit{dir: cfg.Dir, collector: cfg.Self.ID, log: m.log}
	m.m.register(m)
	if cfg.Begin != nil {
		cfg.Begin.mu.Lock()
		maps.Copy(m.local, cfg.Begin.local) // they bind this collector, whatever its group
		cfg.Begin.mu.Unlock()
		m.obeyed = m.inForce(time.Now())
	}
	if cfg.Session == nil {
		m.div.Store(NewDivision(cfg.Self.ID, cfg.Self.Jobs, []Collector{cfg.Self}, 0, Alone, time.Now()))
	} else if cfg.Begin != nil {
		m.begin(cfg.Begin)
	}
	return m, nil
}

// begin takes over what another Membership knows.
func (m *Membership) begin(from *Membership) {
	old := from.div.Load()
	if old == nil || len(old.Members) == 0 {
		return
	}
	from.mu.Lock()
	m.floor = from.floor
	if m.cfg.Group == from.cfg.Group && m.cfg.Root == from.cfg.Root {
		maps.Copy(m.orders, from.orders)
		m.obeyed = m.inForce(time.Now())
	}
	from.mu.Unlock()
	// Our own entry is as it was: the others go by that until they have seen the new one.
	d := NewDivision(m.cfg.Self.ID, m.cfg.Self.Jobs, old.Members, max(old.Term, m.floor), old.From, old.AsOf)
	m.div.Store(d)
	p := from.proven.Load()
	if p == nil || from.cfg.Session == nil {
		now := time.Now()
		p = &now
	}
	m.proven.Store(p)
	m.known = Division{Members: d.Members, Term: d.Term}
}

// Joined reports whether the collector has its place in the group, or needs none.
func (m *Membership) Joined() bool { return m.cfg.Session == nil || m.isJoined() }

// Division is the one in force; nil while nothing is known of the others yet.
func (m *Membership) Division() *Division { return m.div.Load() }

// Mine reports whether this collector scrapes an instance of a job now. While nothing is known of the others it scrapes nothing: that is a moment at its start.
func (m *Membership) Mine(job string, k discovery.Key) bool {
	d := m.div.Load()
	return d != nil && d.Mine(job, k)
}

// Publishes reports whether this collector publishes the roster of a service now.
func (m *Membership) Publishes(job, service, env string) bool {
	d := m.div.Load()
	return d != nil && d.Publishes(job, service, env)
}

// Term is the term of the division in force; 0 where there is no group.
func (m *Membership) Term() uint64 {
	if d := m.div.Load(); d != nil {
		return uint64(d.Term)
	}
	return 0
}

// Fresh reports whether the division can be acted on at now, a reading of the running clock: it was proven less than a session timeout ago, by ZooKeeper or, while it
// is silent, by asking the peers. A collector that was paused for longer finds it not fresh, and waits the moment until it knows who took its share. Nobody who
// goes on running ever waits. It costs two loads.
func (m *Membership) Fresh(now time.Time) bool {
	if m.cfg.Session == nil {
		return true
	}
	p := m.proven.Load()
	if p == nil {
		return m.div.Load() == nil
	}
	// By both clocks: one of them may have stood still while the machine slept.
	limit := m.timeout()
	return now.Sub(*p) < limit && now.Round(0).Sub(p.Round(0)) < limit
}

// timeout is how long our ephemeral outlives us.
func (m *Membership) timeout() time.Duration {
	if m.cfg.Session != nil {
		if t := m.cfg.Session.Status().Timeout; t > 0 {
			return t
		}
	}
	return m.cfg.Timeout
}

// Announce gives the digests of the collector's jobs, as they are from now on.
func (m *Membership) Announce(jobs map[string]string) {
	m.mu.Lock()
	same := maps.Equal(m.self.Jobs, jobs)
	m.self.Jobs = maps.Clone(jobs)
	m.mu.Unlock()
	if !same {
		m.touch()
	}
}

func (m *Membership) touch() {
	select {
	case m.dirty <- struct{}{}:
	default:
	}
}

// Status is what a membership says of itself, for its API.
type Status struct {
	*Division
	Group     string              `json:"group"`
	Fresh     bool                `json:"fresh"`
	Proven    time.Time           `json:"proven,omitzero"`
	Trouble   string              `json:"trouble,omitempty"`
	Orders    string              `json:"orders_trouble,omitempty"` // what stands among the orders and is not obeyed
	Alone     []string            `json:"alone,omitempty"`          // jobs that no other member has as we do, though there are others
	Differing map[string][]string `json:"differing,omitempty"`      // jobs that others have in another form, with their ids
}

// Status is where the membership stands now; Division is nil while nothing is known.
func (m *Membership) Status() Status {
	s := Status{Division: m.div.Load(), Group: m.cfg.Group, Fresh: m.Fresh(time.Now())}
	if p := m.proven.Load(); p != nil {
		s.Proven = *p
	}
	m.mu.Lock()
	s.Trouble = m.trouble
	s.Orders = m.orderTrouble()
	m.mu.Unlock()
	if d := s.Division; d != nil && len(d.Members) > 1 {
		s.Differing = d.Differing()
		for job := range d.own {
			if d.Alone(job) {
				s.Alone = append(s.Alone, job)
			}
		}
		slices.Sort(s.Alone)
	}
	return s
}

// set puts a division in force. The term never falls. It is proven only after OnChange has returned: until then nobody acts on the one before.
func (m *Membership) set(from *Division) {
	m.tell.Lock()
	defer m.tell.Unlock()
	d := new(Division)
	*d = *from // it may be in force already, and read
	old := m.div.Load()
	m.mu.Lock()
	d.Term = max(d.Term, m.floor)
	grew := d.Term > m.floor
	m.floor = d.Term
	m.mu.Unlock()
	if d.From == Alone {
		d.Term = 0
	}
	if old != nil && old.From == d.From && old.Term == d.Term && slices.EqualFunc(old.Members, d.Members, func(a, b Collector) bool { return sameMember(&a, &b) }) {
		return
	}
	m.div.Store(d)
	if old != nil && old.Same(d) && old.From == d.From {
		if grew {
			m.save()
		}
		return
	}
	defer m.save() // after those who act on it: a disk takes its time
	m.m.changes.Inc()
	m.log.Info("who scrapes what has changed", "members", len(d.Members), "term", d.Term.String(), "from", d.From)
	for _, job := range slices.Sorted(maps.Keys(d.Differing())) {
		m.log.Warn("other collectors of the group have the job in another form, or other files; both sides scrape all they see of it", "job", job, "collectors", d.Differing()[job])
	}
	m.cfg.OnChange(d)
}

// prove notes that what is in force was found right by something that began at t.
func (m *Membership) prove(t time.Time) {
	for {
		p := m.proven.Load()
		if p != nil && !t.After(*p) || m.proven.CompareAndSwap(p, &t) {
			return
		}
	}
}

type ownMetrics struct {
	changes, joins, proofs, failures, asks, unreadable *metrics.Counter
}

func (o *ownMetrics) register(m *Membership) {
	set := m.cfg.Metrics
	o.changes = set.GetOrCreateCounter("rollcall_share_divisions_total")
	o.joins = set.GetOrCreateCounter("rollcall_share_joins_total")
	o.proofs = set.GetOrCreateCounter("rollcall_share_proofs_total")
	o.failures = set.GetOrCreateCounter("rollcall_share_failures_total")
	o.asks = set.GetOrCreateCounter("rollcall_share_peer_questions_total")
	o.unreadable = set.GetOrCreateCounter("rollcall_share_unreadable_znodes_total")
	set.GetOrCreateGauge("rollcall_share_members", func() float64 {
		if d := m.div.Load(); d != nil {
			return float64(len(d.Members))
		}
		return 0
	})
	set.GetOrCreateGauge("rollcall_share_weight", func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return float64(m.self.Weight)
	})
	set.GetOrCreateGauge("rollcall_share_proof_age_seconds", func() float64 {
		if p := m.proven.Load(); p != nil {
			return time.Since(*p).Seconds()
		}
		return 0
	})
	set.GetOrCreateGauge("rollcall_share_fresh", func() float64 {
		if m.Fresh(time.Now()) {
			return 1
		}
		return 0
	})
}
