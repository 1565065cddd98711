package tag

import (
	"fmt"
	"math"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/enrich/geo"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// swapped is a database in which 20.0.0.0/24 to 20.0.3.0/24 have a country, in one of two ways.
type swapped struct {
	db     *geo.DB
	file   string
	images [2][]byte
	puts   int
	now    int
}

var countries = [2][4]string{{"US", "US", "AU", ""}, {"US", "GB", "AU", "AU"}}

func newSwapped(t testing.TB) *swapped {
	s := &swapped{file: filepath.Join(t.TempDir(), "geo.mmdb")}
	for n, cs := range countries {
		w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "test", BuildEpoch: t0.Unix()})
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range cs {
			if c == "" {
				continue
			}
			_, block, _ := net.ParseCIDR(fmt.Sprintf("20.0.%d.0/24", i))
			if err := w.Insert(block, mmdbtype.Map{"country_code": mmdbtype.String(c), "autonomous_system_number": mmdbtype.Uint32(7)}); err != nil {
				t.Fatal(err)
			}
		}
		var b strings.Builder
		if _, err := w.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		s.images[n] = []byte(b.String())
	}
	var err error
	if s.db, err = geo.New(geo.Config{City: []string{s.file}}); err != nil {
		t.Fatal(err)
	}
	s.put(t, 0)
	return s
}

func (s *swapped) put(t interface{ Fatal(...any) }, n int) {
	s.puts++
	s.now = n
	old := t0.Add(-time.Hour).Add(time.Duration(s.puts) * time.Millisecond)
	if err := os.WriteFile(s.file+".new", s.images[n], 0o644); err != nil {
		t.Fatal(err)
	}
	os.Chtimes(s.file+".new", old, old)
	if err := os.Rename(s.file+".new", s.file); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Load(); err != nil {
		t.Fatal(err)
	}
}

// cold does what a walk does, without remembering anything but the last good body of each instance: every sample goes through every rule, and counters are added up as
// big numbers.
type cold struct {
	c     *compiled
	last  map[discovery.Key]*coldBody
	limit int
	float map[int]bool // samples that came of numbers which are not whole, or beyond 2^64: right but for rounding
}

type coldBody struct {
	at     time.Time
	hash   string
	values map[string]*big.Rat // of counters, by series
	order  []string
	left   map[string]bool
	day    int64
	seen   map[string]bool // outputs that went on the wire today
	outs   map[string]string
}

func seriesOf(s *collector.Sample) string {
	return fmt.Sprintf("%q %q %d", s.Name, s.Labels, max(s.Kind, collector.Counter))
}

