package discovery

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestShrinkOrCrash: of a service from which one after the other goes, an hour apart, nobody says why. Where it is known to grow and shrink that is a shrink, down to what it
// grew from; elsewhere each is missed.
func TestShrinkOrCrash(t *testing.T) {
	with := func(m *Member, f func(*Member)) *Member { c := *m; f(&c); return &c }
	away := func(p *play, d time.Duration, who ...int) { // and back
		all := slices.Clone(p.sets["/p"])
		p.sets["/p"] = slices.DeleteFunc(slices.Clone(all), func(m *Member) bool {
			return slices.ContainsFunc(who, func(i int) bool { return m.Addr() == node("/p", i).Addr() })
		})
		p.apply("/p")
		p.wait(d)
		p.sets["/p"] = all
		p.apply("/p")
	}
	grow := func(p *play) { p.size("/p", 18); p.wait(6 * time.Minute) }
	for _, tc := range []struct {
		name    string
		do      func(p *play)
		gone    int // how many then go
		excused int
	}{
		{"it never grew", func(p *play) {}, 5, 0},
		{"it grew, and shrinks to what it was", grow, 6, 6},
		{"it grew, and shrinks below", grow, 8, 6},
		{"two restarted at once", func(p *play) { away(p, 10*time.Second, 0, 1) }, 5, 0},
		{"in pairs, all of it", func(p *play) {
			for i := range 6 {
				away(p, 10*time.Second, 2*i, 2*i+1)
				p.wait(time.Minute)
			}
		}, 5, 0},
		{"two were away for half an hour", func(p *play) { away(p, 30*time.Minute, 0, 1) }, 5, 0},
		{"three were replaced, ten minutes later", func(p *play) {
			p.sets["/p"] = p.sets["/p"][3:]
			p.apply("/p")
			p.wait(10 * time.Minute)
			p.sets["/p"] = append(p.sets["/p"], node("/p", 100), node("/p", 101), node("/p", 102))
			p.apply("/p")
		}, 5, 0},
		{"a deploy with three more at a time", func(p *play) {
			for i := range 4 {
				for j := range 3 {
					p.sets["/p"] = append(p.sets["/p"], node("/p", 100+3*i+j, tagVersion, "2"))
				}
				p.apply("/p")
				p.wait(2 * time.Minute)
				p.sets["/p"] = slices.Clone(p.sets["/p"])[3:]
				p.apply("/p")
				p.wait(10 * time.Second)
			}
		}, 5, 0},
		{"a rule kept six out for a while", func(p *play) {
			p.r.Refilter(func(i *Instance) (string, bool) { return "rule 1", i.Host > "10.0.0.5" }, p.now)
			p.wait(time.Hour)
			p.r.Refilter(nil, p.now)
		}, 5, 0},
		{"it grew, and its members say goodbye", func(p *play) {
			grow(p)
			p.sets["/p"][17] = with(p.sets["/p"][17], func(m *Member) { m.Status = Leaving })
			p.apply("/p")
			p.size("/p", 17)
		}, 4, 0},
		{"it grew, and their checks failed", func(p *play) {
			grow(p)
			for i := range p.sets["/p"] {
				p.sets["/p"][i] = with(p.sets["/p"][i], func(m *Member) { m.Status = string(Failing) })
			}
			p.apply("/p")
		}, 4, 0},
		{"it grew, and their sessions held others, which go, too", func(p *play) {
			grow(p)
			for i := range p.sets["/p"] {
				p.sets["/p"][i] = with(p.sets["/p"][i], func(m *Member) { m.Owner = int64(1 + i) })
				p.sets["/q"] = append(p.sets["/q"], with(node("/q", i), func(m *Member) { m.Owner = int64(1 + i) }))
			}
			p.apply("/p")
			p.apply("/q")
		}, 4, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlay(t, RosterOptions{})
			p.size("/p", 12)
			p.wait(time.Hour)
			tc.do(p)
			p.wait(10 * time.Minute)
			excused := 0
			for range tc.gone {
				last := p.sets["/p"][len(p.sets["/p"])-1]
				p.sets["/p"] = slices.Clone(p.sets["/p"][:len(p.sets["/p"])-1])
				p.apply("/p")
				if q := len(p.sets["/q"]); q > 0 {
					p.sets["/q"] = slices.Clone(p.sets["/q"][:q-1])
					p.apply("/q")
				}
				if e, err := p.r.Find(last.Key.String()); err != nil || e.State != Departed || e.Excuse != "" && e.Excuse != slowShrink {
					t.Fatalf("%v: %+v", err, e)
				} else if excused += map[bool]int{true: 1, false: 0}[e.Excuse != ""]; e.Excuse == "" != e.Missing(time.Unix(0, nanos(p.now))) {
					t.Errorf("%+v", e)
				}
				p.wait(time.Hour)
			}
			if excused != tc.excused {
				t.Errorf("of %d that went %d are excused, want %d", tc.gone, excused, tc.excused)
			}
		})
	}
}

