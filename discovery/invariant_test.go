package discovery

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// check counts everything again that the roster keeps counted.
func (r *Roster) check() error {
	var errs []error
	is := func(what string, got, want any) {
		if fmt.Sprint(got) != fmt.Sprint(want) {
			errs = append(errs, fmt.Errorf("%s: the roster has %v, counted %v", what, got, want))
		}
	}
	var counts [stateCount]int
	held, holds, owners, fleet := 0, map[*heldSet]map[*Member]bool{}, map[int64]int{}, 0
	entries, present := map[string]int{}, map[string]int{}
	for k, g := range r.groups {
		var gcounts [stateCount]int
		zones, quiet := map[string]int{}, [2]int{}
		for ep, rec := range g.records {
			is("group of "+ep.host, k, [2]string{rec.inst.Service, rec.inst.Env})
			i := stateIndex(rec.state)
			counts[i]++
			gcounts[i]++
			entries[rec.inst.Source]++
			if rec.state == Present {
				present[rec.inst.Source]++
			}
			if rec.state.Scraped() {
				zones[rec.inst.Tags.Get(tagZone)]++
			}
			guarded := rec.x != nil && rec.x.guard != nil
			if guarded {
				held++
				is("member of its guard", rec.x.guard.members[rec], struct{}{})
				is("a guard that the roster knows", r.guards[rec.x.guard], struct{}{})
				is("state of one who is held", rec.state, Unconfirmed)
			}
			if away := len(rec.holds) == 0; away != (rec.state == Departed || guarded) {
				errs = append(errs, fmt.Errorf("%s is %s, held by %d sets", rec.inst.Addr(), rec.state, len(rec.holds)))
			}
			if rec.x != nil && rec.x.quiet != r.quiet[rec] {
				errs = append(errs, fmt.Errorf("%s: quarantine", rec.inst.Addr()))
			}
			if rec.x != nil && rec.x.quiet {
				quiet[map[bool]int{true: 1, false: 0}[rec.state == Departed]]++
			}
			for _, h := range rec.holds {
				if holds[h.set] == nil {
					holds[h.set] = map[*Member]bool{}
				}
				holds[h.set][h.m] = true
				if h.m.Owner != 0 {
					owners[h.m.Owner]++
				}
			}
		}
		is("counts of "+g.service, g.counts, gcounts)
		is("quarantined of "+g.service, g.quiet, quiet)
		is("zones of "+g.service, g.zones, zones)
	}
	is("counts", r.counts, counts)
	is("held", r.held.Load(), held)
	is("owners", r.owners, owners)
	for name, src := range r.sources {
		is("entries of "+name, src.entries, entries[name])
		is("present of "+name, src.present, present[name])
		for _, h := range src.sets {
			unparsable, n := 0, map[endpoint]bool{}
			for _, m := range h.members {
				if !holds[h][m] {
					errs = append(errs, fmt.Errorf("%s does not hold %s", h.path, m.Addr()))
				}
				delete(holds[h], m)
				if m.Err != nil {
					unparsable++
				} else {
					n[endpointOf(&m.Instance)] = true
				}
			}
			is("size of "+h.path, []int{h.n, h.unparsable}, []int{len(n), unparsable})
			is("nobody else in "+h.path, len(holds[h]), 0)
			if r.guarded(h) {
				fleet += h.n
			}
		}
	}
	is("fleet", r.fleet.n, fleet)
	for g := range r.guards {
		if len(g.members) == 0 {
			errs = append(errs, fmt.Errorf("a guard of %s holds nobody", g.scope()))
		}
	}
	return errors.Join(errs...)
}

