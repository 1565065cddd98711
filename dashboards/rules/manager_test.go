package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// put makes the rig's metric say values, by a label of each, as of a time.
func (r *rig) put(at time.Time, values map[string]float64) {
	for k, v := range values {
		if err := r.store.Append(labels.FromStrings("__name__", "x", "of", k), at.UnixMilli(), v); err != nil {
			r.t.Fatal(err)
		}
	}
}

const over1 = "groups: [{name: g, interval: 30s, rules: [{alert: A, expr: x > 1, for: 1m, annotations: {s: '{{ $value }}'}}, {record: r, expr: x * 2}]}]"

// at is t0 and so many slots of 30 s.
func at(n int) time.Time { return t0.Add(time.Duration(n) * 30 * time.Second) }

// inTime runs a test in made-up time, at t0.
func inTime(t *testing.T, test func(*testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(t0))
		test(t)
	})
}

// What an alert goes through, and what the others are told of it.
func TestLife(t *testing.T) {
	r := newRig(t, load(t, over1, Options{}), nil)
	var told []string
	for n, tc := range []struct {
		v    float64
		is   string
		told string
	}{
		{1, "", ""}, {2, `pending{of="a"}`, "pending"}, {2, `pending{of="a"}`, ""}, {3, `firing{of="a"}`, "firing"}, {3, `firing{of="a"}`, ""}, {0, `inactive{of="a"}`, "inactive"},
		{0, `inactive{of="a"}`, ""}, {2, `pending{of="a"}`, "pending"}, {0, "", "inactive"}, {0, "", ""},
	} {
		r.put(at(n), map[string]float64{"a": tc.v})
		r.turn(at(n))
		if got := r.is("A"); got != tc.is {
			t.Errorf("slot %d: %s, want %s", n, got, tc.is)
		}
		var now []string
		for _, x := range r.notes {
			now = append(now, x.Alert.State)
			if b := x.Append(nil); func() error { _, err := dashboards.ParseNote(b); return err }() != nil {
				t.Errorf("slot %d: nobody can read %s", n, b)
			}
		}
		r.notes = nil
		if got := strings.Join(now, " "); got != tc.told {
			t.Errorf("slot %d: told %q, want %q", n, got, tc.told)
		}
		told = append(told, now...)
	}
	if len(told) == 0 {
		t.Error("nobody was told")
	}
}

// What is over is told for fifteen minutes; what stands, every ten.
func TestTold(t *testing.T) {
	r := newRig(t, load(t, over1, Options{}), nil)
	n := 0
	for ; n < 50; n++ { // 25 minutes
		r.put(at(n), map[string]float64{"a": 5})
		r.turn(at(n))
	}
	if len(r.notes) != 4 { // pending, firing, and again at 11 and 21 minutes
		t.Errorf("%d notes", len(r.notes))
	}
	over := n
	for ; r.is("A") != ""; n++ {
		r.put(at(n), map[string]float64{"a": 0})
		r.turn(at(n))
	}
	if took := at(n).Sub(at(over)); took < resolvedFor || took > resolvedFor+2*time.Minute {
		t.Errorf("it was told for %s that it is over", took)
	}
}

func TestLimits(t *testing.T) {
	set := load(t, "groups: [{name: g, limit: 2, rules: [{alert: A, expr: x > 1}, {record: r, expr: x}, {alert: B, expr: x == 9}, {record: same, expr: 'label_replace(x, \"of\", \"\", \"\", \"\")'}]}]", Options{})
	r := newRig(t, set, nil)
	for n, tc := range []struct {
		values map[string]float64
		a      string
		faults string
	}{
		{map[string]float64{"a": 2}, `firing{of="a"}`, ""},
		{map[string]float64{"a": 2, "b": 2}, `firing{of="a"} firing{of="b"}`, "same: vector cannot contain metrics with the same labelset"},
		{map[string]float64{"a": 2, "b": 2, "c": 2}, `inactive{of="a"} inactive{of="b"}`, "A: exceeded limit of 2 with 3 alerts; r: exceeded limit of 2 with 3 series; same: vector"},
		{map[string]float64{"a": 2, "b": 0, "c": 0}, `firing{of="a"} inactive{of="b"}`, "r: exceeded limit of 2 with 3 series; same: vector"},
	} {
		r.put(at(n), tc.values)
		r.turn(at(n))
		if got := r.is("A"); got != tc.a {
			t.Errorf("slot %d: %s, want %s", n, got, tc.a)
		}
		var faults []string
		for _, f := range r.Faults() {
			name, why, _ := strings.Cut(strings.TrimPrefix(f, "rule "), " (")
			_, why, _ = strings.Cut(why, "evaluated: ")
			faults = append(faults, name+": "+why)
		}
		if got := strings.Join(faults, "; "); !strings.HasPrefix(got, tc.faults) || tc.faults == "" && got != "" {
			t.Errorf("slot %d: %q, want %q", n, got, tc.faults)
		}
	}
}

