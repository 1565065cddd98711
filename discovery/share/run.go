package share

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// settle is how long changes of the membership are gathered: a rolling restart is many, and each is to be seen at once.
const settle = 20 * time.Millisecond

// Run holds the place in the group until ctx ends, and then gives it up at once. It returns nil, or why the session could not be held.
func (m *Membership) Run(ctx context.Context) error {
	m.load()
	if m.cfg.Session == nil {
		m.runAlone(ctx)
		return nil
	}
	held, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var err error
	wg.Go(func() {
		defer end()
		err = m.cfg.Session.Run(held)
	})
	wg.Go(func() { m.follow(held) })
	wg.Go(func() { m.watch(held) })
	wg.Wait()
	return err
}

func (m *Membership) runAlone(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		m.mu.Lock()
		self := m.self
		m.mu.Unlock()
		m.set(NewDivision(self.ID, self.Jobs, []Collector{self}, 0, Alone, time.Now()))
		m.obey(nil, false)
		select {
		case <-ctx.Done():
			return
		case <-m.dirty:
		case <-tick.C:
		}
	}
}

func (m *Membership) dir() string { return m.cfg.Root + "/" + m.cfg.Group }

func (m *Membership) own() string { return m.dir() + "/members/" + m.cfg.Self.ID }

// patience bounds one call: much less than the session lasts.
func (m *Membership) patience() time.Duration {
	return min(max(m.timeout()/3, 500*time.Millisecond), 10*time.Second)
}

// follow keeps our znode and reads the others'.
func (m *Membership) follow(ctx context.Context) {
	f := m.cfg.Session.Follow(m.dir())
	defer f.Unfollow()
	began := time.Now()
	look := time.NewTimer(0)
	defer look.Stop()
	proof := time.NewTimer(m.timeout() / 4)
	defer proof.Stop()
	live, made := false, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.Ready():
			now, changed := f.Take()
			if live = now; changed {
				look.Reset(settle)
			}
			continue
		case <-m.dirty:
			look.Reset(settle)
			continue
		case <-proof.C:
			proof.Reset(m.timeout() / 4)
			if live && m.div.Load() != nil && !m.proveOwn(ctx) {
				look.Reset(0)
			}
			m.sweep(ctx, live)
			continue
		case <-look.C:
		}
		if !live {
			continue // told when it is
		}
		err := m.look(ctx, f, &made, time.Since(began) >= m.cfg.JoinWithin)
		m.note(err)
		switch wait := time.Until(m.ghosts.until); {
		case err == nil && wait > 0:
			look.Reset(wait)
		case errors.Is(err, errWaiting):
			look.Reset(100 * time.Millisecond)
		case err != nil && ctx.Err() == nil:
			m.m.failures.Inc()
			look.Reset(500*time.Millisecond + rand.N(time.Second))
		}
	}
}

// errWaiting: the collector does not know yet whom to scrape.
var errWaiting = errors.New("waiting for the roster before joining")

// look brings our znode up to date and reads the group's. made: its folders are there.
func (m *Membership) look(ctx context.Context, f *zk.Follower, made *bool, late bool) error {
	s := m.cfg.Session
	call := func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, m.patience()) }
	if !*made {
		for _, p := range []string{"/members", "/orders"} {
			c, cancel := call()
			err := s.MakePath(c, m.dir()+p)
			cancel()
			if err != nil {
				return err
			}
		}
		*made = true
	}
	began := time.Now()
	session := s.Status().SessionID
	var waiting error
	if m.isJoined() || late || m.cfg.Ready() {
		c, cancel := call()
		err := m.join(c, session)
		cancel()
		if err != nil {
			*made = *made && !errors.Is(err, zk.ErrNoNode)
			return err
		}
	} else {
		waiting = errWaiting
	}
	c, cancel := call()
	defer cancel()
	members, term, owner, err := m.members(c, f)
	if err != nil {
		*made = *made && !errors.Is(err, zk.ErrNoNode)
		return err
	}
	if waiting == nil && owner != session {
		return fmt.Errorf("read members: %s is not there, or another session's", m.own())
	}
	m.mu.Lock()
	jobs := m.self.Jobs
	m.mu.Unlock()
	m.set(NewDivision(m.cfg.Self.ID, jobs, m.ghosts.with(members, m.div.Load(), session, began, m.timeout()), term, FromZooKeeper, began))
	m.prove(began)
	orders, err := m.readOrders(c, f)
	if err != nil {
		return err
	}
	m.obey(orders, true)
	return waiting
}

