package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// What is to be reached.
const (
	mostLag  = time.Second     // p99, from a scrape until a record's numbers are in every answer
	mostLive = 5 * time.Second // from the start of the program
	// What was reached when this was written, with some room: whoever passes it has made it worse.
	leastBytes, mostBytes = 96 << 20, 900 // resident: whatever there is, and a series with an hour of it
	leastCPU, mostCPU     = .03, 1.0      // of a core, whatever there is; µs a number
)

// serveFigures are what a server did within a window.
type serveFigures struct {
	window    time.Duration
	cpu       time.Duration
	records   uint64
	rss, peak uint64
	live      uint64 // bytes of the heap after a collection
	board     uint64 // bytes by its own account
	lag       lags
}

func (f serveFigures) perNumber(numbers int) float64 {
	return f.cpu.Seconds() * 1e6 / float64(max(1, f.records)) / float64(numbers)
}

// observe measures a server for a window.
func (b *serveBench) observe(ctx context.Context, r *replica, profile string) (f serveFigures, err error) {
	before, err := r.metricsOf(ctx)
	if err != nil {
		return f, err
	}
	was, err := r.status(ctx)
	if err != nil {
		return f, err
	}
	began := time.Now()
	cpuWas, err := cpuOf(r.pid())
	if err != nil {
		return f, err
	}
	for end := began.Add(b.window); time.Now().Before(end); {
		if err := sleep(ctx, min(250*time.Millisecond, time.Until(end))); err != nil {
			return f, err
		}
		now, err := memoryOf(strconv.Itoa(r.pid()), "VmRSS")
		if err != nil {
			return f, err
		}
		f.rss = max(f.rss, now)
	}
	cpuNow, err := cpuOf(r.pid())
	if err != nil {
		return f, err
	}
	f.window, f.cpu = time.Since(began), cpuNow-cpuWas
	is, err := r.status(ctx)
	if err != nil {
		return f, err
	}
	after, err := r.metricsOf(ctx)
	if err != nil {
		return f, err
	}
	if f.peak, err = memoryOf(strconv.Itoa(r.pid()), "VmHWM"); err != nil {
		return f, err
	}
	f.records, f.board, f.lag = is.Board.Seen-was.Board.Seen, is.Board.Bytes, lagBetween(before, after)
	if _, err := r.get(ctx, "/debug/pprof/heap?gc=1"); err != nil {
		return f, err
	}
	collected, err := r.metricsOf(ctx)
	if err != nil {
		return f, err
	}
	f.live = uint64(collected["go_memstats_heap_alloc_bytes"])
	if profile != "" {
		for name, path := range map[string]string{"cpu": "/debug/pprof/profile?seconds=15", "heap": "/debug/pprof/heap"} {
			p, err := r.get(ctx, path)
			if err == nil {
				err = os.WriteFile(profile+name+".pprof", p, 0o600)
			}
			if err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

// settle waits until a server makes roll-ups of the present only: those of the past, which nobody has made before the first server, are made bit by bit.
func (b *serveBench) settle(ctx context.Context, r *replica) (time.Duration, error) {
	over := min(3*time.Second, b.interval)
	usual := float64(b.services) // each says something every ten seconds; they take turns, and not evenly
	return r.until(ctx, r.began, 15*time.Minute, "the past is rolled up", func() (bool, error) {
		was, err := r.metricsOf(ctx)
		if err != nil {
			return false, err
		}
		if err := sleep(ctx, over); err != nil {
			return false, err
		}
		is, err := r.metricsOf(ctx)
		const rolled = "rollcall_publish_records_total"
		return err == nil && is[rolled]-was[rolled] <= usual, err
	})
}

// probe asks, as anybody would, for what instances said last, just before they are scraped again, and gives how long after each scrape it was told. Some are looked at at a time.
func (b *serveBench) probe(ctx context.Context, r *replica, d time.Duration) (lags, error) {
	_, members, err := fleetOf(b.instances, b.services, b.interval)
	if err != nil {
		return lags{}, err
	}
	const lanes = 4
	end := time.Now().Add(d)
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			for time.Now().Before(end) {
				// The instance that is scraped in half a second.
				at := time.Now().Add(500 * time.Millisecond)
				slot := at.Truncate(b.interval)
				m := members[int(at.Sub(slot)*time.Duration(b.instances)/b.interval)]
				due := slot.Add(m.phase)
				err := sleep(ctx, time.Until(due))
				for err == nil {
					var t float64
					t, err = r.query(ctx, fmt.Sprintf(`timestamp(requests{job=%q,instance=%q})`, m.of.name, m.addr))
					if took := time.Since(due); err == nil && t*1000 >= float64(due.UnixMilli()) {
						mu.Lock()
						all = append(all, took)
						mu.Unlock()
						break
					}
					if err == nil {
						err = sleep(ctx, 10*time.Millisecond)
					}
					if err == nil && time.Since(due) > 10*time.Second {
						err = fmt.Errorf("the scrape of %s at %s is not told after 10 s", m.addr, due)
					}
				}
				if err != nil {
					mu.Lock()
					failed = cmp.Or(failed, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return lagsOf(all), failed
}

// alone measures one server.
func (b *serveBench) alone(ctx context.Context, stdout io.Writer) (err error) {
	port, err := freePort()
	if err != nil {
		return err
	}
	r, err := b.startServe(ctx, port, b.core, "max_bytes: "+b.maxBytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	up, err := b.comeUp(ctx, r, r.began)
	if err != nil {
		return err
	}
	b.say("alone: %s; waiting until what follows from the past is made up for", up.line())
	settled, err := b.settle(ctx, r)
	if err != nil {
		return err
	}
	f, err := b.observe(ctx, r, b.profile)
	if err != nil {
		return err
	}
	seen, err := b.probe(ctx, r, b.window/2)
	if err != nil {
		return err
	}
	var counts loadCounts
	if err := b.load.ask("counts", &counts); err != nil {
		return err
	}
	s, err := r.status(ctx)
	if err != nil {
		return err
	}
	open, err := r.open(ctx)
	if err != nil {
		return err
	}
	n := float64(b.series())
	fmt.Fprintf(stdout, "one server, %d series: %d instances of %d services every %s, a window of %s\n\n", b.series(), b.instances, b.services, b.interval, b.history)
	rows{
		{"", "", "a series"},
		{"live after a start", fmt.Sprintf("%.1f s, %.1f s of CPU", up.live.Seconds(), up.cpu[0].Seconds()), ""},
		{"every instance shown", fmt.Sprintf("%.1f s", up.whole.Seconds()), ""},
		{"the whole window read", fmt.Sprintf("%.1f s, %.1f s of CPU", up.filled.Seconds(), up.cpu[1].Seconds()), ""},
		{"what follows from the past made up for", fmt.Sprintf("%.1f s", settled.Seconds()), ""},
		{"resident", fmt.Sprintf("%.0f MB", mb(f.rss)), fmt.Sprintf("%.0f B", float64(f.rss)/n)},
		{"the most ever", fmt.Sprintf("%.0f MB", mb(f.peak)), fmt.Sprintf("%.0f B", float64(f.peak)/n)},
		{"heap after a collection", fmt.Sprintf("%.0f MB", mb(f.live)), fmt.Sprintf("%.0f B", float64(f.live)/n)},
		{"windows by its own account", fmt.Sprintf("%.0f MB", mb(f.board)), fmt.Sprintf("%.0f B", float64(f.board)/n)},
		{"CPU", fmt.Sprintf("%.1f %% of a core", f.cpu.Seconds()/f.window.Seconds()*100), fmt.Sprintf("%.1f µs a minute", f.cpu.Seconds()/f.window.Seconds()*60e6/n)},
		{"CPU a number", fmt.Sprintf("%.3f µs", f.perNumber(b.numbers)), ""},
		{"records", fmt.Sprintf("%.0f/s", float64(f.records)/f.window.Seconds()), ""},
		{"scrape to windows", f.lag.String(), ""},
		{"scrape to an answer in PromQL", seen.String(), ""},
	}.write(stdout, b.markdown)
	b.target(f.lag.p99 < mostLag && f.lag.p99 > 0 && seen.p99 < mostLag, fmt.Sprintf("a scrape is in every answer within %s, p99", mostLag), "%d ms by the server's account, %d ms by asking", f.lag.p99.Milliseconds(), seen.p99.Milliseconds())
	b.target(up.live <= mostLive, fmt.Sprintf("live within %s of a start", mostLive), "%.1f s", up.live.Seconds())
	b.target(float64(f.rss) <= leastBytes+mostBytes*n, fmt.Sprintf("at most %d MB resident and %d bytes a series", leastBytes>>20, mostBytes), "%.0f MB of %.0f", mb(f.rss), (leastBytes+mostBytes*n)/(1<<20))
	most := leastCPU + mostCPU*1e-6*n/b.interval.Seconds()
	b.target(f.cpu.Seconds()/f.window.Seconds() <= most, fmt.Sprintf("at most %.0f %% of a core and %.1f µs a number, all that it does for it", leastCPU*100, mostCPU), "%.1f of %.1f %%", f.cpu.Seconds()/f.window.Seconds()*100, most*100)
	want := b.window.Seconds() / b.interval.Seconds() * float64(b.instances)
	b.target(float64(f.records) > .97*want && s.Board.Lost == 0 && s.Board.Duplicated == 0 && s.Board.Evictions.Values == 0 && counts.Error == "", "every record is taken in, none lost, doubled or evicted", "%d of %.0f in the window, %d lost, %d doubled, %d values evicted %s",
		f.records, want, s.Board.Lost, s.Board.Duplicated, s.Board.Evictions.Values, counts.Error)
	b.target(len(open) == 0, "nothing is found where nothing is wrong", "%d findings%s", len(open), titles(open))
	return nil
}

func titles(all []finding) (out string) {
	for i, f := range all[:min(len(all), 3)] {
		out += []string{": ", "; ", "; "}[i] + f.Title
	}
	return out
}

// budget looks at what a server does whose budget of bytes is as it is delivered, too small for such a fleet.
func (b *serveBench) budget(ctx context.Context, stdout io.Writer) (err error) {
	port, err := freePort()
	if err != nil {
		return err
	}
	r, err := b.startServe(ctx, port, b.core, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	up, err := b.comeUp(ctx, r, r.began)
	if err != nil {
		return err
	}
	f, err := b.observe(ctx, r, "")
	if err != nil {
		return err
	}
	s, err := r.status(ctx)
	if err != nil {
		return err
	}
	e := s.Board.Evictions
	b.say("with the delivered budget: %s; %d values evicted, %.0f MB resident", up.line(), e.Values, mb(f.rss))
	kept := time.Since(time.UnixMilli(e.Before)).Round(time.Second)
	if e.Values == 0 {
		kept = b.history
	}
	fmt.Fprintf(stdout, "the same with dashboards.max_bytes as delivered, %d MB: the window holds %s, %.0f MB by its account, %.0f MB resident, %.3f µs a number, %s\n\n", s.Board.MaxBytes>>20, kept, mb(s.Board.Bytes), mb(f.rss), f.perNumber(b.numbers), f.lag)
	b.target(s.Board.Bytes <= s.Board.MaxBytes+s.Board.MaxBytes/20, "the budget of bytes holds", "%.0f of %.0f MB", mb(s.Board.Bytes), mb(s.Board.MaxBytes))
	named := e.Values == 0 || e.Service != "" && e.Before > 0
	said := e.Values == 0
	for _, x := range s.Strip.Exceptions {
		said = said || strings.Contains(x.Text, "max_bytes")
	}
	got := "nothing had to go"
	if e.Values > 0 {
		got = fmt.Sprintf("%d values, last of %q, and on the page: %v", e.Values, e.Service, said)
	}
	b.target(named && said, "what was evicted is named", "%s", got)
	return nil
}

// pair measures two that share, and then kills one.
func (b *serveBench) pair(ctx context.Context, stdout io.Writer) (err error) {
	var ports [2]int
	urls := ""
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return err
		}
		urls += fmt.Sprintf("%q, ", "http://127.0.0.1:"+strconv.Itoa(ports[i]))
	}
	settings := "max_bytes: " + b.maxBytes + ", peers: [" + urls[:len(urls)-2] + "]"
	var rs [2]*replica
	for i, core := range []int{b.core, b.other} {
		if rs[i], err = b.startServe(ctx, ports[i], core, settings); err != nil {
			return err
		}
		r := rs[i]
		defer func() { err = errors.Join(err, r.end()) }()
	}
	for _, r := range rs {
		up, err := b.comeUp(ctx, r, r.began)
		if err != nil {
			return err
		}
		b.say("one of two: %s", up.line())
	}
	var fs [2]serveFigures
	var wg sync.WaitGroup
	var errs [2]error
	for i, r := range rs {
		wg.Go(func() { fs[i], errs[i] = b.observe(ctx, r, "") })
	}
	wg.Wait()
	if err := errors.Join(errs[0], errs[1]); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "two servers\n\n")
	table := rows{{"", "partitions", "records/s", "CPU", "resident", "windows", "scrape to windows"}}
	var own [2][]int
	for i, r := range rs {
		if own[i], err = r.owned(ctx); err != nil {
			return err
		}
		f := fs[i]
		table.add([]string{"first", "second"}[i], fmt.Sprint(len(own[i])), fmt.Sprintf("%.0f", float64(f.records)/f.window.Seconds()), fmt.Sprintf("%.1f %% of a core", f.cpu.Seconds()/f.window.Seconds()*100),
			fmt.Sprintf("%.0f MB", mb(f.rss)), fmt.Sprintf("%.0f MB", mb(f.board)), f.lag.String())
	}
	table.write(stdout, b.markdown)
	most := max(fs[0].records, fs[1].records)
	share := float64(most) / float64(max(1, fs[0].records+fs[1].records))
	b.target(share <= 2.0/3, "two share the load: neither has more than two thirds of the records", "%.0f %%", share*100)

	// Something is wrong with a service of the second, and somebody looks after it, when it dies.
	mine := map[int]bool{}
	for _, p := range own[1] {
		mine[p] = true
	}
	sick := ""
	for i := range b.services {
		name := fmt.Sprintf("service-%03d", i)
		if mine[int(wire.Partition(sink.Key(name, fleetEnv), partitions))] {
			sick = name
			break
		}
	}
	if sick == "" {
		return errors.New("the second server owns nothing")
	}
	broke := time.Now()
	if err := b.load.ask("break "+sick, nil); err != nil {
		return err
	}
	var about finding
	found, err := rs[0].until(ctx, broke, 2*time.Minute, "the first tells of what the second found", func() (bool, error) {
		all, err := rs[0].open(ctx)
		for _, f := range all {
			if f.Service == sick && f.Metric == "errors" {
				about = f
			}
		}
		return about.ID != "", err
	})
	if err != nil {
		return err
	}
	b.say("found after %.1f s: %s", found.Seconds(), about.Title)
	if err := rs[0].acknowledge(ctx, about.ID); err != nil {
		return err
	}
	if err := sleep(ctx, 2*time.Second); err != nil {
		return err
	}
	died := time.Now()
	rs[1].kill()
	stays := rs[0]
	owns, err := stays.until(ctx, died, time.Minute, "the other owns all", func() (bool, error) {
		p, err := stays.owned(ctx)
		return len(p) == partitions, err
	})
	if err != nil {
		return err
	}
	answers, err := stays.until(ctx, died, 2*time.Minute, "it answers for every service", func() (bool, error) {
		n := 0.0
		for i := range b.services {
			of, err := stays.query(ctx, fmt.Sprintf(`count(up{job="service-%03d"} == 1)`, i))
			if err != nil {
				return false, err
			}
			n += of
		}
		return int(n) == b.instances, fmt.Errorf("%.0f instances", n)
	})
	if err != nil {
		return err
	}
	up, err := b.comeUp(ctx, stays, died)
	if err != nil {
		return err
	}
	up.live = max(up.live, answers)
	b.say("killed: the other owns all after %.1f s, answers for all after %.1f s, %s", owns.Seconds(), answers.Seconds(), up.line())
	if err := sleep(ctx, 3*b.interval/2); err != nil {
		return err
	}
	to := time.Now().Add(-2 * time.Second).Truncate(time.Second)
	span := b.history - 2*time.Minute - time.Since(died)
	if span < time.Minute {
		span = time.Since(died) + b.history/2
	}
	wrong, checked, err := b.compareTotals(ctx, stays, to, span.Truncate(time.Second))
	if err != nil {
		return err
	}
	all, err := stays.open(ctx)
	if err != nil {
		return err
	}
	kept := false
	for _, f := range all {
		kept = kept || f.ID == about.ID && f.Ack != nil
	}
	s, err := stays.status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "the second killed: the first owns all after %.1f s, answers for every instance after %.1f s, has the whole window after %.1f s\n\n", owns.Seconds(), up.live.Seconds(), up.filled.Seconds())
	b.target(up.live <= 10*time.Second, "one's death: the other answers for every instance within 10 s", "%.1f s", up.live.Seconds())
	b.target(wrong == "" && s.Board.Lost == 0 && s.Board.Evictions.Values == 0, "one's death loses nothing: each service's records and requests of the window are as they were written", "%d records of %s, %d lost%s", checked, span.Truncate(time.Second), s.Board.Lost, wrong)
	b.target(kept, "the finding and who looks after it outlive the server that found it", "%s: %v", about.ID, kept)
	others := 0
	for _, f := range all {
		if f.Service != sick {
			others++
		}
	}
	b.target(others == 0, "nothing is found but that service's trouble", "%d findings%s", len(all), titles(all))
	return b.load.ask("mend "+sick, nil)
}

// owned is which partitions a server says are its own.
func (r *replica) owned(ctx context.Context) ([]int, error) {
	var p struct{ Partitions []int }
	err := r.ask(ctx, "/api/v1/peer", &p)
	return p.Partitions, err
}

// compareTotals holds what a server says of each service's last while against what was written: how many records, and what their requests add up to.
func (b *serveBench) compareTotals(ctx context.Context, r *replica, to time.Time, span time.Duration) (wrong string, records int, err error) {
	var wrote map[string]loadTotals
	if err := b.load.ask(fmt.Sprintf("totals %d %d", to.Add(-span).UnixMilli()+1, to.UnixMilli()), &wrote); err != nil {
		return "", 0, err
	}
	for i := range b.services {
		name := fmt.Sprintf("service-%03d", i)
		over := fmt.Sprintf("(requests{job=%q}[%ds] @ %d)", name, int(span.Seconds()), to.Unix())
		n, err := r.query(ctx, "sum(count_over_time"+over+")")
		if err != nil {
			return "", 0, err
		}
		sum, err := r.query(ctx, "sum(sum_over_time"+over+")")
		if err != nil {
			return "", 0, err
		}
		w := wrote[name]
		records += w.Records
		if (int(n) != w.Records || sum != float64(w.Requests)) && wrong == "" {
			wrong = fmt.Sprintf("; %s has %.0f of %d, %.0f of %d", name, n, w.Records, sum, w.Requests)
		}
	}
	return wrong, records, nil
}