// A question is as far back as the group says, and what it gives stands at that time.
func TestOffset(t *testing.T) {
	r := newRig(t, load(t, "groups: [{name: g, query_offset: 1m, rules: [{record: r, expr: x}]}]", Options{}), nil)
	for n := range 6 {
		r.put(at(n), map[string]float64{"a": float64(n)})
	}
	r.turn(at(5))
	v, err := ask(r.store)(t.Context(), "r", at(3))
	if err != nil || len(v) != 1 || v[0].F != 3 {
		t.Error(v, err)
	}
}

// One rule that fails stops no other, and its alerts stay as they were.
func TestFailure(t *testing.T) {
	fail := false
	r := newRig(t, load(t, over1, Options{}), func(c *Config) {
		real := c.Query
		c.Query = func(ctx context.Context, q string, at time.Time) (promql.Vector, error) {
			if fail && strings.Contains(q, "> 1") {
				return nil, errors.New("no answer")
			}
			return real(ctx, q, at)
		}
	})
	for n := range 4 {
		r.put(at(n), map[string]float64{"a": 5})
		r.turn(at(n))
	}
	fail = true
	r.put(at(4), map[string]float64{"a": 0})
	r.turn(at(4))
	if got := r.is("A"); got != `firing{of="a"}` {
		t.Error(got)
	}
	if v, _ := ask(r.store)(t.Context(), "r", at(4)); len(v) != 1 || v[0].F != 0 {
		t.Error("the other rule was not evaluated", v)
	}
	if f := r.Faults(); len(f) != 1 || !strings.Contains(f[0], "rule A (group g of rules.yml) cannot be evaluated: no answer") {
		t.Error(f)
	}
}

// After a restart, and where another replica takes a group over, alerts go on from what was told of them.
func TestRestart(t *testing.T) {
	inTime(t, func(t *testing.T) {
		set := load(t, over1, Options{})
		one := newRig(t, set, nil)
		for n := range 4 {
			one.put(at(n), map[string]float64{"fires": 5, "ends": 5, "waits": map[bool]float64{n >= 3: 5}[true], "new": 0})
			one.turn(at(n))
		}
		if got := one.is("A"); got != `firing{of="ends"} firing{of="fires"} pending{of="waits"}` {
			t.Fatal(got)
		}
		for _, tc := range []struct {
			name string
			slot int
			late bool // the notes come after the first evaluation
			want string
		}{
			{"at once", 4, false, `firing{of="fires"} inactive{of="ends"} pending{of="new"} pending{of="waits"}`},
			{"two slots on", 5, false, `firing{of="fires"} firing{of="waits"} inactive{of="ends"} pending{of="new"}`},
			{"two hours on", 244, false, `pending{of="fires"} pending{of="new"} pending{of="waits"}`},
		} {
			two := newRig(t, set, nil)
			for _, n := range one.notes {
				two.Take(n)
			}
			two.put(at(tc.slot), map[string]float64{"fires": 5, "ends": 0, "waits": 5, "new": 5})
			two.turn(at(tc.slot))
			if got := two.is("A"); got != tc.want {
				t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
			}
		}
	})
}

// Of two rules of one name, as warnings and what is critical have it, each has its own alerts again after a restart; those of a rule that is no more are over.
func TestRestartOfOneName(t *testing.T) {
	const both = "groups: [{name: g, interval: 30s, rules: [{alert: A, expr: x > 1, labels: {severity: warning}}, {alert: A, expr: x > 3, labels: {severity: critical}}]}]"
	const changed = "groups: [{name: g, interval: 30s, rules: [{alert: A, expr: x > 1, labels: {severity: warning}}, {alert: B, expr: x > 3}]}]"
	inTime(t, func(t *testing.T) {
		one := newRig(t, load(t, both, Options{}), nil)
		one.put(at(0), map[string]float64{"a": 5})
		one.turn(at(0))
		for _, tc := range []struct{ rules, known, want string }{
			{both, `firing{of="a", severity="critical"} firing{of="a", severity="warning"}`, `inactive{of="a", severity="critical"} inactive{of="a", severity="warning"}`},
			{changed, `firing{of="a", severity="warning"}`, `inactive{of="a", severity="critical"} inactive{of="a", severity="warning"}`},
		} {
			two := newRig(t, load(t, tc.rules, Options{}), nil)
			for _, n := range one.notes {
				two.Take(n)
			}
			var known []string
			for _, a := range two.Active() {
				known = append(known, a.State+labels.NewBuilder(labels.FromMap(a.Labels)).Del("alertname").Labels().String())
			}
			slices.Sort(known)
			if got := strings.Join(known, " "); got != tc.known {
				t.Errorf("known before it is evaluated: %s, want %s", got, tc.known)
			}
			two.put(at(1), map[string]float64{"a": 0})
			two.turn(at(1))
			if got := two.is("A"); got != tc.want || len(two.Active()) != 0 {
				t.Errorf("%s, want %s; %d stand", got, tc.want, len(two.Active()))
			}
		}
	})
}

