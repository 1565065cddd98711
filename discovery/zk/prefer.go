package zk

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"
)

// learn reads the ensemble's own configuration after each connect, and when it changes; the servers in it are tried as well from then on.
func (s *Session) learn(ctx context.Context) {
	data, _, err := s.getWatch(ctx, s.ensemble)
	if err == nil {
		var peers []Peer
		peers, err = ParseEnsemble(data)
		s.adopt(peers)
	}
	if err != nil && !errors.Is(err, ErrNoNode) && ctx.Err() == nil {
		s.cfg.Log.Info("cannot read the whole configuration of the ensemble; going by the servers as configured", "session", s.cfg.Name, "path", s.ensemble, "err", err)
	}
}

// adopt takes the servers of the ensemble's configuration beside those of ours.
func (s *Session) adopt(peers []Peer) {
	var found []server
	for _, p := range peers {
		addr := p.Client
		if s.cfg.TLS != nil {
			addr = p.Secure
		}
		if addr == "" {
			continue
		}
		sv := server{name: addr, tier: tierLearned}
		if p.Observer && s.cfg.PreferObservers {
			sv.tier = tierPreferred
		}
		found = append(found, sv)
	}
	if len(found) == 0 {
		return // it says nothing of use; what was known stays
	}
	s.mu.Lock()
	s.learned = found
	c := s.client
	s.mu.Unlock()
	if c != nil {
		c.hosts.setLearned(found)
	}
	select {
	case s.adopted <- struct{}{}:
	default:
	}
}

// Times of the way back to a preferred server.
const (
	returnAfter   = 30 * time.Second // at least so long on another
	returnAtMost  = 30 * time.Minute // where the preferred ones come and go
	returnSettled = 10 * time.Minute // a connection that held so long makes up for what was before
)

// returnHome looks for a preferred server while the session is on another, and goes there once one has answered twice in a row, half a wait apart. A server that is
// lost again soon makes the next wait twice as long, so that a flapping one is not followed.
func (s *Session) returnHome(ctx context.Context) {
	wait, answered := s.homeAfter, ""
	var since time.Time
	for {
		st, changed := s.Changed()
		s.mu.Lock()
		c, l := s.client, s.link
		s.mu.Unlock()
		if l == nil || c == nil || l.name.tier == tierPreferred || !c.hosts.prefers() {
			answered = ""
			select {
			case <-ctx.Done():
				return
			case <-changed:
			case <-s.adopted:
			}
			continue
		}
		if !since.IsZero() && st.Since.Sub(since) > returnSettled {
			wait = s.homeAfter
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			continue
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		}
		home, ok := s.serving(ctx, c.hosts.preferred())
		switch {
		case !ok:
			answered = ""
		case answered != home.addr:
			answered = home.addr
		default:
			answered = ""
			s.cfg.Log.Info("a preferred ZooKeeper server serves again; going back to it", "session", s.cfg.Name, "server", home.name, "from", l.name.name)
			since = time.Now()
			wait = min(returnAtMost, wait*2)
			c.hosts.setPrefer(home.addr)
			s.back.hurry()
			l.Close()
		}
	}
}

// serving is the first of some servers, in any order, that says it serves.
func (s *Session) serving(ctx context.Context, all []endpoint) (endpoint, bool) {
	for _, i := range rand.Perm(len(all)) {
		if said, err := ask(ctx, s.dial, all[i], "srvr"); err == nil && strings.Contains(said, "\nMode: ") && !strings.Contains(said, "\nMode: read-only") {
			return all[i], true
		}
	}
	return endpoint{}, false
}
