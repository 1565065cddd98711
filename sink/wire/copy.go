package wire

import (
	"unsafe"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Most numbers stand in the record as they stand in the body that they came in: `"name":digits`, a comma, the next one. Such a run is copied whole. Whether
// a name and a value are still those of the body, and stand there so, is told by where their bytes are; whatever changed a sample on the way needs to say nothing.

// entry is where in body a name and its number stand as the record would write them; to is 0 where they do not.
//
// body was read as JSON: what stands there between two quotes and before a colon is a whole key, and what a string that is a view of it holds had nothing to be
// unescaped or mended. So its text is the one that appendString would write, and the number's is the one that appendNumber would.
func entry(body []byte, name, value string) (from, to int) {
	if len(name) == 0 || len(value) == 0 {
		return 0, 0
	}
	base := uintptr(unsafe.Pointer(unsafe.SliceData(body)))
	at := uintptr(unsafe.Pointer(unsafe.StringData(name))) - base // far too large where it stands before body
	if at == 0 || at >= uintptr(len(body)) || uintptr(unsafe.Pointer(unsafe.StringData(value))) != base+at+uintptr(len(name))+2 {
		return 0, 0
	}
	colon := int(at) + len(name) + 1
	to = colon + 1 + len(value)
	if to >= len(body) || body[at-1] != '"' || body[colon-1] != '"' || body[colon] != ':' || body[to] != ',' && body[to] != '}' {
		return 0, 0
	}
	return int(at) - 1, to
}

// runOf is the text in body of the first sample and of those that follow it in the same section and behind it in the body, and how many these are.
func runOf(body []byte, samples []collector.Sample, sec section) (text []byte, n int) {
	from, to := entry(body, samples[0].Name, samples[0].Value)
	if to == 0 {
		return nil, 0
	}
	for n = 1; n < len(samples); n++ {
		s := &samples[n]
		if body[to] != ',' || sectionOf(s) != sec {
			break
		}
		f, t := entry(body, s.Name, s.Value)
		if f != to+1 {
			break
		}
		to = t
	}
	return body[from:to], n
}

// fieldRun is runOf for the numbers of a distribution.
func fieldRun(body []byte, fields []collector.Field) (text []byte, n int) {
	from, to := entry(body, fields[0].Name, fields[0].Value)
	if to == 0 || fields[0].Name == fieldWindow {
		return nil, 0
	}
	for n = 1; n < len(fields); n++ {
		if body[to] != ',' || fields[n].Name == fieldWindow {
			break
		}
		f, t := entry(body, fields[n].Name, fields[n].Value)
		if f != to+1 {
			break
		}
		to = t
	}
	return body[from:to], n
}
