package kafka

import (
	"fmt"
	"strings"
	"testing"
)

// What waits to be compressed is counted in bytes, whichever way it goes, and too much of it is told.
func TestBehind(t *testing.T) {
	l, p, _ := newTestBacklog(t, 4, func(c *Config) { c.MemoryBytes = 32 << 20 })
	s := &Sink{backlog: l}
	check := func(want bool) {
		t.Helper()
		n := int64(0)
		for _, b := range l.sealing.batches {
			n += int64(b.raw)
		}
		if got := l.sealing.bytes.Load(); got != n || s.Behind() != want {
			t.Errorf("%d bytes of %d wait, behind is %v", got, n, s.Behind())
		}
	}
	check(false)
	body := `"` + strings.Repeat("x", 100<<10) + `"`
	for i := range 200 { // 20 MB, of which the batches that are closed
		l.putTest(fmt.Sprint("service-", i%8), int64(1000+i), body)
	}
	check(true)
	for l.sealing.bytes.Load() > 8<<20 {
		l.sealOne(p)
	}
	check(false)
	for i := range 400 { // past the budget: the oldest go, and so do those among them that wait
		l.putTest(fmt.Sprint("service-", i%8), int64(2000+i), body)
	}
	check(true)
	l.sealAll(p)
	check(false)
	if n := len(l.sealing.batches); n != 0 || l.bytes > 1<<20 {
		t.Errorf("%d batches wait, %d bytes", n, l.bytes)
	}
}