func (m *cold) enrich(s *collector.Snapshot) {
	if s.Outcome != collector.OK {
		return
	}
	p := m.c.of(s.Instance.Source)
	var target []collector.LabelPair
	if p.relabel != nil {
		target = p.relabel.of(s)
	}
	was := m.last[s.Instance.Key]
	now := &coldBody{at: s.Time, hash: p.digest, values: map[string]*big.Rat{}, left: map[string]bool{}, day: s.Time.Unix() / 86400, seen: map[string]bool{}, outs: map[string]string{}}
	first := was == nil || was.hash != p.digest
	if was == nil {
		was = &coldBody{hash: p.digest, day: now.day, seen: map[string]bool{}}
	}
	if was.day == now.day {
		now.seen = was.seen
	} else {
		for _, k := range was.order {
			if !was.left[k] && was.outs[k] != "" {
				now.seen[was.outs[k]] = true
			}
		}
		for _, k := range was.order {
			if was.left[k] && (now.seen[was.outs[k]] || len(now.seen) < m.limit) {
				was.left[k], now.seen[was.outs[k]] = false, true
			}
		}
	}
	type group struct {
		sum   *big.Rat
		of    fate
		float bool
	}
	m.float = map[int]bool{}
	groups := map[string]*group{}
	var order []*group
	var out []collector.Sample
	changed := false
	here := map[string]bool{}
	for _, smp := range s.Samples {
		k := seriesOf(&smp)
		f := p.fate(&smp, target, m.c.cfg.Geo)
		again := here[k]
		here[k] = true
		outName := ""
		switch f.do {
		case keep:
			outName = k
		case rename:
			outName = fmt.Sprintf("r%q %q %d", f.name, f.labels, max(smp.Kind, collector.Counter))
		case add:
			outName = fmt.Sprintf("s%q %q", f.name, f.labels)
		}
		if !again {
			now.order = append(now.order, k)
			now.outs[k] = outName
			if old, ok := was.outs[k]; ok && old != "" {
				now.left[k] = was.left[k]
			} else if m.limit > 0 && outName != "" {
				if now.seen[outName] || len(now.seen) < m.limit {
					now.seen[outName] = true
				} else {
					now.left[k] = true
				}
			}
		}
		v, isNumber := rat(smp.Value)
		if now.left[k] {
			s.LeftOut++
			if f.do == add && !again {
				now.values[k] = was.values[k]
				if isNumber {
					now.values[k] = v
				}
			}
			continue
		}
		switch f.do {
		case keep:
			out = append(out, smp)
			continue
		case rename:
			smp.Name, smp.Labels = f.name, f.labels
			out = append(out, smp)
		case add:
			if again {
				s.Duplicates++
				break
			}
			_, there := was.outs[k]
			before := was.values[k]
			now.values[k] = before
			if !isNumber {
				s.Nonfinite++
				break
			}
			now.values[k] = v
			if smp.Kind == collector.Untyped && !f.counter {
				break
			}
			g := groups[outName]
			if g == nil {
				g = &group{sum: new(big.Rat), of: f}
				groups[outName] = g
				order = append(order, g)
			}
			if first {
				break
			}
			zero := new(big.Rat)
			for _, n := range []*big.Rat{v, before} {
				g.float = g.float || n != nil && (!n.IsInt() || n.Num().BitLen() > 64 || n.Sign() < 0)
			}
			low := func(r *big.Rat) *big.Rat {
				if r.Cmp(zero) < 0 {
					return zero
				}
				return r
			}
			switch v = low(v); {
			case before == nil && there:
			case before == nil:
				g.sum.Add(g.sum, v)
			case v.Cmp(low(before)) >= 0:
				g.sum.Add(g.sum, new(big.Rat).Sub(v, low(before)))
			default:
				g.sum.Add(g.sum, v)
			}
		}
		changed = true
	}
	if !first {
		for _, g := range order {
			text := g.sum.FloatString(0)
			if !g.sum.IsInt() {
				f, _ := g.sum.Float64()
				text = strconv.FormatFloat(f, 'f', -1, 64)
			}
			m.float[len(out)] = g.float
			out = append(out, collector.Sample{Name: g.of.name, Labels: g.of.labels, Kind: collector.Delta, Value: text, Since: s.Time.Sub(was.at)})
		}
	}
	s.Samples = out
	if changed {
		s.RulesHash = m.c.hash
	}
	m.last[s.Instance.Key] = now
}

