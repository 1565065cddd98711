package scrape

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

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

// period asks an Ostrich application a second time, for what its distributions saw in the last closed period, and puts those in the place of the ones that
// speak of its lifetime. All readers of one period are given the same. What cannot be had within the time of the scrape is left out: numbers of two windows under
// one name would be worse than none. The error is that of a target which was given up meanwhile.
func (e *exchange) period(snap *collector.Snapshot, r *reader) error {
	if e.s.period == "" || !slices.ContainsFunc(snap.Samples, lifelong) {
		return nil
	}
	first := e.x
	e.x = nil
	var latched collector.Snapshot
	body, contentType, err := e.get(r, e.s.period, e.s.job.bodyLimit())
	if err == nil {
		o := e.s.limits
		o.Window = collector.Latched
		err = e.x.parser.Parse(&latched, body, contentType, o)
	}
	e.x, first.also = first, e.x
	if err != nil && e.t.isAborted() {
		snap.Samples = nil
		return err
	}
	snap.Samples = slices.DeleteFunc(snap.Samples, lifelong)
	if err != nil {
		_, why := classify(err, e.at)
		e.periodFailed = "the last " + e.s.job.OstrichPeriod.String() + ": " + why
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
