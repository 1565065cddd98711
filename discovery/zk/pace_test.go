package zk

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	now := time.Now()
	p := newPace(256)
	p.jitter = func(d time.Duration) time.Duration { return d - 1 }
	if n := p.open(now); n != 256 {
		t.Errorf("at the start %d", n)
	}
	// What fails together counts once.
	for range 100 {
		p.bad(now)
	}
	if p.open(now) != 0 || p.open(now.Add(minPause/4)) != 0 || p.open(now.Add(minPause)) != 128 {
		t.Errorf("after a refusal %+v", p)
	}
	// A server that goes on refusing is asked less and less, never nothing for ever.
	for range 12 {
		now = now.Add(maxPause)
		p.bad(now)
	}
	if p.now != 1 || p.pause != maxPause || p.open(now.Add(maxPause)) != 1 {
		t.Errorf("after many refusals %+v", p)
	}
	// It recovers by answering, and the next trouble begins with a short pause again.
	answers := 0
	for ; p.now < 256 && answers < 100_000; answers++ {
		p.well()
	}
	if p.now != 256 || answers < 256 || answers > 5000 || p.pause > minPause {
		t.Errorf("after %d answers %+v", answers, p)
	}
}