func rat(s string) (*big.Rat, bool) {
	if _, err := strconv.ParseFloat(s, 64); err != nil || s == "NaN" {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// bytesOf is a snapshot on the wire.
func bytesOf(s *collector.Snapshot) string {
	return string(wire.AppendSnapshot(nil, s, wire.ID{}, wire.Provenance{}))
}

var walkRules = [][]Rule{
	nil,
	{{Name: `h/(?P<ip>[0-9.]+)/(?P<name>.+)`, Lookup: &Lookup{From: "ip"}, Drop: []string{"ip"}}, {Label: "ip", Lookup: &Lookup{}, Drop: []string{"ip"}, Counter: true}},
	{{Name: `h/(?P<ip>[0-9.]+)/(?P<name>.+)`, Lookup: &Lookup{From: "ip"}}, {Name: `c/(?P<n>\d)`, Drop: []string{"n"}}},
}

var walkRelabel = []map[string][]Relabel{
	nil,
	{"apps": {{SourceLabels: []string{"__name__"}, Regex: ptr("go_.*"), Action: "drop"}}},
	{"apps": {{SourceLabels: []string{"team"}, Regex: ptr("(.+)"), TargetLabel: "squad"}, {SourceLabels: []string{"__name__", "code"}, Regex: ptr("go_0;5.*"), Action: "drop"}, {Regex: ptr("pid"), Action: "labeldrop"}}},
}

var walkValues = []string{"0", "1", "7", "12", "9007199254740993", "18446744073709551615", "1e30", "0.5", "2.25", "1e3", "-3", "NaN", "nonsense"}

// anySample draws a series from few, so that bodies meet them again.
func anySample(t *rapid.T) collector.Sample {
	n := rapid.IntRange(0, 3).Draw(t, "n")
	s := collector.Sample{Kind: rapid.SampledFrom([]collector.Kind{collector.Counter, collector.Counter, collector.Untyped, collector.Gauge}).Draw(t, "kind"), Value: rapid.SampledFrom(walkValues).Draw(t, "value")}
	switch rapid.IntRange(0, 5).Draw(t, "form") {
	case 0:
		s.Name = fmt.Sprintf("go_%d", n)
	case 1:
		s.Name = fmt.Sprintf("h/20.0.%d.%d/errors", n, rapid.IntRange(1, 2).Draw(t, "host"))
	case 2:
		s.Name, s.Labels = "x", pairs("code", fmt.Sprint(200+n), "ip", fmt.Sprintf("20.0.%d.1", n))
	case 3:
		s.Name, s.Labels = "go_0", pairs("code", []string{"200", "500"}[n%2], "pid", fmt.Sprint(n))
	case 4:
		s.Name = fmt.Sprintf("c/%d", n)
	default:
		s.Name = fmt.Sprintf("plain/%d", n)
	}
	return s
}

// nextBody is a body after another: mostly the same series with other values, in the same order.
func nextBody(t *rapid.T, was []collector.Sample) []collector.Sample {
	now := slices.Clone(was)
	for i := range now {
		if rapid.IntRange(0, 2).Draw(t, "changes") == 0 {
			now[i].Value = rapid.SampledFrom(walkValues).Draw(t, "value")
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "edits") {
		at := rapid.IntRange(0, len(now)).Draw(t, "at")
		switch what := rapid.IntRange(0, 5).Draw(t, "edit"); {
		case what <= 1 || len(now) == 0:
			now = slices.Insert(now, at, anySample(t))
		case what == 2:
			at %= len(now)
			now = slices.Delete(now, at, at+1)
		case what == 3:
			slices.Reverse(now[at:])
		case what == 4:
			now[at%len(now)] = anySample(t)
		default: // twice
			now = append(now, now[at%len(now)])
		}
	}
	return now
}

// own gives a body's samples texts that are overwritten when the snapshot is done with, as the scrape's are.
func own(samples []collector.Sample) (out []collector.Sample, release func()) {
	var all [][]byte
	text := func(s string) string {
		b := []byte(s)
		all = append(all, b)
		return unsafeString(b)
	}
	for _, s := range samples {
		s.Name, s.Value = text(s.Name), text(s.Value)
		ls := s.Labels
		s.Labels = nil
		for _, l := range ls {
			s.Labels = append(s.Labels, collector.LabelPair{Name: text(l.Name), Value: text(l.Value)})
		}
		out = append(out, s)
	}
	return out, func() {
		for _, b := range all {
			for i := range b {
				b[i] = '#'
			}
		}
	}
}

// What is remembered changes nothing: an Enricher makes the same bytes as one that looks everything up and remembers the numbers of the last body only, over whatever
// happens to bodies, rules, databases, tags and instances between two scrapes.
func checkWalk(db *swapped, limit int) func(t *rapid.T) {
	return func(t *rapid.T) {
		rules := rapid.IntRange(0, 2)
		cfg := Config{Rules: walkRules[rules.Draw(t, "rules")], MetricRelabel: walkRelabel[rules.Draw(t, "relabelling")], Geo: db.db, Limits: Limits{Target: limit}, NoTracks: true}
		if limit > 0 {
			cfg.MetricRelabel = walkRelabel[min(1, rules.Draw(t, "relabelling under limits"))]
		}
		if db.now != 0 {
			db.put(t, 0)
		}
		e, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		m := &cold{c: e.cur.Load(), last: map[discovery.Key]*coldBody{}, limit: limit}
		var bodies [3][]collector.Sample
		teams := []string{"pay", "pay", "ops"}
		at := t0
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second)
			n := rapid.IntRange(0, 2).Draw(t, "instance")
			inst := checkout
			inst.Port = uint16(n + 1)
			outcome := collector.OK
			switch rapid.IntRange(0, 15).Draw(t, "what") {
			case 0:
				outcome = collector.Timeout
			case 1:
				e.Forget(inst.Key)
				delete(m.last, inst.Key)
			case 2:
				if limit == 0 {
					db.put(t, 1-db.now)
				}
			case 3:
				if limit == 0 {
					cfg.Rules, cfg.MetricRelabel = walkRules[rules.Draw(t, "rules")], walkRelabel[rules.Draw(t, "relabelling")]
					if err := e.Update(cfg); err != nil {
						t.Fatal(err)
					}
					m.c = e.cur.Load()
				}
			case 4:
				teams[n] = rapid.SampledFrom([]string{"pay", "ops", ""}).Draw(t, "team")
			case 5:
				at = at.Add(24 * time.Hour)
			case 6:
				e.states.sweep(at.Add(time.Hour), time.Minute)
				clear(m.last)
			}
			bodies[n] = nextBody(t, bodies[n])
			inst.Tags = discovery.TagsOf(map[string]string{"team": teams[n]})
			snap := func(samples []collector.Sample) *collector.Snapshot {
				return &collector.Snapshot{Instance: inst, Time: at, Interval: 10 * time.Second, Outcome: outcome, Samples: samples, Tags: inst.Tags}
			}
			samples, release := own(bodies[n])
			if outcome != collector.OK {
				samples = nil
			}
			got, want := snap(samples), snap(slices.Clone(bodies[n]))
			if e.Enrich(got); got.GeoBuild != "" {
				want.GeoBuild = got.GeoBuild
			}
			m.enrich(want)
			for i := range m.float {
				if i >= len(got.Samples) || !m.float[i] {
					continue
				}
				a, errA := got.Samples[i].Float()
				b, errB := want.Samples[i].Float()
				if errA == nil && errB == nil && math.Abs(a-b) <= 1e-12*math.Abs(b) {
					got.Samples[i].Value = want.Samples[i].Value
				}
			}
			if g, w := bytesOf(got), bytesOf(want); g != w {
				t.Fatalf("got  %s\nwant %s", g, w)
			}
			release()
		}
		for n := range bodies {
			k := checkout.Key
			k.Port = uint16(n + 1)
			e.Forget(k)
		}
		if st := e.Status(); st.StateBytes != 0 || st.Instances != 0 || len(e.library.services) != 0 {
			t.Fatalf("something is left: %+v", st)
		}
	}
}

func TestWalkIsAsCold(t *testing.T) { rapid.Check(t, checkWalk(newSwapped(t), 0)) }

func TestWalkUnderALimitIsAsCold(t *testing.T) { rapid.Check(t, checkWalk(newSwapped(t), 6)) }

func FuzzWalk(f *testing.F) {
	db := newSwapped(f)
	plain, limited := rapid.MakeFuzz(checkWalk(db, 0)), rapid.MakeFuzz(checkWalk(db, 6))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 0 && b[0]&1 == 1 {
			limited(t, b)
		} else {
			plain(t, b)
		}
	})
}

func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
