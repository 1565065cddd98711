package web

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/canary"
	"github.com/rollcall-metrics/rollcall/dashboards/detect"
	"github.com/rollcall-metrics/rollcall/dashboards/past"
)

const (
	// maxCanaries bounds the verdicts of one look at all services, lookEvery how often they are made anew, whoever asks.
	maxCanaries = 60
	lookEvery   = 5 * time.Second
	// maxOnHost bounds how many instances on one host are shown, maxLinesOnHost of how many there are lines.
	maxOnHost, maxLinesOnHost = 2000, 200
)

// verdicts are the newest answers about canaries, by environment: a hundred pages cost as much as one, and those of one environment wait for none of another.
type verdicts struct {
	mu sync.Mutex
	of map[string]*verdictsOf
}

type verdictsOf struct {
	turn chan struct{} // whoever has put something in may touch the rest
	last *canaries
	made time.Time
}

type canaries struct {
	AsOf     int64            `json:"as_of"`
	Canaries []*canary.Answer `json:"canaries"` // those that fail first
	LeftOut  int              `json:"left_out"` // services with cohorts beyond the bound
}

var gravity = map[canary.Verdict]int{canary.Fail: 0, canary.Hold: 1, canary.Pass: 2}

// maxVerdicts bounds the environments that are remembered: a page may ask for any name.
const maxVerdicts = 100

func (v *verdicts) env(name string) *verdictsOf {
	v.mu.Lock()
	defer v.mu.Unlock()
	of := v.of[name]
	if of == nil {
		if v.of == nil || len(v.of) >= maxVerdicts {
			v.of = map[string]*verdictsOf{}
		}
		of = &verdictsOf{turn: make(chan struct{}, 1)}
		v.of[name] = of
	}
	return of
}

