package wire

import (
	"errors"

	"github.com/rollcall-metrics/rollcall/collector"
)

var (
	errHead = errors.New("cut record: it does not begin with our version and id")
	// ErrOversize says that not even a snapshot's names fit into a record.
	ErrOversize = errors.New("split snapshot: its names alone are larger than a record may be")
)

const headRoom = 128 // bytes that head, "parts" and the names of sections may take

// Split gives the bodies of s, each with its head at most limit bytes: one if it fits (part 0 of 0), else parts 1 to n that stand alone: each has all
// of the record but for the samples of the others. A sample too large for a record of its own is left out and counted in src.oversize of
// part 1; tags that leave no room are left out of all and said so. buf is scratch and may be nil; body is valid until emit returns.
func Split(buf []byte, s *collector.Snapshot, p Provenance, limit int, emit func(part, parts int, body []byte)) ([]byte, error) {
	buf = AppendBody(buf[:0], s, p)
	if len(buf)+headRoom <= limit {
		emit(0, 0, buf)
		return buf, nil
	}
	pt := part{n: 1, of: 1 << 20}
	none := appendBody(nil, s, nil, pt, p)
	if len(none) > limit/2 {
		pt.skipTags = true
		none = appendBody(nil, s, nil, pt, p)
	}
	room := limit - headRoom - len(none)
	if room < 0 {
		return buf, ErrOversize
	}
	kept, ends := make([]collector.Sample, 0, len(s.Samples)), []int(nil)
	size := numSectionBytes
	var one []byte
	if s.Outcome == collector.OK {
		for i := range s.Samples {
			sec := sectionOf(&s.Samples[i])
			one, _ = appendSample(one[:0], &s.Samples[i], sec, nil)
			if apart(&s.Samples[i], sec) {
				one = appendNamedExemplar(append(one, ','), &s.Samples[i])
			}
			if len(one)+1+numSectionBytes > room {
				pt.leftOut++
				continue
			}
			if size += len(one) + 1; size > room {
				ends = append(ends, len(kept))
				size = numSectionBytes + len(one) + 1
			}
			kept = append(kept, s.Samples[i])
		}
	}
	ends = append(ends, len(kept))
	pt.of = len(ends)
	from := 0
	for i, end := range ends {
		pt.n = i + 1
		buf = appendBody(buf[:0], s, kept[from:end], pt, p)
		emit(pt.n, pt.of, buf)
		from = end
	}
	return buf, nil
}

// numSectionBytes bounds what the names, brackets and commas of all sections take.
const numSectionBytes = int(numSections+1) * 14
