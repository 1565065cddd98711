package dashboards

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// build is what a service says that is deployed with other names each time: some that stay, and 60 of this build.
func build(s int, n int) (out []collector.Sample) {
	out = append(out, counter("requests", float64(10*s)), counter("errors", float64(s)), gauge("heap_mb", 7))
	for i := range 60 {
		out = append(out, counter(fmt.Sprintf("build_%d/path_%d", n, i), float64(s*i)))
	}
	return out
}

// Builds with ever new names do not let a service grow: what no value of the window has is forgotten, what stays keeps its values and its figures.
func TestNamesAreForgotten(t *testing.T) {
	f := newFleet(t, Options{Window: 5 * time.Minute})
	most, instance := 0, 0
	for s := range 3600 {
		f.add("10.0.0.1:80", float64(s), build(s, s/120)...)
		if s%60 == 30 { // and one that stays as it is
			f.add("10.0.0.2:80", float64(s), build(s, 0)...)
		}
		f.tick(float64(s) + .5)
		sv := f.b.find("checkout", "prod")
		most, instance = max(most, len(sv.cols)), max(instance, len(sv.instances["10.0.0.1:80"].cols))
		if s > 700 && s%13 == 0 {
			if r := f.row(); r.Rate < 9.9 || !r.ErrorRatio.Known() {
				t.Fatalf("%d s: rate %v, errors %v", s, r.Rate, r.ErrorRatio)
			}
		}
	}
	// Three builds lie in a window, a fourth goes within a minute, and one in eight may wait.
	if most > 3+60*6 || instance > 3+60*5 {
		t.Errorf("%d names at most, %d of one instance", most, instance)
	}
	sv := f.b.find("checkout", "prod")
	if len(sv.byKey) != len(sv.cols) {
		t.Errorf("%d keys of %d names", len(sv.byKey), len(sv.cols))
	}
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	for name, want := range map[string]int{"requests": 290, "build_29/path_7": 119, "build_28/path_7": 120, "build_27/path_59": 50} {
		w, _ := f.b.Window("checkout", "prod", "10.0.0.1:80", name, "", at(3310), at(3600))
		if len(w.Points) < want-2 || len(w.Points) > want+2 {
			t.Errorf("%s has %d values, want %d", name, len(w.Points), want)
		}
		for _, p := range w.Points {
			s, i := float64(p.T-t0.UnixMilli())/1000, 10.0
			if _, path, ok := strings.Cut(name, "path_"); ok {
				fmt.Sscan(path, &i)
			}
			if p.V != s*i && p.V != 0 { // a total that is new began at nothing
				t.Fatalf("%s is %v at %v s", name, p.V, s)
			}
		}
	}
	if w, ok := f.b.Window("checkout", "prod", "10.0.0.1:80", "build_3/path_7", "", t0, at(3600)); ok {
		t.Errorf("a name of long ago has %d values", len(w.Points))
	}
	if h := f.b.Health(); h.NamesGone.Names != 0 || h.Dropped != 0 {
		t.Errorf("within the limit: %+v", h)
	}
}

// Where there are as many names as may be, those go that nobody says now, and it is told; where all are said, the others are not shown, and that is told.
func TestNamesMakeRoom(t *testing.T) {
	f := newFleet(t, Options{MaxColumns: 150})
	for s := range 200 {
		f.add("10.0.0.1:80", float64(s), build(s, s/50)...)
		f.tick(float64(s) + .5)
	}
	h := f.b.Health()
	if h.NamesGone.Names < 60 || h.NamesGone.Values == 0 || h.NamesGone.Service != "checkout/prod" || !strings.HasPrefix(h.NamesGone.Name, "build_") {
		t.Errorf("gone: %+v", h.NamesGone)
	}
	if w, _ := f.b.Window("checkout", "prod", "10.0.0.1:80", "build_3/path_7", "", t0, t0.Add(time.Hour)); len(w.Points) < 3 {
		t.Errorf("the newest build has %d values", len(w.Points))
	}
	text := fmt.Sprint(f.b.Now("").Strip.Exceptions)
	if !strings.Contains(text, "Names that checkout/prod does not say any more made room") {
		t.Errorf("exceptions are %s", text)
	}
	for s := 200; s < 210; s++ {
		f.add("10.0.0.1:80", float64(s), append(build(s, 4), append(build(s, 5), build(s, 6)...)...)...)
		f.tick(float64(s) + .5)
	}
	if text := fmt.Sprint(f.b.Now("").Strip.Exceptions); !strings.Contains(text, "checkout/prod says more than 150 names at once") {
		t.Errorf("exceptions are %s", text)
	}
}

// A series that was asked for keeps its name, whatever numbers columns get meanwhile.
func TestRawOverForgetting(t *testing.T) {
	f := newFleet(t, Options{Window: time.Minute})
	for s := range 60 {
		f.add("10.0.0.1:80", float64(s), append(build(s, 0), gauge("last", float64(s)))...)
		f.tick(float64(s) + .5)
	}
	var in *RawInstance
	var last, old *RawColumn
	f.b.Raw(func(string, string) bool { return true }, func(c *RawColumn) bool { return c.Name == "last" || c.Name == "build_0/path_5" }, func(r *RawInstance, cs []*RawColumn) bool {
		in = r
		for _, c := range cs {
			if c.Name == "last" {
				last = c
			} else {
				old = c
			}
		}
		return true
	})
	for s := 60; s < 300; s++ {
		f.add("10.0.0.1:80", float64(s), counter("requests", float64(s)), gauge("last", float64(s)))
		f.tick(float64(s) + .5)
	}
	if sv := f.b.find("checkout", "prod"); sv.numbering == 0 {
		t.Fatal("nothing was forgotten")
	}
	ps := f.b.Points(nil, in, last, t0.Add(290*time.Second).UnixMilli(), t0.Add(299*time.Second).UnixMilli())
	if len(ps) != 10 || ps[9].V != 299 {
		t.Errorf("points are %v", ps)
	}
	if ps := f.b.Points(nil, in, old, t0.UnixMilli(), t0.Add(299*time.Second).UnixMilli()); len(ps) != 0 {
		t.Errorf("points of one that is forgotten: %v", ps)
	}
}

// That memory was full is told for as long as a window is short of it.
func TestEvictionsAreToldWhileTheyShow(t *testing.T) {
	f := newFleet(t, Options{MaxBytes: 1 << 20, Window: 10 * time.Minute})
	says := func() bool {
		return strings.Contains(fmt.Sprint(f.b.Now("").Strip.Exceptions), "Memory for windows is full: checkout/prod begins at ")
	}
	s := 0
	for ; s < 300; s++ {
		smp := make([]collector.Sample, 0, 2000)
		for i := range 2000 {
			smp = append(smp, gauge(fmt.Sprintf("g%d", i), float64(s*i%977)+.123456789))
		}
		f.add("10.0.0.1:80", float64(s), smp...)
		f.tick(float64(s) + .5)
	}
	if !says() || f.b.Health().Evictions.Values == 0 {
		t.Errorf("exceptions are %v, evictions %+v", f.b.Now("").Strip.Exceptions, f.b.Health().Evictions)
	}
	for ; s < 1000; s++ {
		f.add("10.0.0.1:80", float64(s), gauge("g1", 1))
		f.tick(float64(s) + .5)
	}
	if says() {
		t.Errorf("the window is whole again, and exceptions are %v", f.b.Now("").Strip.Exceptions)
	}
}