func (m *Membership) isJoined() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.joined.IsZero()
}

// note keeps what is wrong for the status, and logs it when it is something else than before.
func (m *Membership) note(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	m.mu.Lock()
	was := m.trouble
	m.trouble = text
	m.mu.Unlock()
	if text != "" && text != was && !errors.Is(err, errWaiting) && !errors.Is(err, context.Canceled) {
		m.log.Warn("the group's znodes cannot be kept; trying again", "err", err)
	}
}

// join sees that our znode is there, ours, and says what is so.
func (m *Membership) join(ctx context.Context, session int64) error {
	m.mu.Lock()
	self := m.self
	self.Floor = m.floor
	first := m.joined.IsZero()
	m.mu.Unlock()
	s, own := m.cfg.Session, m.own()
	data, err := json.Marshal(self)
	if err != nil {
		return fmt.Errorf("write member: %w", err)
	}
	old, st, err := s.Get(ctx, own)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		_, err = s.Create(ctx, own, data, zk.Ephemeral)
	case err != nil:
	case st.EphemeralOwner == session:
		was, bad := DecodeCollector(self.ID, old)
		if bad == nil && sameMember(&was, &self) {
			return nil
		}
		_, err = s.Set(ctx, own, data, st.Version)
	default:
		// It outlived our last session or our last run, whose it is; or somebody has copied our storage and runs under our name.
		if was, bad := DecodeCollector(self.ID, old); bad == nil && st.EphemeralOwner != 0 && was.Started.After(self.Started) {
			return fmt.Errorf("join: another collector runs as %s at %s, and began later; each needs a storage path of its own", self.ID, was.Addr)
		}
		_, err = s.Multi(ctx, zk.DeleteOp(own, st.Version), zk.CreateOp(own, data, zk.Ephemeral))
	}
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	m.m.joins.Inc()
	m.mu.Lock()
	if m.joined.IsZero() {
		m.joined = time.Now()
	}
	m.mu.Unlock()
	if first {
		m.log.Info("joined", "as", own, "jobs", len(self.Jobs), "weight", self.Weight)
	}
	return nil
}

// members reads who is in the group. term is the largest transaction of the membership, owner the session that our own znode belongs to, 0 without one.
func (m *Membership) members(ctx context.Context, f *zk.Follower) (out []Collector, term Term, owner int64, err error) {
	folder := m.dir() + "/members"
	if len(m.passed) > 2*maxMembers {
		clear(m.passed)
	}
	names, st, err := f.Children(ctx, folder)
	if err != nil {
		return nil, 0, 0, err
	}
	if len(names) > maxMembers {
		m.log.Error("more members than a group may have; those who are not known yet are passed over", "members", len(names), "limit", maxMembers)
		names = m.knownFirst(names)[:maxMembers]
	}
	m.mu.Lock()
	floor := m.floor
	m.mu.Unlock()
	term = max(Term(st.Pzxid), floor)
	for _, name := range names {
		data, st, ok, err := f.Get(ctx, folder+"/"+name)
		if err != nil {
			return nil, 0, 0, err
		}
		if !ok {
			continue // gone meanwhile, and told of
		}
		c, err := DecodeCollector(name, data)
		if err == nil && st.EphemeralOwner == 0 {
			err = fmt.Errorf("read member %q: it is not ephemeral, so nobody is behind it", name)
		}
		if err != nil {
			m.m.unreadable.Inc()
			if m.passed[name] != st.Mzxid { // said once
				m.passed[name] = st.Mzxid
				m.log.Warn("a member is passed over", "err", err)
			}
			continue
		}
		if name == m.cfg.Self.ID {
			owner = st.EphemeralOwner
		}
		term = max(term, Term(st.Czxid), Term(st.Mzxid))
		out = append(out, c)
	}
	seen := term
	for _, c := range out {
		if c.Floor > seen+maxStep {
			m.log.Warn("a member claims a term that is far beyond all that was seen; it is passed over", "member", c.ID, "term", c.Floor.String(), "seen", seen.String())
			continue
		}
		term = max(term, c.Floor)
	}
	return out, term, owner, nil
}

// knownFirst puts ourselves and those who share already before all others: whoever fills the folder with rubbish keeps newcomers out, and nobody else.
func (m *Membership) knownFirst(names []string) []string {
	rank := func(name string) int {
		if name == m.cfg.Self.ID {
			return 0
		}
		if d := m.div.Load(); d != nil {
			if _, known := d.Member(name); known {
				return 1
			}
		}
		return 2
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) })
	return names
}

