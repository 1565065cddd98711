package scrape

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// TestEveryAndBack: whatever is late or skipped when a target's interval changes, each slot is told once, by the interval that it was counted out in.
func TestEveryAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.stats("10.0.0.1:80", someStats)
		f.handler("10.0.0.2:80", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(second(0.35)) // the only place is taken meanwhile
			fmt.Fprint(w, someStats)
		})
		p, got, stop := f.running(t, Config{MaxInFlight: 1})
		j := &Job{Name: "apps", Interval: second(1), Timeout: second(0.9), NoServerInfo: true}
		ts := targets(j, "10.0.0.1:80", "10.0.0.2:80")
		set(t, p, ts)
		for round := range 40 {
			time.Sleep(second(2) + time.Duration(round)*37*time.Millisecond)
			ts[0].Every = map[bool]time.Duration{true: second(0.1)}[round%2 == 0]
			if err := p.Change(ts[:1], nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(second(2))
		stop()
		told, skipped := map[int64]collector.Snapshot{}, 0
		for _, s := range got.take() {
			if s.Instance.Host != "10.0.0.1" {
				continue
			}
			if was, twice := told[s.Slot.UnixNano()]; twice {
				t.Errorf("slot %s is told twice: %s every %s and %s every %s", s.Slot, was.Outcome, was.Interval, s.Outcome, s.Interval)
			}
			told[s.Slot.UnixNano()] = s
			if ahead := s.Slot.Sub(s.Time); ahead > s.Interval/8 {
				t.Errorf("a pull every %s at %s has a slot %s ahead", s.Interval, s.Time, ahead)
			}
			if s.Outcome == collector.Skipped {
				skipped++
			}
		}
		if skipped < 20 {
			t.Errorf("%d slots were skipped: the test tests nothing", skipped)
		}
	})
}

// TestParserIsCharged: samples of short names are many times their body, and count in what is held.
func TestParserIsCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		b.WriteString(`{"gauges":{`)
		for i := range 8000 {
			fmt.Fprintf(&b, `"%d":1,`, i)
		}
		body := strings.TrimSuffix(b.String(), ",") + "}}"
		f := newFleet()
		var addrs []string
		for i := range 20 {
			addrs = append(addrs, fmt.Sprintf("10.0.0.%d:80", i+1))
			f.stats(addrs[i], body)
		}
		held := make(chan struct{})
		kept := 0
		var p *Pool
		p, got, stop := f.running(t, Config{MaxBodyBytes: 8 << 20})
		handle := p.c.Handle
		p.c.Handle = func(s *collector.Snapshot) {
			if s.Outcome == collector.OK {
				<-held
			}
			handle(s)
		}
		set(t, p, targets(&Job{Name: "apps", Interval: second(10), NoServerInfo: true}, addrs...))
		time.Sleep(second(10))
		if used := p.pulls.used.Load(); used < 4<<20 || used > 8<<20 {
			t.Errorf("%d bytes are held, as is said", used)
		}
		close(held)
		stop()
		for _, s := range got.take() {
			if s.Outcome == collector.OK {
				kept++
			} else if s.Outcome != collector.Skipped || !strings.Contains(s.Reason, "holds bodies of") {
				t.Errorf("%s: %s", s.Outcome, s.Reason)
			}
		}
		if kept == 0 || kept > 10 {
			t.Errorf("%d of 20 were held in 8 MiB, each of about 1.7 MB", kept)
		}
		if used := p.pulls.used.Load(); used != 0 {
			t.Errorf("%d bytes are still charged", used)
		}
	})
}
