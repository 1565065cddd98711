package dashboards

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// closely feeds four instances of ten requests a second each: every 10 s, and two of them every second from 120 s to 180 s, or all of them.
func closely(t *testing.T, of int, look func(f *fleet, s float64)) *fleet {
	t.Helper()
	f := newFleet(t, Options{})
	for tick := range 2 * 300 {
		s := float64(tick) / 2
		for i := range 4 {
			at := s + 0.1*float64(i)
			burst := i < of && s >= 120 && s < 180
			if tick%2 != 0 || !burst && (int(s)+2*i)%10 != 0 {
				continue
			}
			r := f.record(fmt.Sprintf("10.0.0.%d:80", i), at, counter("requests", 1000+at*10), counter("errors", at), gauge("threads", 7))
			if r.Interval = 10 * time.Second; burst {
				r.Interval, r.Usual = time.Second, 10*time.Second
			}
			f.b.Add(r)
		}
		f.tick(s + 0.45)
		look(f, s)
	}
	return f
}

// While some are looked at closely, and when they go back to their usual interval, everybody answers, the sums are right, and there are no gaps.
func TestCloserLook(t *testing.T) {
	for name, of := range map[string]int{"two of four": 2, "all": 4} {
		t.Run(name, func(t *testing.T) {
			finest := map[time.Duration]bool{}
			f := closely(t, of, func(f *fleet, s float64) {
				if s < 30 {
					return
				}
				r := f.row()
				if r.Answering != 4 || r.Expected != 4 || !near(r.Rate, 40) || !near(r.ErrorRatio, 0.1) {
					t.Fatalf("at %.1f s: %d of %d answer, %v/s, %v", s, r.Answering, r.Expected, r.Rate, r.ErrorRatio)
				}
				if _, every := f.b.Pulse(); every != 10*time.Second {
					t.Fatalf("at %.1f s a feed is dead after three times %v", s, every)
				}
				sv := f.b.find("checkout", "prod")
				finest[sv.finest(t0.Add(time.Duration(s*float64(time.Second))).UnixMilli())] = true
				if got := f.b.Signals("checkout", "prod", 600); got.Width != 10*time.Second || len(got.Silent) > 0 {
					t.Fatalf("at %.1f s: ticks of %v, %d silent", s, got.Width, len(got.Silent))
				}
			})
			if !finest[time.Second] || !finest[10*time.Second] {
				t.Errorf("intervals seen: %v", finest)
			}
			for _, k := range f.row().Spark.Answering[sparkPoints-26:] {
				if k != 4 {
					t.Errorf("answering was %v", f.row().Spark.Answering)
					break
				}
			}
			for _, q := range []Query{{Metric: "requests"}, {Metric: "requests", By: "instance"}, {Metric: "threads"}, {Metric: "threads", By: "instance"}} {
				q.Service, q.Env, q.Step = "checkout", "prod", time.Second
				q.From, q.To = t0.Add(30*time.Second), t0.Add(299*time.Second+900*time.Millisecond)
				a, err := f.b.Series(q)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range a.Lines {
					for k, v := range l.Values {
						want := 7.0
						if q.Metric == "requests" {
							want = 10 * float64(l.Instances)
						}
						if !near(v, want) {
							t.Fatalf("%s by %q, %s: %v at %d s, want %v", q.Metric, q.By, l.Name, v, k+30, want)
						}
					}
				}
			}
		})
	}
}

// Who dies under a closer look is seen to, and who is silent altogether is so after its usual patience.
func TestCloserLookSilence(t *testing.T) {
	f := newFleet(t, Options{})
	for s := range 60 {
		r := f.record("10.0.0.1:80", float64(s), counter("requests", float64(10*s)))
		r.Interval, r.Usual = time.Second, 10*time.Second
		if s >= 50 {
			r.Outcome, r.Samples = collector.Refused, nil
		}
		f.b.Add(r)
	}
	f.tick(50.5)
	if f.row().Answering != 0 {
		t.Error("who refuses answers")
	}
	f = newFleet(t, Options{})
	for s := range 60 {
		r := f.record("10.0.0.1:80", float64(s), counter("requests", float64(10*s)))
		r.Interval, r.Usual = time.Second, 10*time.Second
		f.b.Add(r)
	}
	for at, want := range map[float64]int{70: 1, 78.5: 1, 79.5: 0} {
		if f.tick(at); f.row().Answering != want {
			t.Errorf("at %v s %d answer", at, f.row().Answering)
		}
	}
}