// canaries is a verdict on every pair of cohorts of an environment.
func (s *Server) canaries(r *http.Request) (any, error) {
	env, err := param(r, "env")
	if err != nil {
		return nil, err
	}
	if f := s.cfg.Board.Feed(); f.State != dashboards.FeedLive {
		return nil, &problem{http.StatusServiceUnavailable, "nothing can be judged now: the feed is " + string(f.State)}
	}
	of := s.verdicts.env(env)
	select {
	case of.turn <- struct{}{}:
		defer func() { <-of.turn }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if of.last != nil && time.Since(of.made) < lookEvery {
		return of.last, nil
	}
	// Only who makes them anew takes a place: those who wait for that one do not keep others from theirs.
	if err := s.gate.Enter(r.Context()); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	of.last, of.made = s.judge(env), time.Now()
	return of.last, nil
}

func (s *Server) judge(env string) *canaries {
	board := s.cfg.Board
	now := board.AsOf()
	out := &canaries{AsOf: now.UnixMilli(), Canaries: []*canary.Answer{}}
	for _, n := range board.Names() {
		if env != "" && n[1] != env {
			continue
		}
		traces, _ := board.Traces(n[0], n[1], now, now)
		if c := canary.Form(traces, ""); traces == nil || c.Reason != "" {
			continue
		}
		if len(out.Canaries) == maxCanaries {
			out.LeftOut++
			continue
		}
		q := canary.Ask{Service: n[0], Env: n[1]}
		q.Measures, q.Warmup = s.judgedBy(n[0], n[1])
		a, err := canary.Judge(board, q)
		if err != nil {
			continue // it left between the two looks
		}
		out.Canaries = append(out.Canaries, a)
	}
	slices.SortStableFunc(out.Canaries, func(a, b *canary.Answer) int {
		return cmp.Or(gravity[a.Verdict]-gravity[b.Verdict], strings.Compare(a.Service, b.Service), strings.Compare(a.Env, b.Env))
	})
	return out
}

// thrown is one class of exceptions, or one thing that may run full.
type thrown struct {
	Name  string          `json:"name"`
	Now   dashboards.Num  `json:"now"`   // a second; or the share used, or how much waits
	Usual dashboards.Num  `json:"usual"` // the median of the ticks before the newest three
	First *int64          `json:"first"` // Unix ms of its first time, where the service was watched then
	Line  dashboards.Nums `json:"line"`  // tick by tick, the newest last
}

// exceptions is what stands beside a service's golden signals: exceptions by class, and what runs full or waits.
func (s *Server) exceptions(r *http.Request) (any, error) {
	var service, env string
	if err := params(r, map[string]*string{"service": &service, "env": &env}); err != nil {
		return nil, err
	}
	env, err := s.envOf(service, env)
	if err != nil {
		return nil, err
	}
	sig := s.cfg.Board.Signals(service, env, 120)
	if sig == nil {
		return nil, dashboards.ErrNoService
	}
	out := struct {
		AsOf       int64    `json:"as_of"`
		Of         string   `json:"of"` // n of m instances answer
		StepMS     int64    `json:"step_ms"`
		To         int64    `json:"to"` // the end of every line
		Exceptions []thrown `json:"exceptions"`
		Uses       []thrown `json:"uses"`
		Queues     []thrown `json:"queues"`
	}{s.cfg.Board.AsOf().UnixMilli(), fmt.Sprintf("%d of %d instances", sig.AnsweringNow, sig.Expected), sig.Width.Milliseconds(), sig.Newest.Add(sig.Width).UnixMilli(), []thrown{}, []thrown{}, []thrown{}}
	for _, l := range sig.Beside {
		t := thrown{Name: l.Name, Line: make(dashboards.Nums, len(l.Values))}
		for i, v := range l.Values {
			t.Line[i] = dashboards.Num(v)
		}
		k := max(len(l.Values)-3, 0)
		t.Now, t.Usual = dashboards.Num(mean(l.Values[k:])), dashboards.Num(middle(l.Values[:k]))
		if l.First >= 0 {
			at := sig.Newest.Add(-time.Duration(l.First) * sig.Width).UnixMilli()
			t.First = &at
		}
		switch l.Kind {
		case dashboards.SideException:
			out.Exceptions = append(out.Exceptions, t)
		case dashboards.SideUse:
			out.Uses = append(out.Uses, t)
		case dashboards.SideQueue:
			out.Queues = append(out.Queues, t)
		}
	}
	for _, all := range [][]thrown{out.Exceptions, out.Uses, out.Queues} {
		slices.SortStableFunc(all, func(a, b thrown) int {
			return cmp.Or(cmp.Compare(orLess(b.Now), orLess(a.Now)), strings.Compare(a.Name, b.Name))
		})
	}
	return out, nil
}

// orLess sorts what is not known last.
func orLess(n dashboards.Num) float64 {
	if !n.Known() {
		return -1
	}
	return float64(n)
}

func mean(v []float64) float64 {
	sum, n := 0.0, 0.0
	for _, x := range v {
		if !math.IsNaN(x) {
			sum, n = sum+x, n+1
		}
	}
	return sum / n // of none: not known
}

func middle(v []float64) float64 {
	v = slices.DeleteFunc(slices.Clone(v), math.IsNaN)
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// onHost is one instance with the service that it is of.
type onHost struct {
	Service string `json:"service"`
	Env     string `json:"env"`
	dashboards.Instance
	Usual dashboards.Usual  `json:"usual"` // of its service
	Lines *dashboards.Lines `json:"lines,omitempty"`
}

// host is every instance on one host, side by side.
func (s *Server) host(r *http.Request) (any, error) {
	var host, env string
	if err := params(r, map[string]*string{"host": &host, "env": &env}); err != nil {
		return nil, err
	}
	if host == "" {
		return nil, badRequest("say which one: host=NAME, the name or the address of a machine")
	}
	isOn := func(name, instance string) bool {
		return name == host || addressOf(instance) == host
	}
	board := s.cfg.Board
	var services [][2]string
	board.Roster(func(l *dashboards.RosterLine) bool {
		if n := [2]string{l.Service, l.Env}; (env == "" || l.Env == env) && isOn(l.Tags[dashboards.TagHost], l.Instance) && !slices.Contains(services, n) {
			services = append(services, n)
		}
		return false
	})
	out := struct {
		AsOf      int64    `json:"as_of"`
		Host      string   `json:"host"`
		Instances []onHost `json:"instances"`
	}{board.AsOf().UnixMilli(), host, []onHost{}}
	for _, n := range services {
		d := board.Detail(n[0], n[1])
		if d == nil {
			continue
		}
		from := len(out.Instances)
		var names []string
		for _, in := range d.Instances {
			if isOn(in.Host, in.Instance) && len(out.Instances) < maxOnHost {
				out.Instances = append(out.Instances, onHost{Service: n[0], Env: n[1], Instance: in, Usual: d.Usual})
				names = append(names, in.Instance)
			}
		}
		lines := board.LinesOf(n[0], n[1], names[:min(len(names), max(maxLinesOnHost-from, 0))])
		for i := range out.Instances[from:] {
			in := &out.Instances[from+i]
			in.Lines = lines[in.Instance.Instance]
		}
	}
	if len(out.Instances) == 0 {
		return nil, s.noHost(host)
	}
	slices.SortFunc(out.Instances, func(a, b onHost) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Env, b.Env), strings.Compare(a.Instance.Instance, b.Instance.Instance))
	})
	return out, nil
}

// difference is one signal over a span, beside the time before.
type difference struct {
	Metric  string         `json:"metric"`
	Was     dashboards.Num `json:"was"`
	Is      dashboards.Num `json:"is"`
	Worse   bool           `json:"worse"`   // than it was: where is looked for only then
	Only    string         `json:"only"`    // where it is
	Cleared []string       `json:"cleared"` // what is close to it and not part of it
	Share   dashboards.Num `json:"share"`   // of the excess that is there
}

// minSpan is the shortest span that can be compared.
const minSpan = 5 * time.Second

