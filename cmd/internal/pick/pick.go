// Package pick chooses numbers of a snapshot by patterns of their names, as people type them on a command line.
package pick

import (
	"fmt"
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Number is one number of a snapshot, or one text.
type Number struct {
	Name string // with its labels, and, of a distribution, with the field: latency_ms.p99
	Text string // its digits as they were sent; or the text
	Word bool   // it is a text
}

// Numbers are those that any of the patterns names, in the snapshot's order; each field of a distribution and count and sum of a native histogram are numbers of
// their own. A pattern may name a sample without its labels, or a distribution without a field: then it means all of them.
func Numbers(samples []collector.Sample, patterns []string) (out []Number) {
	add := func(n Number, short string) {
		for _, p := range patterns {
			if Like(p, n.Name) || Like(p, short) {
				out = append(out, n)
				return
			}
		}
	}
	for i := range samples {
		s := &samples[i]
		name := Series(s)
		switch {
		case s.Kind == collector.Distribution:
			for _, f := range s.Fields {
				add(Number{Name: name + "." + f.Name, Text: f.Value}, name)
			}
		case s.Hist != nil:
			add(Number{Name: name + ".count", Text: fmt.Sprint(s.Hist.Count)}, name)
			add(Number{Name: name + ".sum", Text: fmt.Sprint(s.Hist.Sum)}, name)
		default:
			add(Number{Name: name, Text: s.Value, Word: s.Kind == collector.Label}, s.Name)
		}
	}
	return out
}

// Series is a sample's name with its labels: requests{code="200"}.
func Series(s *collector.Sample) string {
	if len(s.Labels) == 0 {
		return s.Name
	}
	var b strings.Builder
	b.WriteString(s.Name)
	for i, l := range s.Labels {
		b.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(&b, "%s=%q", l.Name, l.Value)
	}
	b.WriteByte('}')
	return b.String()
}

// Like reports whether a text is as a pattern says, in which * stands for any text.
func Like(pattern, text string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, head)
	if !ok {
		return false
	}
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(text, part)
		}
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text, rest = text[i+len(part):], more
	}
}