// Who died under a closer look does not leave it on: the steps of charts are those from before.
func TestCloserLookDeath(t *testing.T) {
	f := newFleet(t, Options{})
	steps := map[time.Duration]int{}
	for s := range 150 {
		for i, host := range []string{"10.0.0.1:80", "10.0.0.2:80"} {
			burst := s >= 30 && s < 60
			if !burst && s%10 != 0 || i == 0 && s >= 50 { // the first dies under it
				continue
			}
			r := f.record(host, float64(s), counter("requests", float64(10*s)))
			if r.Interval = 10 * time.Second; burst {
				r.Interval, r.Usual = time.Second, 10*time.Second
			}
			f.b.Add(r)
		}
		f.tick(float64(s) + 0.5)
		q := Query{Service: "checkout", Env: "prod", Metric: "requests", From: t0.Add(time.Duration(s-20) * time.Second)}
		a, err := f.b.Series(q)
		if err != nil {
			t.Fatal(err)
		}
		step := time.Duration(a.Step) * time.Millisecond
		if s >= 90 && step != 10*time.Second {
			t.Fatalf("at %d s a step of %v", s, step)
		}
		steps[step]++
	}
	if steps[time.Second] < 20 {
		t.Errorf("steps seen: %v", steps)
	}
}

func TestOrderEvents(t *testing.T) {
	f := newFleet(t, Options{})
	f.add("10.0.0.1:80", 0, counter("requests", 1))
	f.b.RosterChange(discovery.Change{Entry: entry("10.0.0.1:80", discovery.Present, 0, nil), At: t0})
	at := func(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }
	burst := discovery.Order{ID: "b", Kind: discovery.BurstOrder, Path: "/", By: "alice", Why: "it looks slow", At: at(10), Until: at(310),
		Burst: discovery.Burst{Service: "checkout", Env: "prod", Tags: discovery.TagsOf(map[string]string{TagZone: "a"}), EveryMS: 1000}}
	freeze := discovery.Order{ID: "f", Kind: discovery.FreezeOrder, Path: "/discovery", By: "kim", At: at(20), Until: at(90)}
	other := discovery.Order{ID: "o", Kind: discovery.FreezeOrder, Path: "/elsewhere", By: "kim", At: at(20), Until: at(90)}
	f.tick(10)
	f.b.Order(OrderNews{Order: burst, At: at(10), Taken: 14, Of: 20})
	f.b.Order(OrderNews{Order: burst, At: at(11)}) // it stands
	f.b.Order(OrderNews{Order: freeze, At: at(20)})
	f.b.Order(OrderNews{Order: other, At: at(20)})
	f.tick(30)
	got := f.b.Detail("checkout", "prod")
	if len(got.Bursts) != 1 || got.Bursts[0].Until != at(310).UnixMilli() || got.Bursts[0].By != "alice" || got.Bursts[0].Taken != 14 || got.Bursts[0].Slice != "checkout/prod, zone a" {
		t.Errorf("%+v", got.Bursts)
	}
	f.b.Order(OrderNews{Order: burst, Ended: true, At: at(60)})
	f.b.Order(OrderNews{Order: burst, Ended: true, At: at(60), By: "bob"})
	f.b.Order(OrderNews{Order: burst, Ended: true, At: at(60)})
	f.tick(95)
	got = f.b.Detail("checkout", "prod")
	var said []string
	for _, e := range got.Events {
		if e.Kind == EventOrder {
			said = append(said, fmt.Sprintf("%v: %s", time.UnixMilli(e.T).Sub(t0), e.Text))
		}
	}
	want := []string{"1m30s: the freeze of kim below /discovery ended", "1m0s: bob ended the closer look of alice at checkout/prod, zone a, every 1s", "20s: kim froze /discovery until 16:01:30 UTC",
		"10s: 14 of 20 instances, zone a pulled every 1s until 16:05:10 UTC, by alice: it looks slow"}
	if len(got.Bursts) != 0 || fmt.Sprint(said) != fmt.Sprint(want) {
		t.Errorf("%+v\n%q\nwant\n%q", got.Bursts, said, want)
	}
}