func TestRosterInvariants(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		odd := func(i *Instance) (string, bool) {
			i.Tags = i.Tags.With(map[string]string{"odd": strconv.Itoa(int(i.Port % 2))})
			return "odd", i.Port%2 == 0
		}
		r := NewRoster(RosterOptions{KeepFor: 20 * time.Minute, KeepAtMost: 5, NoGuard: func(s string) bool { return s == "free" }})
		j := NewJournal(dir, r, nil)
		now := t0
		pool := map[string]*Member{}
		draw := func(path, source string) *Member {
			i := rapid.IntRange(0, 11).Draw(t, "member")
			v := rapid.IntRange(0, 4).Draw(t, "variant")
			key := fmt.Sprint(source, path, i, v)
			if m := pool[key]; m != nil {
				return m
			}
			m := member("10.0.0.1:"+strconv.Itoa(80+i), tagZone, string(rune('a'+i%3)))
			m.Source, m.Path, m.Zxid = source, path, int64(v)
			m.Member = strconv.Itoa(i) + "." + strconv.Itoa(v)
			switch v {
			case 1:
				m.Owner = int64(1 + i%3)
			case 2:
				m.Status = Leaving
			case 3:
				m.Tags = TagsOf(map[string]string{tagVersion: "2"})
				m.Shard = int32(i % 4)
			case 4:
				m = Member{Instance: Instance{Key: Key{Service: "checkout", Env: "prod"}, Source: source, Path: path, Member: m.Member}, Err: errors.New("bad")}
			}
			pool[key] = &m
			return &m
		}
		sources, paths := rapid.SampledFrom([]string{"a", "a#2", "b", "free"}), rapid.SampledFrom([]string{"/p", "/p/q", "/r"})
		steps := map[string]func(){
			"apply": func() {
				s := Set{Source: sources.Draw(t, "source"), Path: paths.Draw(t, "path"), Verified: now}
				seen := map[*Member]bool{}
				for range rapid.IntRange(0, 12).Draw(t, "size") {
					if m := draw(s.Path, s.Source); !seen[m] {
						seen[m] = true
						s.Members = append(s.Members, m)
					}
				}
				r.Apply(s, now)
			},
			"see": func() {
				v := View{Source: sources.Draw(t, "source"), Connected: rapid.Bool().Draw(t, "connected"), Complete: rapid.Bool().Draw(t, "complete"), LastHeard: now}
				v.Live, v.Paths = v.Connected, rapid.SliceOf(paths).Draw(t, "paths")
				r.See(v, now)
			},
			"time": func() {
				now = now.Add(rapid.SampledFrom([]time.Duration{1e9, 60e9, 400e9, 4000e9}).Draw(t, "wait"))
				r.Tick(now)
			},
			"forget": func() { r.Forget(sources.Draw(t, "source"), now) },
			"filter": func() {
				if rapid.Bool().Draw(t, "odd") {
					r.Refilter(odd, now)
				} else {
					r.Refilter(nil, now)
				}
			},
			"obey": func() {
				var o []Order
				for i := range rapid.IntRange(0, 2).Draw(t, "orders") {
					o = append(o, Order{ID: strconv.Itoa(i), Kind: rapid.SampledFrom([]string{FreezeOrder, AcceptOrder, "burst"}).Draw(t, "kind"), Path: paths.Draw(t, "path"), At: now, Until: now.Add(5 * time.Minute)})
				}
				r.Obey(o, now)
			},
			"hear": func() {
				for range 4 {
					r.Heard(Key{"checkout", "prod", "10.0.0.1", uint16(80 + rapid.IntRange(0, 11).Draw(t, "who"))}, rapid.Bool().Draw(t, "answered"), now)
				}
			},
		}
		names := slices.Sorted(maps.Keys(steps))
		names = append(names, "apply", "apply", "apply")
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "step")
			steps[name]()
			if err := r.check(); err != nil {
				t.Fatalf("after %s: %v", name, err)
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "disk") > 0 {
			return // a disk is slow
		}
		// What is on disk is what is in memory, whether it was written whole or line by line.
		err := j.write(now, true)
		j.f.Close()
		os.Remove(dir + "/" + journalFile + ".new")
		if err != nil {
			t.Fatal(err)
		}
		b := NewRoster(RosterOptions{KeepFor: 20 * time.Minute, KeepAtMost: 5})
		b.opts.Filter = r.opts.Filter
		if err := NewJournal(dir, b, nil).Load([]string{"a", "a#2", "b", "free"}, now); err != nil {
			t.Fatal(err)
		}
		if err := b.check(); err != nil {
			t.Fatalf("after a restart: %v", err)
		}
		var was, is []string
		say := func(r *Roster, to *[]string) {
			for _, g := range r.groups {
				for _, rec := range g.records {
					e := r.plain(rec)
					switch {
					case e.State == Unparsable:
						continue
					case e.State.Scraped() && len(rec.holds) > 0:
						*to = append(*to, fmt.Sprint(e.Key, e.Source, e.Path, e.Tags.Map(), " there"))
					default:
						*to = append(*to, fmt.Sprint(e.Key, e.Source, e.Path, e.Tags.Map(), e.State, e.Reason, e.Cause, e.Excuse, e.Since, e.Flaps))
					}
				}
			}
			slices.Sort(*to)
		}
		say(r, &was)
		say(b, &is)
		if !slices.Equal(was, is) {
			t.Fatalf("after a restart\n got %q\nwant %q", is, was)
		}
		if a, b := len(r.guards), len(b.guards); a != b {
			t.Fatalf("%d guards, after a restart %d", a, b)
		}
	})
}
