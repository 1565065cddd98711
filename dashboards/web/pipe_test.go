package web

import (
	"bytes"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// dripping takes one piece in so long.
type dripping struct {
	http.ResponseWriter
	each time.Duration
	late time.Time
}

func (d *dripping) SetWriteDeadline(t time.Time) error { d.late = t; return nil }
func (d *dripping) FlushError() error                  { return nil }
func (d *dripping) Write(b []byte) (int, error) {
	if wait := time.Until(d.late); d.each > wait {
		time.Sleep(wait)
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(d.each)
	return len(b), nil
}

// Who takes a piece now and then is given time, and not hours for one event.
func TestPatience(t *testing.T) {
	for _, tc := range []struct {
		name  string
		each  time.Duration
		bytes int
		takes time.Duration
		stuck bool
	}{
		{"at once", 0, 1 << 20, 0, false},
		{"a piece in five seconds", 5 * time.Second, 20 << 10, 55 * time.Second, false},
		{"nothing", time.Hour, 20 << 10, patience, true},
		{"a piece in fourteen seconds, of an event that has many", 14 * time.Second, 100 << 10, mostPatience, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPipe(&dripping{each: tc.each}, false, metrics.NewSet().NewCounter("bytes"))
			begun := time.Now()
			p.put(bytes.Repeat([]byte("x"), tc.bytes))
			if whole := p.event(); whole == tc.stuck || p.stuck != tc.stuck {
				t.Errorf("%s: whole %v, stuck %v", tc.name, whole, p.stuck)
			}
			if took := time.Since(begun); took != tc.takes {
				t.Errorf("%s: took %s, want %s", tc.name, took, tc.takes)
			}
		})
	}
}