// A clock that is set back stops no rule, and ends no alert.
func TestClockSetBack(t *testing.T) {
	r := newRig(t, load(t, over1, Options{}), nil)
	g := r.groups["rules.yml;g"]
	if d := g.wait(t0.Add(time.Hour), t0); d != g.def.Interval {
		t.Errorf("it waits for %s", d)
	}
	now := promql.Vector{{Metric: labels.FromStrings("of", "a"), F: 5}}
	r.cfg.Query = func(context.Context, string, time.Time) (promql.Vector, error) { return slices.Clone(now), nil }
	for _, tc := range []struct {
		slot int
		want string
	}{{300, `pending{of="a"}`}, {302, `firing{of="a"}`}, {303, `firing{of="a"} pending{of="b"}`}, {1, `firing{of="a"} pending{of="b"}`}, {2, `firing{of="a"} pending{of="b"}`}, {3, `firing{of="a"} firing{of="b"}`}} {
		if tc.slot == 303 {
			now = append(now, promql.Sample{Metric: labels.FromStrings("of", "b"), F: 5})
		}
		r.turn(at(tc.slot))
		if got := r.is("A"); got != tc.want {
			t.Errorf("slot %d: %s, want %s", tc.slot, got, tc.want)
		}
	}
}

// A group that another replica has is evaluated there; here its alerts are as they were told.
func TestOwned(t *testing.T) {
	inTime(t, func(t *testing.T) {
		set := load(t, over1, Options{})
		mine := true
		r := newRig(t, set, func(c *Config) { c.Owns = func(string) bool { return mine } })
		other := newRig(t, set, nil)
		for n := range 4 {
			for _, x := range []*rig{r, other} {
				x.put(at(n), map[string]float64{"a": 5})
				x.turn(at(n))
			}
		}
		mine = false
		r.turn(at(4))
		if got := r.is("A"); got != "" {
			t.Errorf("it still tells of %s", got)
		}
		if v, _ := ask(r.store)(t.Context(), "ALERTS or r", at(4)); len(v) != 0 {
			t.Error("series go on", v)
		}
		known := r.known
		r.known = newWords()
		for _, n := range other.notes {
			r.Take(n)
		}
		if a := r.Active(); len(a) != 1 || a[0].State != dashboards.AlertFiring {
			t.Errorf("of the others: %+v", a)
		}
		r.known = known
		mine = true
		r.put(at(5), map[string]float64{"a": 5})
		r.turn(at(5))
		if got := r.is("A"); got != `firing{of="a"}` {
			t.Errorf("taken back: %s", got)
		}
	})
}

func TestWait(t *testing.T) {
	why := "history is being read"
	r := newRig(t, load(t, over1, Options{}), func(c *Config) { c.Wait = func(time.Duration) string { return why } })
	r.put(at(0), map[string]float64{"a": 5})
	r.turn(at(0))
	if got := r.is("A"); got != "" {
		t.Error(got)
	}
	why = ""
	r.turn(at(1))
	if got := r.is("A"); got != `pending{of="a"}` {
		t.Error(got)
	}
	why = "the feed is dead"
	r.put(at(20), map[string]float64{"a": 0})
	r.turn(at(20))
	if got := r.is("A"); got != `pending{of="a"}` {
		t.Error("it changed while nothing is known:", got)
	}
}

// A reload keeps what has not changed, rule by rule; alerts of rules that are no more are over.
func TestUpdate(t *testing.T) {
	r := newRig(t, load(t, over1, Options{}), nil)
	for n := range 4 {
		r.put(at(n), map[string]float64{"a": 5})
		r.turn(at(n))
	}
	key := "rules.yml;g"
	before := r.groups[key]
	r.Update(load(t, over1, Options{}))
	if r.groups[key] != before {
		t.Error("the same group was made anew")
	}
	more := strings.Replace(over1, "x > 1, for: 1m", "x > 2, for: 3m", 1)
	r.Update(load(t, more, Options{}))
	r.put(at(4), map[string]float64{"a": 5})
	r.turn(at(4))
	if got := r.is("A"); got != `pending{of="a"}` { // of a longer `for`, as Prometheus has it
		t.Error(got)
	}
	r.turn(at(7))
	if got := r.is("A"); got != `firing{of="a"}` {
		t.Error("it waits from the beginning:", got)
	}
	r.notes = nil
	r.Update(load(t, strings.Replace(more, "alert: A", "alert: B", 1), Options{}))
	if got := r.is("A"); got != `inactive{of="a"}` || len(r.notes) != 1 {
		t.Errorf("%s, %d notes", got, len(r.notes))
	}
	r.Update(&Set{})
	if v, _ := ask(r.store)(t.Context(), "r", time.Now()); len(v) != 0 {
		t.Error("series of a group that is no more go on", v)
	}
}

