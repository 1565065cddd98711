package stats

import (
	"unsafe"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// Watch finds out, from scrape to scrape of one target, what the distributions of a body speak of where its format does not say it. It looks at the count of one
// of them. A count that falls while the process lives is one of a window: of a latched one if it mostly stands still between two changes, of the interval since
// the last read if it does not. A count that only rises, with percentiles that do not move, is one of the process's lifetime. Where neither is clear, nothing is
// said: a rising count beside lively percentiles may be a decaying reservoir. The zero Watch is ready.
type Watch struct {
	found                         collector.Window
	falls, rises, repeats, asleep uint16 // asleep are the rises at which the percentile stood still
	at                            int32  // the sample that is watched
	seen                          bool
	name, high                    uint32 // hashes of its name, and of the digits of a percentile
	count                         float64
}

// See takes the samples of the newest body and sets the windows of its distributions. said is what the job says of them: then there is nothing to find out.
// restarted says that the process is another than that of the body before.
func (w *Watch) See(samples []collector.Sample, said collector.Window, restarted bool) {
	if said == collector.WindowUnknown {
		s := w.pick(samples)
		if s == nil {
			return
		}
		w.look(s, restarted)
		w.decide()
		said = w.found
	}
	if said == collector.WindowUnknown {
		return
	}
	for i := range samples {
		s := &samples[i]
		if s.Kind != collector.Distribution {
			continue
		}
		fell := s.Window == collector.Lifetime && (w.found == collector.Latched || w.found == collector.Interval)
		if s.Window == collector.WindowUnknown || fell {
			s.Window = said
		}
	}
}

// pick is the distribution to look at: the same as before while it stands at its place, else the first whose window is in question.
func (w *Watch) pick(samples []collector.Sample) *collector.Sample {
	open := func(s *collector.Sample) bool {
		return s.Kind == collector.Distribution && s.Window <= collector.Lifetime
	}
	if i := int(w.at); w.seen && i < len(samples) && open(&samples[i]) && fnv(samples[i].Name) == w.name {
		return &samples[i]
	}
	for i := range samples {
		if s := &samples[i]; open(s) {
			if c, _ := measure(s); c <= 0 {
				continue
			}
			if h := fnv(s.Name); h != w.name || !w.seen {
				w.name, w.seen, w.count = h, false, 0
			}
			w.at = int32(i)
			return s
		}
	}
	return nil
}

// look compares the count with that of the scrape before.
func (w *Watch) look(s *collector.Sample, restarted bool) {
	count, high := measure(s)
	if count < 0 {
		return
	}
	switch {
	case !w.seen || restarted: // nothing to compare with
	case count < w.count:
		w.falls++
	case count > w.count:
		w.rises++
		if high == w.high {
			w.asleep++
		}
	case count > 0:
		w.repeats++
	}
	w.seen, w.count, w.high = true, count, high
	if w.falls+w.rises+w.repeats > 240 { // what is long ago counts less and less
		w.falls, w.rises, w.repeats, w.asleep = w.falls/2, w.rises/2, w.repeats/2, w.asleep/2
	}
}

// decide holds what was seen against what each window would show. A process that dies often falls often, too, but rises far more often in between.
func (w *Watch) decide() {
	changes := w.falls + w.rises
	switch {
	case w.falls >= 3 && 4*w.falls >= changes && w.repeats > changes:
		w.found = collector.Latched
	case w.falls >= 3 && 4*w.falls >= changes:
		w.found = collector.Interval
	case w.rises >= 8 && 10*w.falls <= w.rises && 4*w.asleep >= 3*w.rises:
		w.found = collector.Lifetime
	case w.rises >= 8 && 10*w.falls <= w.rises && w.found != collector.Lifetime:
		w.found = collector.WindowUnknown
	}
}

// measure is the count of a distribution, and a hash of the digits of its last percentile; a count of -1 is none.
func measure(s *collector.Sample) (count float64, last uint32) {
	count = -1
	digits := ""
	for i := range s.Fields {
		switch f := &s.Fields[i]; {
		case f.Name == "count":
			if v, ok := jsonscan.Float64(unsafe.Slice(unsafe.StringData(f.Value), len(f.Value))); ok {
				count = v
			}
		case f.Name == "p99" || digits == "" && percentile(f.Name):
			digits = f.Value
		}
	}
	return count, fnv(digits)
}

// fnv is FNV-1a, 32 bits.
func fnv(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}
