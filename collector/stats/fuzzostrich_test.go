package stats

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
)

// FuzzOstrichForms writes one set of statistics as JSON and as text, its distributions in brackets or as lines of their own: both are taken for the same.
func FuzzOstrichForms(f *testing.F) {
	for i := range 16 {
		b := make([]byte, 64)
		for j := range b {
			b[j] = byte(i*29 + j*j*(i+7))
		}
		f.Add(b)
	}
	var (
		names  = []string{"a", "b c", "http/GET:200", "k: v", "m: (x", "ä", "=", "x,y", "counters", "z"}
		values = []string{"0", "1", "9007199254740993", "2.5", "1.0E8", "-3", "NaN", "Infinity"}
		fields = []string{"average", "count", "maximum", "minimum", "p50", "p999", "p9999", "sum", "standard_deviation"}
		texts  = []string{"online", "", "a: b", "(x)", "1.42.0", "NaN"}
	)
	f.Fuzz(func(t *testing.T, choices []byte) {
		choose := func(n int) int {
			if len(choices) == 0 {
				return 0
			}
			c := int(choices[0])
			choices = choices[1:]
			return c % n
		}
		json, text := []byte("{"), []byte(nil)
		number := func() (inJSON, inText string) {
			v := values[choose(len(values))]
			if choose(2) == 0 && (v == "NaN" || v == "Infinity") {
				return fmt.Sprintf("%q", v), v
			}
			return v, v
		}
		for i, sec := range []string{"counters", "gauges", "labels", "metrics"} {
			if i > 0 {
				json = append(json, ',')
			}
			json, text = fmt.Appendf(json, "%q:{", sec), fmt.Appendf(text, "%s:\n", sec)
			for j := range choose(5) {
				if j > 0 {
					json = append(json, ',')
				}
				name := names[choose(len(names))]
				switch sec {
				case "labels":
					if name == "k: v" || name == "m: (x" {
						name = "z" // in a label the first colon ends the name
					}
					v := texts[choose(len(texts))]
					json, text = fmt.Appendf(json, "%q:%q", name, v), fmt.Appendf(text, "  %s: %s\n", name, v)
				case "metrics":
					block := choose(2) == 0
					json, text = fmt.Appendf(json, `%q:{"count":7`, name), fmt.Appendf(text, "  %s: (count=7", name)
					if block {
						text = append(text[:len(text)-len(" (count=7")], "\n    count: 7"...)
					}
					for range choose(4) {
						f := fields[choose(len(fields))]
						a, b := number()
						json = fmt.Appendf(json, ",%q:%s", f, a)
						if block {
							text = fmt.Appendf(text, "\n    %s: %s", f, b)
						} else {
							text = fmt.Appendf(text, ", %s=%s", f, b)
						}
					}
					if json = append(json, '}'); !block {
						text = append(text, ')')
					}
					text = append(text, '\n')
				default:
					a, b := number()
					json, text = fmt.Appendf(json, "%q:%s", name, a), fmt.Appendf(text, "  %s: %s\n", name, b)
				}
			}
			json = append(json, '}')
		}
		json = append(json, '}')
		said := func(body []byte) []byte {
			var p Parser
			var s collector.Snapshot
			if err := p.Parse(&s, body, "", Options{}); err != nil {
				t.Fatalf("%v\n%s", err, body)
			}
			for i := range s.Samples { // a number that stands twice takes the place of the first, one that is none takes none
				slices.SortFunc(s.Samples[i].Fields, func(a, b collector.Field) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
			}
			_, said, _ := bytes.Cut(dump(&p, &s), []byte(": "))
			return said
		}
		if a, b := said(json), said(text); !bytes.Equal(a, b) {
			t.Fatalf("%s\n%s\n\n%s\n%s", json, a, text, b)
		}
	})
}
