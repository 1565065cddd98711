package zk

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	gozk "github.com/go-zookeeper/zk"
)

// opened is told by a link that a server has answered. It runs in the library's reading goroutine and must not wait.
func (s *Session) opened(c *client, l *link, g greeting) {
	if g.session == 0 {
		s.m.expiries.Inc()
		s.mu.Lock()
		old := s.status.SessionID
		s.mu.Unlock()
		s.cfg.Log.Warn("the ZooKeeper session has expired; beginning a new one", "session", s.cfg.Name, "server", l.name.name, "id", idText(old))
		c.hosts.setPrefer(l.name.addr) // it is well; where sessions are local, every server but one says so
		s.back.hurry()
		return
	}
	s.m.connects.Inc()
	s.back.opened(time.Now())
	c.refusals.Store(0)
	if s.cfg.Digest != "" {
		err := l.auth(s.cfg.Digest, func(a answer) {
			if code := a.code; code != 0 && code != codeLost {
				s.cfg.Log.Error("ZooKeeper refuses the digest; check user and password", "session", s.cfg.Name, "server", l.name.name, "code", code)
				s.set(func(st *Status) {
					st.Err = fmt.Sprintf("%s refuses the digest (code %d); check user and password", l.name.name, code)
				})
			}
		})
		if err != nil {
			return // the connection is broken; the library is about to find out
		}
	}
	s.mu.Lock()
	s.link = l
	id := s.status.SessionID
	s.setLocked(func(st *Status) {
		*st = Status{Connected: true, ReadOnly: g.readOnly, SessionID: g.session, Timeout: g.timeout, Server: l.name.name, LastHeard: l.lastHeard(), Since: time.Now(), Epoch: st.Epoch + 1}
	})
	if feeds := slices.Clone(s.feeds); len(feeds) > 0 {
		s.taskLocked(func(ctx context.Context) { s.armFeeds(ctx, l, feeds) })
	}
	if s.cfg.Dynamic {
		s.taskLocked(s.learn)
	}
	s.mu.Unlock()
	level := slog.LevelInfo
	if g.readOnly {
		level = slog.LevelWarn
	}
	s.cfg.Log.Log(context.Background(), level, "connected to ZooKeeper", "session", s.cfg.Name, "server", l.name.name, "address", l.name.addr, "id", idText(g.session),
		"new", id != g.session, "timeout", g.timeout, "read_only", g.readOnly)
}

// taskLocked starts something that Run waits for; s.mu is held.
func (s *Session) taskLocked(f func(context.Context)) {
	if ctx := s.running; ctx != nil {
		s.tasks.Go(func() { f(ctx) })
	}
}

// idText is a session id as ZooKeeper's own logs print it.
func idText(id int64) string { return fmt.Sprintf("0x%x", uint64(id)) }

// lost is told by a link that it has closed.
func (s *Session) lost(c *client, l *link) {
	if !l.greeted.Load() {
		c.refusals.Add(1)
		s.set(func(st *Status) {
			if !st.Connected {
				st.Err = "zookeeper " + l.name.name + " closed the connection before it answered: it has no quorum, or refuses this client"
			}
		})
		return
	}
	s.mu.Lock()
	if s.link != l {
		s.mu.Unlock()
		return
	}
	s.link = nil
	s.back.lost(time.Now())
	s.setLocked(func(st *Status) {
		st.Connected, st.ReadOnly, st.Since, st.LastHeard = false, false, time.Now(), l.lastHeard()
		if st.Err == "" {
			st.Err = "the connection to zookeeper " + l.name.name + " was lost"
		}
	})
	feeds, ending := slices.Clone(s.feeds), s.running == nil || s.running.Err() != nil
	s.mu.Unlock()
	for _, f := range feeds {
		f.down()
	}
	if !ending {
		s.m.losses.Inc()
		s.cfg.Log.Warn("lost the connection to ZooKeeper", "session", s.cfg.Name, "server", l.name.name, "last_heard", l.lastHeard())
	}
}

// take gets every event that the library sees, in the order of the wire, from its reading goroutine: it never blocks.
func (s *Session) take(c *client, e gozk.Event) {
	if e.Type <= 0 {
		return // of the session: links tell that better, and sooner
	}
	s.m.events.Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != c {
		return
	}
	for _, f := range s.feeds {
		f.put(event{e.Type, e.Path})
	}
	if s.cfg.Dynamic && e.Path == s.ensemble {
		s.taskLocked(s.learn)
	}
}

