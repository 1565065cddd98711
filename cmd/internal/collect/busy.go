package collect

import (
	"runtime"
	"syscall"
	"time"
)

// busy measures how much of its processors the process uses: what decides how many targets a collector can bear.
type busy struct {
	at  time.Time
	cpu time.Duration
}

func newBusy() *busy { return &busy{time.Now(), cpuTime()} }

// load is the share since the last call, 0..1. It is called by one goroutine.
func (b *busy) load() float64 {
	now, cpu := time.Now(), cpuTime()
	wall := now.Sub(b.at)
	used := cpu - b.cpu
	b.at, b.cpu = now, cpu
	if wall <= 0 {
		return 0
	}
	return float64(used) / float64(wall) / float64(runtime.GOMAXPROCS(0))
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
