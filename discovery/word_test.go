package discovery

import (
	"testing"
	"time"
)

// Two collectors hold the same members, and each scrapes one half of them: they come to the same verdict by telling each other.
func TestWords(t *testing.T) {
	now := t0
	var ms []Member
	for _, a := range []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80", "10.0.0.6:80"} {
		ms = append(ms, member(a))
	}
	half := func(odd bool) func(string, Key) bool {
		return func(_ string, k Key) bool { return (k.Host[len(k.Host)-1]%2 == 1) == odd }
	}
	a, b := NewRoster(RosterOptions{}), NewRoster(RosterOptions{})
	for _, r := range []*Roster{a, b} {
		r.Apply(set("s", "/p", ms...), now)
		if w := r.Words(half(true)); len(w) != 0 {
			t.Fatalf("nobody is held, and there are words: %v", w)
		}
		r.Apply(set("s", "/p"), now.Add(time.Second))
	}
	later := now.Add(5 * time.Second)
	for _, m := range ms {
		r := a
		if half(false)("", m.Key) {
			r = b
		}
		for range 3 {
			r.Heard(m.Key, m.Host != "10.0.0.2" && m.Host != "10.0.0.3", later)
		}
	}
	a.Take(b.Words(half(false)))
	b.Take(a.Words(half(true)))
	b.Take([]Word{{Key{"nobody", "prod", "10.9.9.9", 1}, -3}, {ms[0].Key, 0}})
	for name, r := range map[string]*Roster{"a": a, "b": b} {
		if g := r.Guards(); len(g) != 1 || g[0].Answering != 4 || g[0].Silent != 2 {
			t.Errorf("%s: %+v", name, g)
		}
		r.Tick(later.Add(time.Second))
		if got, want := states(r), "10.0.0.1:80=unconfirmed 10.0.0.2:80=departed 10.0.0.3:80=departed 10.0.0.4:80=unconfirmed 10.0.0.5:80=unconfirmed 10.0.0.6:80=unconfirmed"; got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Who was let go as dead by the collector that scrapes it is let go by the others, too, though they ask afterwards; one that is back since is not.
func TestLastWords(t *testing.T) {
	everybody := func(string, Key) bool { return true }
	a, b := newPlay(t, RosterOptions{}), newPlay(t, RosterOptions{})
	for _, p := range []*play{a, b} {
		p.size("/p", 6)
		p.wait(time.Second)
		p.size("/p", 0)
	}
	a.hear(false, 3)
	a.is("6 departed")
	b.wait(time.Second)
	b.is("6 unconfirmed")
	b.r.Take(a.r.Words(everybody))
	b.wait(time.Second)
	b.is("6 departed")
	if e := b.r.Entries()[0]; e.Cause != Dead || e.Excuse != "" {
		t.Errorf("%+v", e)
	}
	a.size("/p", 5)
	if w := a.r.Words(everybody); len(w) != 1 || w[0].Host != "10.0.0.5" || w[0].Answers != -3 {
		t.Errorf("one is dead still, and %v are told", w)
	}
	a.wait(6 * time.Minute)
	if w := a.r.Words(everybody); len(w) != 0 || a.r.died.Load() != 0 {
		t.Errorf("long after %v are told", w)
	}
}
