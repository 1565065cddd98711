package kafka

import (
	"fmt"
	"strings"
	"testing"
	"time"
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
	check(true) // the spool is not open yet
	s.open.Store(true)
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

// Batches that are nearly due are closed with one that is, and the closer is woken for the first one alone.
func TestCloseTogether(t *testing.T) {
	l, _, _ := newTestBacklog(t, 8, nil)
	open := func() (n int) {
		for q := range l.all() {
			if q.open != nil {
				n++
			}
		}
		if l.open != n {
			t.Errorf("%d batches are open, %d are said to be", n, l.open)
		}
		return n
	}
	for i := range 8 {
		l.putTest(fmt.Sprint("service-", i*i), 1000, "{}")
	}
	n, now := open(), time.Now()
	at := func(q *queue, age time.Duration) { q.open.opened = now.Add(-age).UnixMilli() }
	if len(l.opened) != 1 {
		t.Error("the closer was not woken")
	}
	<-l.opened
	first := true
	for q := range l.all() {
		if q.open == nil {
			continue
		}
		if at(q, l.linger*6/10); first {
			at(q, l.linger/10)
			first = false
		}
	}
	if next := l.closeDue(now); open() != n || next <= 0 || next > l.linger/2 {
		t.Errorf("nothing is due, and %d of %d are open; the next in %s", open(), n, next)
	}
	last := l.snapshots.queues[0]
	for q := range l.all() {
		if q.open != nil {
			last = q
		}
	}
	at(last, l.linger)
	if next := l.closeDue(now); open() != 1 || next <= l.linger/2 || next > l.linger {
		t.Errorf("%d are open, the next in %s", open(), next)
	}
	l.putTest("service-0", 1000, "{}")
	l.putTest("service-1", 1000, "{}")
	if len(l.opened) != 0 {
		t.Error("the closer was woken, though it would wake in time")
	}
}

// A batch that was opened before somebody set the clock back does not wait until it is that late again.
func TestTheClockIsSetBack(t *testing.T) {
	l, _, _ := newTestBacklog(t, 1, nil)
	l.putTest("s", time.Now().UnixMilli(), "{}")
	if next := l.closeDue(time.Now().Add(-2 * time.Hour)); l.open != 0 || next <= l.linger {
		t.Errorf("%d batches are open, the next look is in %v", l.open, next)
	}
}