// different says where a service did worse in a span than in the time before it, and what else changed when it began.
func (s *Server) different(r *http.Request) (any, error) {
	var service, env, signal string
	if err := params(r, map[string]*string{"service": &service, "env": &env, "signal": &signal}); err != nil {
		return nil, err
	}
	from, err := millis(r, "from")
	if err != nil {
		return nil, err
	}
	to, err := millis(r, "to")
	if err != nil {
		return nil, err
	}
	if env, err = s.envOf(service, env); err != nil {
		return nil, err
	}
	signals := []string{"errors", "latency", "rate"}
	if signal != "" {
		if !slices.Contains(signals, signal) {
			return nil, badRequest("signal=%q: use errors, latency or rate, or leave it out", clip(signal))
		}
		signals = []string{signal}
	}
	if to.Sub(from) < minSpan || from.IsZero() {
		return nil, badRequest("say which time: from and to in Unix milliseconds, %s apart at least", minSpan)
	}
	// As long a time before, and two minutes at least: a short span is compared with more than chance, and not with trouble before it.
	length := max(to.Sub(from), 2*time.Minute)
	end := s.cfg.Board.Calm(service, env, from, length)
	old, err := s.lookBack(r, service, env, end.Add(-length), from, to)
	if err != nil {
		return nil, err
	}
	return s.inTurn(r, func() (any, error) { return s.differs(service, env, end.Add(-length), end, from, to, signals, old) })
}

// differs answers different, from what was read back where that is any.
func (s *Server) differs(service, env string, begin, end, from, to time.Time, signals []string, old *past.Window) (any, error) {
	board, changes := s.cfg.Board, s.cfg.Board.Changes(service, env, from, to, mostChanges)
	var back *past.Back
	if old != nil {
		is := old.Back(begin, to)
		if back = &is; old.Board != nil && len(old.Board.Names()) > 0 {
			board, changes = old.Board, movedToo(changes, old.Board.Changes(service, env, from, to, mostChanges))
		}
	}
	beside := func(byLabel bool) []dashboards.Leaf {
		if end.Equal(from) {
			return board.Leaves(service, env, begin, from, to, byLabel)
		}
		return board.LeavesApart(service, env, begin, end, from, to, byLabel)
	}
	leaves := beside(false)
	if leaves == nil && board.Signals(service, env, 1) == nil {
		return nil, dashboards.ErrNoService
	}
	of := fmt.Sprintf("%d of %d instances", len(leaves), len(leaves))
	if sig := board.Signals(service, env, 1); sig != nil {
		of = fmt.Sprintf("%d of %d instances", len(leaves), max(sig.Expected, len(leaves)))
	}
	labelled := beside(true)
	out := struct {
		AsOf        int64               `json:"as_of"`
		Of          string              `json:"of"` // n of m instances did anything in either
		From        int64               `json:"from"`
		To          int64               `json:"to"`
		Before      int64               `json:"before"`    // what it is compared with begins here,
		BeforeTo    int64               `json:"before_to"` // and ends here: from, or earlier where there was trouble
		Instances   int                 `json:"instances"`
		Differences []difference        `json:"differences"`
		Changes     []dashboards.Change `json:"changes"`
		ReadBack    *past.Back          `json:"read_back,omitempty"` // where the Board does not hold what is asked about
	}{s.cfg.Board.AsOf().UnixMilli(), of, from.UnixMilli(), to.UnixMilli(), begin.UnixMilli(), end.UnixMilli(), len(leaves), []difference{}, changes, back}
	for _, m := range signals {
		was, is := levels(m, leaves)
		d := difference{Metric: m, Was: dashboards.Num(was), Is: dashboards.Num(is), Cleared: []string{}, Worse: worsened(m, was, is), Share: dashboards.Num(math.NaN())}
		if d.Worse {
			p := detect.Locate(m, leaves, labelled)
			d.Only, d.Share = p.Words(m), dashboards.Num(p.Share)
			d.Cleared = append(d.Cleared, p.Cleared...)
			if d.Only == "" {
				d.Share = dashboards.Num(math.NaN())
			}
		}
		out.Differences = append(out.Differences, d)
	}
	if out.Changes == nil {
		out.Changes = []dashboards.Change{}
	}
	return out, nil
}

// worsened leaves out what any two windows differ by: a twentieth, of errors a tenth and one request in two thousand.
func worsened(metric string, was, is float64) bool {
	switch metric {
	case "errors":
		return is > 1.1*was && is-was > 0.0005
	case "rate":
		return is < 0.95*was
	}
	return is > 1.05*was
}

// levels is a signal of all leaves together, before and after.
func levels(metric string, leaves []dashboards.Leaf) (was, is float64) {
	var x, n [2]float64
	for i := range leaves {
		for k, side := range [2]*dashboards.Sums{&leaves[i].Before, &leaves[i].After} {
			switch metric {
			case "errors":
				x[k], n[k] = x[k]+side.Errors, n[k]+side.Requests
			case "latency":
				if !math.IsNaN(side.Latency) && side.Requests > 0 {
					x[k], n[k] = x[k]+side.Latency*side.Requests, n[k]+side.Requests
				}
			case "rate":
				if side.Seconds > 0 {
					x[k], n[k] = x[k]+side.Requests/side.Seconds, 1
				}
			}
		}
	}
	return x[0] / n[0], x[1] / n[1]
}
