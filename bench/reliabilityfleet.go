package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// answering is a fleet that numbers its answers and keeps when each was given, so that every one of them can be looked for in the topics.
type answering struct {
	numbers int
	places  []netip.AddrPort
	index   map[string]int // by host:port
	server  *http.Server

	mu     sync.Mutex
	given  [][]time.Time // by instance: when its answers 1, 2, … were given
	silent atomic.Bool   // it does not answer any more
}

// answerName is the counter that numbers the answers.
const answerName = "answers"

// newAnswering listens, each instance on a port of its own.
func newAnswering(ctx context.Context, network byte, instances, numbers int) (*answering, error) {
	f := &answering{numbers: numbers, index: map[string]int{}, given: make([][]time.Time, instances)}
	f.server = &http.Server{Handler: http.HandlerFunc(f.answer), ReadHeaderTimeout: time.Minute}
	for i := range instances {
		at := endpoint(int(network), i)
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.String())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("fleet: instance %d: %w", i+1, err), f.server.Close())
		}
		f.places = append(f.places, at)
		f.index[at.String()] = i
		go func() { _ = f.server.Serve(l) }() // ends with the server
	}
	return f, nil
}

func (f *answering) answer(w http.ResponseWriter, r *http.Request) {
	addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	i, ok := f.index[addr.String()]
	if !ok || r.URL.Path != "/stats.json" || f.silent.Load() {
		http.NotFound(w, r)
		return
	}
	f.mu.Lock()
	n := len(f.given[i]) + 1
	f.given[i] = append(f.given[i], time.Now())
	f.mu.Unlock()
	b := append(make([]byte, 0, 40*f.numbers), `{"counters":{"`+answerName+`":`...)
	b = strconv.AppendInt(b, int64(n), 10)
	for k := 1; k < f.numbers; k++ {
		b = append(b, `,"requests/handler_`...)
		b = strconv.AppendInt(b, int64(k), 10)
		b = append(b, `":`...)
		b = strconv.AppendInt(b, int64(n*k*(i+7)%1_000_003), 10)
	}
	b = append(b, "}}"...)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // who is not there to read it has been killed, and the answer is looked for all the same
	_ = http.NewResponseController(w).Flush()
	f.mu.Lock()
	defer f.mu.Unlock()
	if n <= len(f.given[i]) { // else it began to number anew meanwhile
		f.given[i][n-1] = time.Now()
	}
}

// reset begins to number anew.
func (f *answering) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent.Store(false)
	f.given = make([][]time.Time, len(f.given))
}

// answers is when each answer was given, by instance.
func (f *answering) answers() [][]time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([][]time.Time, len(f.given))
	for i, g := range f.given {
		out[i] = append([]time.Time(nil), g...)
	}
	return out
}

// groups are the fleet's targets: five instances a service.
func (f *answering) groups() (out []targetGroup) {
	for i, at := range f.places {
		if i%5 == 0 {
			out = append(out, targetGroup{Labels: map[string]string{"service": fmt.Sprintf("service-%03d", i/5), "env": fleetEnv}})
		}
		g := &out[len(out)-1]
		g.Targets = append(g.Targets, at.String())
	}
	return out
}

func (f *answering) close() { _ = f.server.Close() } // its listeners end, which is all that is wanted