// Groups are evaluated each at its interval, in slots that a restart does not move; one that is slow misses some and holds up nobody.
func TestRun(t *testing.T) {
	set := load(t, "groups: [{name: fast, interval: 5s, rules: [{record: r, expr: fast}]}, {name: slow, interval: 2s, rules: [{record: r, expr: slow}]}, {name: stuck, interval: 10s, rules: [{record: r, expr: stuck}]}]", Options{})
	synctest.Test(t, func(t *testing.T) {
		asked := map[string][]time.Time{}
		ch := make(chan struct{}, 1)
		ch <- struct{}{}
		query := func(ctx context.Context, q string, at time.Time) (promql.Vector, error) {
			<-ch
			asked[q] = append(asked[q], at)
			ch <- struct{}{}
			switch q {
			case "slow":
				time.Sleep(5 * time.Second)
			case "stuck":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, nil
		}
		m, err := New(Config{Query: query, Timeout: 7 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		m.Update(set)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(100 * time.Second)
		synctest.Wait()
		<-ch
		for q, want := range map[string]int{"fast": 20, "slow": 17, "stuck": 10} {
			if n := len(asked[q]); n < want-1 || n > want+1 {
				t.Errorf("%s: %d times, want %d", q, n, want)
			}
			for i, at := range asked[q] {
				if i > 0 && at.Sub(asked[q][i-1])%(map[string]time.Duration{"fast": 5, "slow": 2, "stuck": 10}[q]*time.Second) != 0 {
					t.Errorf("%s was asked as of %s and %s", q, asked[q][i-1], at)
				}
			}
		}
		ch <- struct{}{}
		m.Update(set) // of the same: nothing is stopped
		begun := time.Now()
		m.Update(&Set{Groups: set.Groups[:1], Rules: 1}) // a stop does not wait for those that are stuck
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %s to stop", took)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestStore(t *testing.T) {
	s := NewStore(10 * time.Minute)
	for n := range 100 {
		if err := s.Append(labels.FromStrings("__name__", "a"), at(n).UnixMilli(), float64(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, values := s.Size(); values > 20+30 {
		t.Errorf("%d values of a window of 20", values)
	}
	for _, tc := range []struct {
		query string
		at    int
		want  string
	}{{"a", 99, "99"}, {"a", 200, ""}, {"count_over_time(a[2m])", 99, "4"}, {"a", 90, "90"}} {
		v, err := ask(s)(t.Context(), tc.query, at(tc.at))
		got := ""
		if len(v) == 1 {
			got = fmt.Sprint(v[0].F)
		}
		if err != nil || got != tc.want {
			t.Errorf("%s at %d: %s %v, want %s", tc.query, tc.at, got, err, tc.want)
		}
	}
	for n := range maxSeries + 1 {
		err := s.Append(labels.FromStrings("__name__", "b", "n", fmt.Sprint(n)), at(100).UnixMilli(), 1)
		if full := n >= maxSeries-1; (err != nil) != full {
			t.Fatal(n, err)
		}
	}
	if err := s.Append(labels.FromStrings("__name__", "c"), at(200).UnixMilli(), 1); err != nil { // all others have ended
		t.Error(err)
	}
	if n, values := s.Size(); n != 1 || values != 1 {
		t.Errorf("%d series, %d values", n, values)
	}
}

// However many alerts stand of rules that are taken away: all who were told of them hear that they are over.
func TestManyEnded(t *testing.T) {
	inTime(t, func(t *testing.T) {
		const each = 6000
		var many promql.Vector
		for n := range each {
			many = append(many, promql.Sample{Metric: labels.FromStrings("n", fmt.Sprint(n)), F: 2})
		}
		r := newRig(t, load(t, "groups: [{name: g, rules: [{alert: A, expr: x}, {alert: B, expr: x}]}]", Options{}), func(c *Config) {
			c.Query = func(context.Context, string, time.Time) (promql.Vector, error) { return slices.Clone(many), nil }
		})
		r.turn(at(0))
		r.Update(&Set{})
		over := 0
		for _, a := range r.Alerts() {
			if a.State == dashboards.AlertInactive {
				over++
			}
		}
		if over != 2*each {
			t.Errorf("%d of %d are over", over, 2*each)
		}
	})
}
