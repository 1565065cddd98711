package scrape

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	stdlog "log"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

const (
	goodTargets     = 1000
	goodInterval    = time.Second
	hostileInterval = 2 * time.Second
	hostileTimeout  = time.Second
	goodSamples     = 2 // of someStats

	// mayGrow is a fifth of what a collector with so many targets is allowed, 64 MB and 25 KB a target; eachGrows is what the pull of a bad target takes while it is under
	// way: a stack, a buffer, a connection. All of them are at it at once here.
	mayGrow   = (64e6 + goodTargets*25e3) / 5
	eachGrows = 64e3
)

// hostileLog is what became of every pull.
type hostileLog struct {
	mu   sync.Mutex
	good map[string][]time.Time    // slots of good pulls
	lost []string                  // what else became of good targets
	all  int64                     // pulls of good targets, ever
	bad  map[string]map[string]int // outcome and reason, by target
	took map[string]time.Duration  // the longest
}

func (l *hostileLog) Handle(s *collector.Snapshot) {
	defer s.Release()
	l.mu.Lock()
	defer l.mu.Unlock()
	name := s.Instance.Tags.Get("name")
	if name != "" {
		if l.bad[name] == nil {
			l.bad[name] = map[string]int{}
		}
		l.bad[name][s.Outcome.String()+": "+s.Reason]++
		l.took[name] = max(l.took[name], s.Took)
		if s.Outcome == collector.OK && len(s.Samples) == 0 {
			l.bad[name]["nothing in it"]++
		}
		return
	}
	if s.Outcome.Asked() {
		l.all++
	}
	if s.Outcome != collector.OK || len(s.Samples) != goodSamples {
		l.lost = append(l.lost, fmt.Sprintf("%s at %s: %s %s", s.Instance.Host, s.Slot.Format("05.000"), s.Outcome, s.Reason))
		return
	}
	l.good[s.Instance.Host] = append(l.good[s.Instance.Host], s.Slot)
}

func (l *hostileLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.good, l.lost, l.bad, l.took = map[string][]time.Time{}, nil, map[string]map[string]int{}, map[string]time.Duration{}
}

// faults is what good targets missed.
func (l *hostileLog) faults(good []Target, begin, until time.Time) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range l.lost {
		out = append(out, "a good target missed something: "+text)
	}
	for _, g := range good {
		slots, n := l.good[g.Host], 0
		for _, at := range slots {
			if at.After(begin) && at.Before(until) {
				n++
			}
		}
		// A slot may have begun just before, and not have ended just after.
		if want := int(until.Sub(begin) / goodInterval); n < want-1 {
			out = append(out, fmt.Sprintf("%s: %d slots of %d", g.Host, n, want))
		}
		for i := 1; i < len(slots); i++ {
			if d := slots[i].Sub(slots[i-1]); d != goodInterval {
				out = append(out, fmt.Sprintf("%s: %s from one slot to the next", g.Host, d))
			}
		}
	}
	return out
}

// judge is what was not right with a bad target.
func (l *hostileLog) judge(name string, h hostile) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	right, n := 0, 0
	for text, k := range l.bad[name] {
		n += k
		if strings.HasPrefix(text, h.want.String()+": ") && strings.Contains(text, h.reason) && len(text) <= maxReason+20 {
			right += k
		}
	}
	if h.turns {
		right += l.bad[name]["ok: "]
	}
	if right != n || n < 3 {
		out = append(out, fmt.Sprintf("%s: want %s %q, and it was %v", name, h.want, h.reason, l.bad[name]))
	}
	if took := l.took[name]; took > hostileTimeout+300*time.Millisecond {
		out = append(out, fmt.Sprintf("%s: took %s", name, took))
	}
	return out
}

// memory is what the process has of the system, and its goroutines: the most of each until stop is called.
func memory() (stop func() (bytes uint64, goroutines int)) {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	var most uint64
	routines := 0
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(s)
			most, routines = max(most, s[0].Value.Uint64()-s[1].Value.Uint64()), max(routines, runtime.NumGoroutine())
			select {
			case <-quit:
				return
			case <-tick.C:
			}
		}
	}()
	return func() (uint64, int) {
		close(quit)
		<-done
		return most, routines
	}
}

