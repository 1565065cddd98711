package detect

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/internal/sim"
	"github.com/rollcall-metrics/rollcall/dashboards/quantile"
)

// division is replicas that divide the services of one fleet, each with its Board and Detector, in made-up time.
type division struct {
	t     *testing.T
	all   []*part
	owner map[string]int // of a service, while it lives
	late  int            // seconds until the others hear a note, or of trouble
}

type part struct {
	*world
	d      *Detector
	dead   time.Time   // zero: it lives
	told   [][]Trouble // each second's, the newest last
	topic  [][]dashboards.Note
	places map[string]bool // ids of findings about places that its page has shown open
	calls  map[string]bool // what its notifiers were told is open, of what it owns
}

const lapse = 3 * time.Second // until the others take one who is silent for gone

func divide(t *testing.T, n, late int, owner map[string]int) *division {
	t.Helper()
	v := &division{t: t, owner: owner, late: late}
	for i := range n {
		p := &part{places: map[string]bool{}, calls: map[string]bool{}}
		owns := func(service, _ string) bool { return v.ownerOf(service) == i }
		d, err := New(Config{Owns: owns, Others: func() []Told { return v.hears(i) }})
		if err != nil {
			t.Fatal(err)
		}
		b, err := dashboards.NewBoard(dashboards.Options{Percentile: quantile.Over, Judge: d.Judge, Owns: owns, Publish: func(x dashboards.Note) {
			p.topic[len(p.topic)-1] = append(p.topic[len(p.topic)-1], x)
		}})
		if err != nil {
			t.Fatal(err)
		}
		b.SetFeed(dashboards.Feed{State: dashboards.FeedLive})
		f := sim.New(7, start, time.Second, service("a"), service("b"), service("c"), service("d"))
		f.Move("shared-1", func(in *sim.Instance) bool {
			return in.Addr[len(in.Addr)-6] == '1' && in.Zone == sim.Zones[0]
		})
		f.Register(b)
		p.world, p.d = &world{Fleet: f, b: b, now: start}, d
		v.all = append(v.all, p)
	}
	return v
}

// service throws no exceptions: who takes it over would take them for new.
func service(name string) sim.Service { return sim.Service{Name: name, Classes: []string{}} }

// gone reports whether the others know by now that it is dead.
func (v *division) gone(p *part) bool {
	return !p.dead.IsZero() && v.now().Sub(p.dead) >= lapse
}

func (v *division) now() (t time.Time) {
	for _, p := range v.all {
		if p.now.After(t) {
			t = p.now
		}
	}
	return t
}

func (v *division) ownerOf(service string) int {
	i := v.owner[service]
	for k := range v.all {
		if x := (i + k) % len(v.all); !v.gone(v.all[x]) {
			return x
		}
	}
	return -1
}

// hears is what a replica knows of what the others tell, over the wire.
func (v *division) hears(of int) (out []Told) {
	for i, p := range v.all {
		if i == of || v.gone(p) || len(p.told) <= v.late {
			continue
		}
		text, err := json.Marshal(p.told[len(p.told)-1-v.late])
		if err != nil {
			v.t.Fatal(err)
		}
		told := Told{From: fmt.Sprint("p", i), Owns: func(service, _ string) bool { return v.ownerOf(service) == i }}
		if err := json.Unmarshal(text, &told.Troubles); err != nil {
			v.t.Fatal(err)
		}
		out = append(out, told)
	}
	return out
}

func (v *division) run(d time.Duration) {
	v.t.Helper()
	for range int(d / time.Second) {
		for _, p := range v.all {
			p.told = append(p.told, p.d.Troubles())
			p.topic = append(p.topic, nil)
			if !p.dead.IsZero() {
				p.now = p.now.Add(time.Second)
				continue
			}
			for _, by := range v.all {
				if at := len(p.topic) - 2 - v.late; at >= 0 && at < len(by.topic) {
					for _, n := range by.topic[at] {
						p.b.Note(n)
					}
				}
			}
			p.run(time.Second, nil)
			for _, f := range p.open() {
				if len(f.Services) > 0 {
					p.places[f.ID] = true
				}
			}
			for _, f := range p.b.OwnFindings() {
				if f.Ended == nil {
					p.calls[f.ID+" "+f.Service] = true
				} else if f.PartOf != "" {
					delete(p.calls, f.ID+" "+f.Service) // they hear that it is over
				}
			}
		}
	}
}

func (v *division) effect(e sim.Effect) {
	for _, p := range v.all {
		e.From = p.now
		p.Effects = append(p.Effects, e)
	}
}