// armFeeds sets the watches of a new connection: one persistent recursive watch a feed where the server can, else the followers set one-shot ones.
func (s *Session) armFeeds(ctx context.Context, l *link, feeds []*feed) {
	said, err := ask(ctx, s.dial, l.name, "srvr")
	v := parseVersion(said)
	if err != nil || v == (version{}) {
		s.cfg.Log.Info("the server does not tell its version (srvr); watching set by set", "session", s.cfg.Name, "server", l.name.name, "err", err)
	}
	s.set(func(st *Status) { st.Version = v.String() })
	s.mu.Lock()
	able := v.hasAddWatch() && s.refused < 2 && !s.rootOnly
	s.mu.Unlock()
	if !able {
		for _, f := range feeds {
			s.up(l, f, false)
		}
		return
	}
	answers := make(chan int32, len(feeds))
	for _, f := range feeds {
		err := l.addWatch(f.root, func(a answer) {
			if a.code != codeLost {
				s.up(l, f, a.code == 0) // here, so that no event comes before
			}
			answers <- a.code
		})
		if err != nil {
			return
		}
	}
	for range feeds {
		select {
		case code := <-answers:
			s.armed(l, code)
		case <-ctx.Done():
			return
		case <-time.After(s.cfg.CallTimeout):
			l.Close() // which is an answer, too
		}
	}
}

// armed notes the answer to addWatch. A server that ends the connection over it twice in a row is not asked again by this client.
func (s *Session) armed(l *link, code int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch code {
	case 0:
		s.refused = 0
	case codeLost:
		s.refused++
	default:
		s.cfg.Log.Info("the server refuses a recursive watch; watching set by set", "session", s.cfg.Name, "server", l.name.name, "code", code)
	}
}

// distrust is for a server whose recursive watches name only their root: the connection is made anew, and sets are watched one by one.
func (s *Session) distrust(l *link) {
	s.mu.Lock()
	known := s.rootOnly
	s.rootOnly = true
	s.mu.Unlock()
	if !known {
		s.cfg.Log.Warn("the server's recursive watches do not tell what happened below them; watching set by set", "session", s.cfg.Name, "server", l.name.name)
		s.back.hurry()
		l.Close()
	}
}

func (s *Session) up(l *link, f *feed, recursive bool) {
	s.mu.Lock()
	current, readOnly := s.link == l, s.status.ReadOnly
	s.mu.Unlock()
	if current {
		f.up(l, recursive, readOnly)
	}
}

// leaveReadOnly looks for a server with a quorum while the session is on one without, and goes there.
func (s *Session) leaveReadOnly(ctx context.Context) {
	for {
		st, changed := s.Changed()
		if !st.Connected || !st.ReadOnly {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			continue
		case <-time.After(time.Second + rand.N(2*time.Second)):
		}
		s.mu.Lock()
		c, l := s.client, s.link
		s.mu.Unlock()
		if c == nil || l == nil {
			continue
		}
		// All servers are asked, this one too: it may have found its quorum again and still hold us in the old state.
		for _, at := range append(c.hosts.others(l.name.addr), l.name) {
			if answer, err := ask(ctx, s.dial, at, "isro"); err == nil && strings.TrimSpace(answer) == "rw" {
				s.cfg.Log.Info("a ZooKeeper server with a quorum is back; leaving the read-only one", "session", s.cfg.Name, "server", at.name)
				c.hosts.setPrefer(at.addr)
				s.back.hurry()
				l.Close()
				break
			}
		}
	}
}

// libraryLog takes the client library's lines. What matters in them we say ourselves, in our words, so they are for debugging.
type libraryLog struct{ log *slog.Logger }

// Printf drops the complaints about answers that the library did not ask for: an answer to a call that was given up looks the same.
func (l libraryLog) Printf(format string, args ...any) {
	if strings.HasPrefix(format, "Response for unknown request") || strings.HasPrefix(format, "Xid < 0") {
		return
	}
	l.log.Debug("zookeeper client", "line", fmt.Sprintf(format, args...))
}
