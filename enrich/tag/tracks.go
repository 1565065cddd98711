package tag

import (
	"cmp"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// Tracks infers who is a canary where nobody says so: of each service and environment, the version that most instances run is production, and a minority version
// younger than 24 hours is the canary. It knows time only from what it is told.
//
// What was production once stays so while anybody runs it: over a rolling deploy each version changes at most once, from canary to production when it passes the
// half, and the old one, a minority at last, is never called a canary. Where the age of a minority is not known (it was there when we came, and its processes do not say
// since when they run) nothing is said.
type Tracks struct {
	young time.Duration

	mu     sync.Mutex
	groups map[group]*fleet
}

type group struct{ Service, Env string }

// endpoint is an instance within its group.
type endpoint struct {
	host string
	port uint16
}

// fleet is a service in an environment.
type fleet struct {
	since    time.Time // of the first instance; what comes within settle was there before us
	settled  bool
	saved    time.Time // the state was loaded; then it is of this time
	promoted int       // releases that are or were production
	releases map[string]*release
	members  map[endpoint]*member
	swept    time.Time
}

type member struct {
	of       *release
	seen     time.Time
	interval time.Duration
}

// release is a version that somebody runs or lately ran.
type release struct {
	n        int
	first    time.Time // when it came, at the latest
	exact    bool      // first is when it came; else it was there before us
	promoted bool
	left     time.Time // when the last one that ran it left
}

const (
	settleAtLeast = 10 * time.Second // or two intervals: by then everybody was seen once
	memberIdle    = 5 * time.Minute  // or five intervals: not seen for so long, it is gone
	releaseIdle   = 15 * time.Minute // a version that nobody runs is forgotten after it
	maxReleases   = 64               // a service; of more than that nothing is said
)

// NewTracks makes a Tracks in which a minority version is a canary until it is as old as young; 0 means 24 hours.
func NewTracks(young time.Duration) *Tracks {
	return &Tracks{young: cmp.Or(young, 24*time.Hour), groups: map[group]*fleet{}}
}

// Observe takes that the instance was scraped at now, each interval, and runs version; started is when its process began, zero if that is not known. It returns
// canary, production, or nothing.
func (t *Tracks) Observe(now time.Time, k discovery.Key, interval time.Duration, version string, started time.Time) string {
	if version == "" {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g := group{k.Service, k.Env}
	f := t.groups[g]
	if f == nil {
		f = &fleet{since: now, releases: map[string]*release{}, members: map[endpoint]*member{}, swept: now}
		t.groups[g] = f
	}
	if !f.settled && now.Sub(f.since) >= max(settleAtLeast, 2*interval) {
		f.settled = true
	}
	f.sweep(now, 10*time.Second)
	r := f.join(now, endpoint{k.Host, k.Port}, interval, version)
	if r == nil {
		return ""
	}
	// A process older than what we know shows that the version is.
	if !started.IsZero() && started.Before(r.first) {
		r.first, r.exact = started, true
	}
	if !f.settled {
		return ""
	}
	if !r.promoted && (now.Sub(r.first) >= t.young || 2*r.n > len(f.members)) {
		r.promoted = true
		f.promoted++
	}
	switch {
	case r.promoted:
		return "production"
	case r.exact && f.promoted > 0:
		return "canary"
	}
	return ""
}

// join counts the instance under its version.
func (f *fleet) join(now time.Time, at endpoint, interval time.Duration, version string) *release {
	m := f.members[at]
	if m == nil {
		m = &member{}
		f.members[at] = m
	}
	if now.After(m.seen) {
		m.seen = now
	}
	m.interval = interval
	r := f.releases[version]
	if r == nil && len(f.releases) < maxReleases {
		r = &release{first: now, exact: f.settled}
		if !f.settled && !f.saved.IsZero() {
			r.first, r.exact = f.saved, true // it came while we were away
		}
		f.releases[version] = r
	}
	if m.of != r {
		m.leave(now)
		m.of = r
		if r != nil {
			r.n++
		}
	}
	return r
}

func (m *member) leave(now time.Time) {
	if m.of != nil {
		if m.of.n--; m.of.n == 0 {
			m.of.left = now
		}
	}
	m.of = nil
}

// sweep forgets instances and versions that are gone, at most once in every.
func (f *fleet) sweep(now time.Time, every time.Duration) {
	if now.Sub(f.swept) < every {
		return
	}
	f.swept = now
	for at, m := range f.members {
		if now.Sub(m.seen) > max(memberIdle, 5*m.interval) {
			m.leave(now)
			delete(f.members, at)
		}
	}
	for v, r := range f.releases {
		if r.n == 0 && now.Sub(r.left) > releaseIdle {
			if r.promoted {
				f.promoted--
			}
			delete(f.releases, v)
		}
	}
}

// Forget takes that an instance left.
func (t *Tracks) Forget(k discovery.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.groups[group{k.Service, k.Env}]
	if f == nil {
		return
	}
	at := endpoint{k.Host, k.Port}
	if m := f.members[at]; m != nil {
		m.leave(m.seen)
		delete(f.members, at)
	}
}

// Sweep forgets services of which nobody is left.
func (t *Tracks) Sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for g, f := range t.groups {
		f.sweep(now, time.Minute)
		if len(f.members) == 0 && len(f.releases) == 0 {
			delete(t.groups, g)
		}
	}
}