// one is the finding that every page shows, alone.
func (v *division) one(what string) (f dashboards.Finding) {
	v.t.Helper()
	for i, p := range v.all {
		if !p.dead.IsZero() {
			continue
		}
		open := p.open()
		if len(open) != 1 || f.ID != "" && open[0].ID != f.ID {
			v.t.Fatalf("%s: replica %d shows %d open:%s", what, i, len(open), p.show())
		}
		f = open[0]
	}
	return f
}

// placed is every finding about a place that any page has shown.
func (v *division) placed() (out []string) {
	for _, p := range v.all {
		for id := range p.places {
			if !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	return out
}

func onShared(in *sim.Instance) bool { return in.Host == "shared-1" && in.Service.Name != "d" }

// A host with services of several owners that fails is one finding about the host: on every page, and for who is called.
func TestPlaceOfSeveralOwners(t *testing.T) {
	for _, tc := range []struct {
		name  string
		n     int
		late  int
		owner map[string]int
	}{
		{"two", 2, 0, map[string]int{"a": 0, "b": 1, "c": 0}},
		{"each has one", 3, 0, map[string]int{"a": 0, "b": 1, "c": 2}},
		{"they hear late", 2, 12, map[string]int{"a": 0, "b": 1, "c": 1}},
		{"each has one, and hears late", 3, 5, map[string]int{"a": 2, "b": 1, "c": 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, gone := range []bool{false, true} {
				v := divide(t, tc.n, tc.late, tc.owner)
				v.run(20 * time.Second)
				if gone {
					for _, p := range v.all {
						p.Leave(p.b, p.now, onShared)
					}
				} else {
					v.effect(sim.Effect{Errors: .5, Hits: onShared})
				}
				v.run(time.Duration(10+4*tc.late) * time.Second)
				f := v.one("it fails")
				if !strings.HasPrefix(f.Only, "Only host shared-1: ") || !slices.Equal(f.Services, []string{"a", "b", "c"}) || f.Place != "host.name=shared-1" || gone != (f.Metric == "instances") {
					t.Errorf("%+v", f)
				}
				for i, p := range v.all {
					want := 0
					if v.ownerOf(f.Service) == i {
						want = 1
					}
					if len(p.calls) != want {
						t.Errorf("replica %d has told as open %v", i, p.calls)
					}
				}
				if ids := v.placed(); len(ids) != 1 {
					t.Errorf("findings about the place are %v", ids)
				}
				for _, p := range v.all {
					p.Effects = nil
					p.Return(p.b, p.now)
				}
				v.run(time.Duration(15+4*tc.late) * time.Second)
				for i, p := range v.all {
					if fs := p.b.Findings(); len(p.open()) > 0 || len(fs) != 1 || fs[0].ID != f.ID {
						t.Errorf("replica %d, when it is over:%s", i, p.show())
					}
				}
			}
		})
	}
}

// The death of the replica that makes the finding about a place hands it on under its id, whoever is left.
func TestPlaceOutlivesItsOwner(t *testing.T) {
	for n, after := range map[int]time.Duration{2: 10 * time.Second, 3: 100 * time.Second} {
		for _, dies := range []string{"who tells it", "another"} {
			t.Run(fmt.Sprintf("%d, %s", n, dies), func(t *testing.T) {
				v := divide(t, n, 0, map[string]int{"a": 0, "b": 1, "c": n - 1})
				v.run(30 * time.Second)
				v.effect(sim.Effect{Errors: .5, Hits: onShared})
				v.run(after)
				f := v.one("it fails")
				i := v.ownerOf(f.Service)
				if dies == "another" {
					i = (i + 1) % n
				}
				v.all[i].dead = v.now()
				for range 45 {
					v.run(time.Second)
					if g := v.one("afterwards"); g.ID != f.ID || len(g.Services) != 3 || g.Since != f.Since {
						t.Fatalf("%s after the death it is %+v, and was %+v", v.now().Sub(v.all[i].dead), g, f)
					}
				}
				for _, p := range v.all {
					p.Effects = nil
				}
				v.run(15 * time.Second)
				for k, p := range v.all {
					if k != i && (len(p.open()) > 0 || len(p.b.Findings()) != 1) {
						t.Errorf("replica %d, when it is over:%s", k, p.show())
					}
				}
			})
		}
	}
}

// What is left of a place goes on under its id when that service is another's all at once, by death or because the division is another.
func TestPlaceIsHandedOn(t *testing.T) {
	for why, had := range map[string]int{"death": 1, "division": 1, "division by who tells it": 0} {
		t.Run(why, func(t *testing.T) {
			v := divide(t, 3, 0, map[string]int{"a": 0, "b": had, "c": 2})
			v.run(30 * time.Second)
			hit := func(name string) func(*sim.Instance) bool {
				return func(in *sim.Instance) bool { return onShared(in) && in.Service.Name == name }
			}
			v.effect(sim.Effect{Errors: .4, Hits: hit("a"), Until: v.now().Add(20 * time.Second)})
			v.effect(sim.Effect{Errors: .15, Hits: hit("b")})
			v.run(40 * time.Second)
			f := v.one("one of the two is well again")
			if f.Service != "a" || !slices.Equal(f.Services, []string{"a", "b"}) {
				t.Fatalf("%+v", f)
			}
			if why == "death" {
				v.all[1].dead = v.now()
			} else {
				v.owner["b"] = 2
			}
			for s := range 45 {
				if s == 20 { // who owns it now has no history of when it was well, and finds it as it gets worse
					v.effect(sim.Effect{Errors: .85, Hits: hit("b")})
				}
				v.run(time.Second)
				if g := v.one(fmt.Sprint(why, " ", s)); g.ID != f.ID || g.Since != f.Since {
					t.Fatalf("%d s after: it is %+v, and was %+v", s, g, f)
				}
			}
			if ids := v.placed(); len(ids) != 1 {
				t.Errorf("findings about the place are %v", ids)
			}
			for _, p := range v.all {
				p.Effects = nil
			}
			v.run(15 * time.Second)
			for k, p := range v.all {
				if p.dead.IsZero() && (len(p.open()) > 0 || len(p.b.Findings()) != 1) {
					t.Errorf("replica %d, when it is over:%s", k, p.show())
				}
			}
		})
	}
}

// What goes wrong in a place of which it has just been said that it is well is a finding of its own, though its owner had not heard that yet.
func TestPlaceBeginsAgain(t *testing.T) {
	v := divide(t, 2, 10, map[string]int{"a": 0, "b": 1, "c": 0})
	v.run(20 * time.Second)
	fails := func(name string, after, d time.Duration) {
		v.effect(sim.Effect{Errors: .5, Until: v.now().Add(after + d), Hits: func(in *sim.Instance) bool { return onShared(in) && in.Service.Name == name },
			Shape: func(at time.Duration) float64 {
				if at < after {
					return 0
				}
				return 1
			}})
	}
	fails("a", 0, 50*time.Second)
	fails("b", 0, 50*time.Second)
	fails("b", 60*time.Second, time.Hour)
	fails("c", 80*time.Second, time.Hour)
	v.run(45 * time.Second)
	first := v.one("they fail")
	v.run(90 * time.Second)
	if f := v.one("again"); !slices.Equal(first.Services, []string{"a", "b"}) || !slices.Equal(f.Services, []string{"b", "c"}) || f.ID == first.ID {
		t.Errorf("%+v, and then %+v", first, f)
	}
}

// Services of several owners in trouble at places of their own share nothing.
func TestNoPlaceOfSeveralOwners(t *testing.T) {
	v := divide(t, 2, 0, map[string]int{"a": 0, "b": 1, "c": 0})
	v.run(20 * time.Second)
	for i, s := range []string{"a", "b", "c"} {
		v.effect(sim.Effect{Errors: .5, Hits: func(in *sim.Instance) bool {
			return in.Service.Name == s && in.Zone == sim.Zones[i] && in.Addr[len(in.Addr)-6] == '2'
		}})
	}
	v.run(15 * time.Second)
	if ids := v.placed(); len(ids) > 0 {
		t.Errorf("findings about places: %v", ids)
	}
	for i, p := range v.all {
		if len(p.open()) != 3 {
			t.Errorf("replica %d shows:%s", i, p.show())
		}
	}
}

// What nobody of ours can have told is not taken.
func TestTroubleIsHeldToItsShape(t *testing.T) {
	good := Trouble{ID: "f1", Service: "a", Env: "prod", Metric: "errors", Level: "bad", Since: start.UnixMilli(), At: []Cond{{dashboards.TagHost, "h"}}, Why: "errors 1 % → 2 %"}
	for name, change := range map[string]func(*Trouble){
		"":                func(*Trouble) {},
		"no id":           func(x *Trouble) { x.ID = "" },
		"no service":      func(x *Trouble) { x.Service = "" },
		"another metric":  func(x *Trouble) { x.Metric = "budget" },
		"another level":   func(x *Trouble) { x.Level = "info" },
		"to come":         func(x *Trouble) { x.Since = start.Add(2 * time.Hour).UnixMilli() },
		"many places":     func(x *Trouble) { x.At = make([]Cond, MaxAt+1) },
		"a place unnamed": func(x *Trouble) { x.At = []Cond{{"", "x"}} },
		"a long text":     func(x *Trouble) { x.Why = strings.Repeat("x", dashboards.MaxWords+1) },
		"what is no text": func(x *Trouble) { x.Env = "\xff" },
		"fewer than none": func(x *Trouble) { x.N = -1 },
	} {
		x := good
		if change(&x); x.valid(start) != (name == "") {
			t.Errorf("%q: %v", name, x.valid(start))
		}
	}
}