// Beside a thousand good targets, pulled each second, stand all bad ones at once, pulled every two. Each bad one has its outcome and a reason that names what is
// wrong; it costs its own timeout and no more bytes than its limit. The good ones miss nothing, and the process stays about as large as it was without. Where the machine does not
// run another process either, it says nothing about this one, and is asked again; where it still did not, what was missed is told only. How large the process becomes counts in any case.
func TestHostileFleet(t *testing.T) {
	stdlog.SetOutput(io.Discard) // where net/http tells of answers that nobody asked for
	defer stdlog.SetOutput(os.Stderr)
	w := startHostile(t, 0)
	list := hostiles()
	for i := range list {
		list[i].serve = nil // it is served elsewhere: what it says need not be kept here
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(w.CA) {
		t.Fatal("no authority")
	}
	job := func(name string, every, timeout time.Duration) *Job {
		j := &Job{Name: name, Interval: every, Timeout: timeout, BodyLimit: hostileLimit, NoServerInfo: true}
		j.Limits.Samples = hostileSamples
		return j
	}
	apps, bad, byHTTP, overTLS := job("apps", goodInterval, goodInterval), job("bad", hostileInterval, hostileTimeout), job("by net/http", hostileInterval, hostileTimeout), job("tls", hostileInterval, hostileTimeout)
	byHTTP.FollowRedirects = true
	overTLS.Scheme, overTLS.TLS = "https", &tls.Config{RootCAs: roots}
	target := func(j *Job, host, at, name string) Target {
		addr, port, err := discovery.SplitAddr(at)
		if err != nil {
			t.Fatal(err)
		}
		to := Target{Instance: discovery.Instance{Key: discovery.Key{Service: j.Name, Env: "prod", Host: host, Port: 80}, StatsHost: addr, StatsPort: port}, Job: j}
		if name != "" {
			to.Tags = discovery.TagsOf(map[string]string{"name": name})
		}
		return to
	}
	var good, all []Target
	for i := range goodTargets {
		good = append(good, target(apps, fmt.Sprintf("10.0.%d.%d", i/250, i%250), w.Good, ""))
	}
	all = slices.Clone(good)
	wants := map[string]hostile{}
	for _, h := range list {
		for _, j := range map[way][]*Job{both: {bad, byHTTP}, own: {bad}, tlsOnly: {overTLS}}[h.way] {
			one := h
			if j == byHTTP {
				one.want, one.reason = cmp.Or(h.byHTTP, h.want), cmp.Or(h.reasonByHTTP, h.reason)
			}
			name := h.name + ", " + j.Name
			wants[name] = one
			all = append(all, target(j, strings.ReplaceAll(h.name, " ", "-"), w.Bad[h.name], name))
		}
	}
	var faults, grown []string
	var stall time.Duration
	for range 3 {
		if faults, grown, stall = besideThem(t, w, good, all, wants); len(faults)+len(grown) == 0 || stall < noStall {
			break
		}
		t.Logf("%d faults such as %q, while the targets' process was not run, either, for %s: once more", len(faults)+len(grown), append(grown, faults...)[0], stall)
	}
	for _, f := range grown {
		t.Error(f)
	}
	for _, f := range faults[:min(len(faults), 30)] {
		if stall < noStall {
			t.Error(f)
		} else {
			t.Log(f)
		}
	}
}

// besideThem runs a pool over the good targets, and then over all, and says what went wrong, and what became too large; stall is how long the machine did not run the targets.
func besideThem(t *testing.T, w *hostileWorld, good, all []Target, wants map[string]hostile) (faults, grown []string, stall time.Duration) {
	log := &hostileLog{good: map[string][]time.Time{}, bad: map[string]map[string]int{}, took: map[string]time.Duration{}}
	p, err := New(Config{Handle: log.Handle})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	end := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	defer end()

	seconds := func(n int) {
		time.Sleep(time.Duration(n) * time.Second) // of a real clock: what is tested is what real sockets do to each other
	}
	before := w.report(t).Requests
	debug.FreeOSMemory()
	set(t, p, good)
	seconds(2)
	calm := memory()
	seconds(3)
	calmBytes, calmRoutines := calm()
	log.forget()
	storm := memory()
	begin := time.Now()
	set(t, p, all)
	seconds(8)
	until := time.Now()
	bytes, routines := storm()
	end()
	report := w.report(t)
	t.Logf("%.1f MB and %d goroutines calm, %.1f MB and %d with %d bad targets; the machine stood still for %s at most", float64(calmBytes)/1e6, calmRoutines, float64(bytes)/1e6, routines, len(all)-len(good), report.Stall)
	faults = log.faults(good, begin, until)
	if more := int64(bytes) - int64(calmBytes); more > mayGrow+int64(len(all)-len(good))*eachGrows {
		grown = append(grown, fmt.Sprintf("the process grew from %d to %d bytes", calmBytes, bytes))
	}
	if most := calmRoutines + 6*(len(all)-len(good)); routines > most {
		grown = append(grown, fmt.Sprintf("%d goroutines, %d in the calm", routines, calmRoutines))
	}
	for _, name := range slices.Sorted(maps.Keys(wants)) {
		faults = append(faults, log.judge(name, wants[name])...)
	}
	for name, n := range report.Written {
		if n > hostileLimit+16<<20 { // which both kernels' buffers hold
			faults = append(faults, fmt.Sprintf("%s: %d bytes were taken", name, n))
		}
	}
	if saw := report.Requests - before; len(faults)+len(grown) == 0 && log.all != saw {
		faults = append(faults, fmt.Sprintf("%d pulls of good targets, they saw %d", log.all, saw))
	}
	return faults, grown, report.Stall
}
