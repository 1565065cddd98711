package scrape

import (
	"strconv"
	"time"
	"unsafe"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/stats"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// infoState is what is known of a target's process beside its statistics. It belongs to the goroutine that pulls the target.
type infoState struct {
	tags   discovery.Tags
	stale  bool // tags are those of a process that has ended
	asked  bool // there is nothing more to ask of this process
	tries  int  // that failed on the way
	uptime float64
	timed  bool // uptime was seen
	at     int  // the sample that told
	none   int  // so many samples were looked at, and none told
	looks  int  // that were left out since
}

// infoPaths are where Ostrich and twitter-server tell about the build.
var infoPaths = [...]string{"/server_info", "/admin/server_info"}

const (
	infoLimit   = 64 << 10
	infoTimeout = time.Second
	infoTries   = 3
)

// due reports that the target is to be asked: nobody else tells its version, and this process was not asked yet.
func (i *infoState) due(s *spec) bool {
	return !i.asked && s.Tags.Get("service.version") == ""
}

// again has the target asked once more: its process may be another one.
func (i *infoState) again() { i.stale, i.asked, i.tries = true, false, 0 }

// is notes what the process says of itself, which may be nothing.
func (i *infoState) is(tags discovery.Tags) { i.tags, i.asked, i.stale = tags, true, false }

// uptimes are the names under which applications say how long they run, or since when.
func isUptime(name string) (is, since bool) {
	switch name {
	case "jvm_uptime", "jvm/uptime", "jvm.uptime", "uptime", "process_uptime_seconds":
		return true, false
	case "process_start_time_seconds", "process.start.time":
		return true, true
	}
	return false, false
}

// watch looks for an uptime that fell, or a start that moved: then the process is a new one, and it reports true. It remembers where in the body the number stands.
func (i *infoState) watch(samples []collector.Sample) (restarted bool) {
	if i.none > 0 && i.none == len(samples) && i.looks < 15 {
		i.looks++
		return false
	}
	i.none, i.looks = 0, 0
	at := -1
	if i.at < len(samples) {
		if is, _ := isUptime(samples[i.at].Name); is {
			at = i.at
		}
	}
	for k := 0; at < 0 && k < len(samples); k++ {
		if is, _ := isUptime(samples[k].Name); is && len(samples[k].Labels) == 0 {
			at = k
		}
	}
	if at < 0 {
		i.none = len(samples)
		return false
	}
	_, since := isUptime(samples[at].Name)
	v, err := strconv.ParseFloat(samples[at].Value, 64)
	if err != nil {
		return false
	}
	if restarted = i.timed && (!since && v < i.uptime || since && v > i.uptime+1); restarted {
		i.again()
	}
	i.at, i.uptime, i.timed = at, v, true
	return restarted
}

// info asks the target for its server_info, until its next slot begins at most. What fails on the way is asked again with the next pulls, a few times; what says that there is none is believed until
// the process is another.
func (e *exchange) info(slot time.Time) {
	i := &e.t.info
	now := time.Now()
	room := slot.Sub(now) * 9 / 10
	if room <= 0 {
		return // another time
	}
	e.started, e.deadline = now, now.Add(min(infoTimeout, e.s.timeout, room))
	e.x = e.p.pulls.get(0)
	defer func() {
		if e.x != nil {
			e.x.release()
		}
	}()
	r := e.p.readers.Get().(*reader)
	defer e.p.readers.Put(r)
	for _, path := range infoPaths {
		body, _, err := e.get(r, path, infoLimit, new(scale))
		if err != nil {
			if o, _ := classify(err, e.at); o == collector.Status || o == collector.Parse || o == collector.BodyLimit {
				continue // there is an answer, and it is no server_info
			}
			e.s.run.m.infoFailed.Inc()
			if i.tries++; i.tries >= infoTries {
				i.is(discovery.Tags{})
			}
			return
		}
		if m, err := stats.ServerInfo(body); err == nil && len(m) > 0 {
			i.is(discovery.TagsOf(m))
			e.s.run.m.infoFound.Inc()
			return
		}
	}
	i.is(discovery.Tags{})
	e.s.run.m.infoNone.Inc()
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