// proveOwn asks whether our znode is there and ours: then nobody has taken our share, nor will for a session timeout.
func (m *Membership) proveOwn(ctx context.Context) bool {
	if !m.isJoined() {
		return true
	}
	c, cancel := context.WithTimeout(ctx, m.patience())
	defer cancel()
	began := time.Now()
	there, st, err := m.cfg.Session.Exists(c, m.own())
	if err != nil {
		return true // the session finds out what that means
	}
	if !there || st.EphemeralOwner != m.cfg.Session.Status().SessionID {
		return false
	}
	m.m.proofs.Inc()
	m.prove(began)
	return true
}

// watch asks the peers while ZooKeeper is silent, and follows the load.
func (m *Membership) watch(ctx context.Context) {
	began := time.Now()
	steps := &steps{last: began}
	for {
		t := time.NewTimer(min(max(m.timeout()/16, 20*time.Millisecond), time.Second))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		now := time.Now()
		silent := began
		if p := m.proven.Load(); p != nil {
			silent = *p
		}
		limit := m.timeout()
		age := max(now.Sub(silent), now.Round(0).Sub(silent.Round(0)))
		if age > limit/2 && now.Sub(m.asked) >= limit/8 {
			m.asked = now
			m.askPeers(ctx, now)
		}
		if m.cfg.Load != nil {
			m.weigh(steps, now)
		}
	}
}

// weigh lets the weight follow the load.
func (m *Membership) weigh(s *steps, now time.Time) {
	m.mu.Lock()
	was := m.self.Weight
	m.mu.Unlock()
	w := s.next(was, m.cfg.Load, now)
	if w == was {
		return
	}
	m.mu.Lock()
	m.self.Weight = w
	m.mu.Unlock()
	m.log.Info("the weight follows the load", "weight", w, "was", was, "of", FullWeight, "load", s.mean)
	m.touch()
}

// askPeers looks for a newer division while ZooKeeper cannot be asked. Where there is one, what it gives to others is theirs; where nobody knows better, we go on.
func (m *Membership) askPeers(ctx context.Context, now time.Time) {
	d := m.div.Load()
	if d == nil {
		m.mu.Lock()
		known, jobs := m.known, m.self.Jobs
		m.mu.Unlock()
		d = NewDivision(m.cfg.Self.ID, jobs, known.Members, known.Term, FromDisk, now)
	}
	if best := m.ask(ctx, d); best != nil {
		m.mu.Lock()
		jobs := m.self.Jobs
		m.mu.Unlock()
		d = NewDivision(m.cfg.Self.ID, jobs, best.Members, best.Term, FromPeers, now)
	} else if len(d.Members) == 0 { // we have never seen anybody
		m.mu.Lock()
		self := m.self
		m.mu.Unlock()
		d = NewDivision(self.ID, self.Jobs, []Collector{self}, d.Term, FromDisk, now)
	}
	if ctx.Err() != nil {
		return
	}
	// While we asked, ZooKeeper may have told: its word is newer.
	if p := m.proven.Load(); p == nil || p.Before(now) {
		m.set(d)
		m.prove(now)
	}
}

// maxAsked is how many peers are asked at once: one that knows better is enough.
const maxAsked = 16

// ask is the newest division of the peers', or nil where none is newer than ours.
func (m *Membership) ask(ctx context.Context, d *Division) (best *Division) {
	peers := slices.DeleteFunc(d.Peers(), func(c Collector) bool { return c.Addr == "" })
	if m.cfg.Ask == nil || len(peers) == 0 {
		return nil
	}
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	c, cancel := context.WithTimeout(ctx, min(max(m.timeout()/8, 250*time.Millisecond), 2*time.Second))
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, p := range peers[:min(len(peers), maxAsked)] {
		wg.Go(func() {
			m.m.asks.Inc()
			theirs, err := m.cfg.Ask(c, p)
			if err != nil {
				m.log.Debug("a peer does not tell its division", "peer", p.ID, "address", p.Addr, "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if theirs.From != Alone && theirs.Term > d.Term && (d.Term == 0 || theirs.Term <= d.Term+maxStep) && (best == nil || theirs.Term > best.Term) {
				best = theirs
			}
		})
	}
	wg.Wait()
	return best
}