// One who came back replaces nobody else: of two that restart, the one that does not come back is missed.
func TestReturnReplacesNobody(t *testing.T) {
	p := newPlay(t, RosterOptions{})
	p.size("/p", 10)
	p.wait(time.Hour)
	p.size("/p", 9)
	p.wait(5 * time.Second)
	p.size("/p", 8)
	p.wait(5 * time.Second)
	p.size("/p", 9)
	p.wait(5 * time.Minute)
	if e, _ := p.r.Find(node("/p", 9).Key.String()); !e.Missing(p.now) {
		t.Errorf("%+v", e)
	}
}

// A service that halves within minutes is guarded, however slowly it seems to shrink.
func TestSlowShrinkIsGuarded(t *testing.T) {
	p := newPlay(t, RosterOptions{})
	zoned := func(n int) {
		for len(p.sets["/p"]) < n {
			i := len(p.sets["/p"])
			p.sets["/p"] = append(p.sets["/p"], node("/p", i, tagZone, string(rune('a'+i%3))))
		}
		p.sets["/p"] = slices.Clone(p.sets["/p"][:n])
		p.apply("/p")
	}
	zoned(6)
	p.wait(time.Hour)
	zoned(90)
	p.wait(time.Hour)
	for n := 90; n >= 44; n -= 3 {
		zoned(n)
		p.wait(30 * time.Second)
	}
	for n := 41; n > 38; n -= 3 {
		zoned(n)
	}
	if g := p.r.Guards(); len(g) != 1 || g[0].Held < 46 {
		t.Errorf("guards are %+v, %s", g, p.tally())
	}
}

// TestCrashLoop: where one comes and goes nobody is called; where several of a service do, they count and are missed. One that stays away is missed in the end.
func TestCrashLoop(t *testing.T) {
	for _, tc := range []struct {
		name            string
		of, loop        int
		missing, expect int // while they are away
	}{
		{"one of ten", 10, 1, 0, 9},
		{"two of ten", 10, 2, 0, 8},
		{"three of ten", 10, 3, 3, 10},
		{"two of four", 4, 2, 2, 4},
		{"all", 3, 3, 3, 3},
		{"the only one", 1, 1, 1, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlay(t, RosterOptions{Guard: GuardOptions{Off: true}})
			p.size("/p", tc.of)
			p.wait(time.Minute)
			for range 5 {
				p.size("/p", tc.of-tc.loop)
				p.wait(5 * time.Second)
				p.size("/p", tc.of)
				p.wait(5 * time.Second)
			}
			p.size("/p", tc.of-tc.loop)
			p.wait(time.Second)
			count := func() (missing, expected, told int) {
				g := p.r.groupState(p.r.groups[[2]string{"p", "prod"}], p.now)
				for _, e := range p.r.Entries() {
					if e.Missing(p.now) {
						told++
					}
				}
				return g.Missing, g.Expected, told
			}
			if m, e, told := count(); m != tc.missing || e != tc.expect || told != m {
				t.Errorf("%d are missing (%d by their entries) of %d, want %d of %d", m, told, e, tc.missing, tc.expect)
			}
			changes := p.wait(14 * time.Minute)
			if m, e, told := count(); m != tc.loop || e != tc.of || told != m {
				t.Errorf("they stay away: %d are missing (%d by their entries) of %d", m, told, e)
			}
			if n := strings.Count(moves(changes), "departed>departed"); n != tc.loop-tc.missing {
				t.Errorf("told are %s", moves(changes))
			}
		})
	}
}
