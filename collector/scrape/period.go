package scrape

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// leastPeriod is the shortest that Ostrich's listeners close, unless the application says otherwise.
const leastPeriod = time.Minute

// periodPath is where a target says what it saw in the last period, or "" where that is not asked for.
func periodPath(path string, period time.Duration) string {
	_, query, has := strings.Cut(path, "?")
	if period == 0 || slices.ContainsFunc(strings.Split(query, "&"), func(p string) bool { return strings.HasPrefix(p, "period=") }) {
		return ""
	}
	sep := "?"
	if has {
		sep = "&"
	}
	return path + sep + "period=" + strconv.Itoa(int(period/time.Second))
}

// lifelong reports a distribution that speaks of the time since the process began.
func lifelong(s collector.Sample) bool {
	return s.Kind == collector.Distribution && s.Window == collector.Lifetime
}

// periodState is how a target takes it to be asked for a period. It belongs to the goroutine that pulls the target.
type periodState struct {
	of      *spec  // for which it was found out; another one, or another process, is asked anew
	path    string // to ask; "" where the application refuses
	refused string // what it said to the job's period, or ""
	request []byte
	scale   scale
}

// period asks an Ostrich application a second time, for what its distributions saw in the last closed period, and puts those in the place of the ones that
// speak of its lifetime. All readers of one period are given the same. An application that refuses the period is asked for Ostrich's least one, a minute, and
// for none where it refuses that, too: then its distributions stay what they are. But what only fails, within the time of the scrape, is left out: numbers of two
// windows by turns, under one name, would be worse than none. The error is that of a target which was given up meanwhile.
func (e *exchange) period(snap *collector.Snapshot, r *reader) error {
	st := &e.t.period
	if st.of != e.s {
		*st = periodState{of: e.s, path: e.s.period}
	}
	if !slices.ContainsFunc(snap.Samples, lifelong) {
		return nil
	}
	var latched collector.Snapshot
	err := error(nil)
	for st.path != "" {
		if err = e.latched(&latched, st.path, r); !refuses(err) {
			break
		}
		st.refused = "asked for the last " + e.s.job.OstrichPeriod.String() + ": " + err.Error()
		if st.request = nil; st.path == e.s.minute {
			st.path = ""
		} else {
			st.path = e.s.minute
		}
	}
	e.periodNote = st.refused
	switch {
	case err != nil && e.t.isAborted():
		snap.Samples = nil
		return err
	case st.path == "":
		e.s.run.m.periodRefused.Inc()
		return nil
	}
	snap.Samples = slices.DeleteFunc(snap.Samples, lifelong)
	if err != nil {
		_, why := classify(err, e.at)
		e.periodNote = "the second answer: " + why
		e.s.run.m.periodFailed.Inc()
		return nil
	}
	for _, s := range latched.Samples {
		if s.Kind == collector.Distribution {
			snap.Samples = append(snap.Samples, s)
		}
	}
	snap.BodyBytes += latched.BodyBytes
	e.s.run.m.periods.Inc()
	return nil
}

// latched pulls path into snap, in a memory of its own that is released with the exchange's.
func (e *exchange) latched(snap *collector.Snapshot, path string, r *reader) error {
	first := e.x
	e.x = nil
	body, contentType, err := e.get(r, path, e.s.job.bodyLimit(), &e.t.period.scale)
	if err == nil {
		o := e.s.run.limits
		o.Window = collector.Latched
		e.turn()
		if err = e.x.parse(snap, body, contentType, o); err == nil {
			err = e.x.charge()
		}
	}
	if e.x != nil {
		e.x.also, first.also = first.also, e.x
	}
	e.x = first
	return err
}

// refuses reports an answer that says no for good: a status from 400 to 499.
func refuses(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.outcome == collector.Status && strings.HasPrefix(f.reason, "status 4")
}
