package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// genBody draws an object of names and numbers, with what may stand between them in JSON, and gives its numbers as samples that are views of it where they can be.
func genBody(t *rapid.T) ([]byte, []collector.Sample) {
	key := rapid.OneOf(rapid.SampledFrom([]string{`a`, `b`, `http/requests`, `a\"b`, `a\u0062`, `naïve`, `日本`, `window`, ``, `,`, `:`, `"`, "a\xff", `p50`, `{`}), rapid.StringMatching(`[a-z]{1,8}`))
	gap := rapid.SampledFrom([]string{"", "", "", " ", "\n"})
	value := rapid.SampledFrom([]string{"0", "-0", "1.50", "12E4", "7", "12345678901234567890", "NaN", `"7"`, "null", "true", `{"a":1,"b":2}`, "[1]"})
	var b strings.Builder
	b.WriteString("{")
	for i := range rapid.IntRange(0, 12).Draw(t, "entries") {
		if i > 0 {
			b.WriteString(gap.Draw(t, "gap") + "," + gap.Draw(t, "gap"))
		}
		k := key.Draw(t, "key")
		if k == `"` {
			k = `\"`
		}
		fmt.Fprintf(&b, `"%s"%s:%s%s`, k, gap.Draw(t, "gap"), gap.Draw(t, "gap"), value.Draw(t, "value"))
	}
	b.WriteString(gap.Draw(t, "gap") + "}")
	body := []byte(b.String())

	var out []collector.Sample
	var s jsonscan.Scanner
	s.Reset(body, jsonscan.Options{Nonfinite: true})
	var object func()
	object = func() {
		s.Object()
		for k, ok := s.Key(); ok; k, ok = s.Key() {
			name := ""
			if k.Plain() {
				name = k.View()
			} else {
				text, _ := k.Append(nil)
				name = string(text)
			}
			switch s.Peek() {
			case jsonscan.Object:
				object()
			case jsonscan.Number:
				kind := rapid.SampledFrom([]collector.Kind{collector.Counter, collector.Counter, collector.Counter, collector.Gauge, collector.Untyped}).Draw(t, "kind")
				out = append(out, collector.Sample{Name: name, Kind: kind, Value: jsonscan.Text{Raw: s.Number()}.View()})
			default:
				s.Skip()
			}
		}
	}
	object()
	if err := s.End(); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return body, out
}

// A record is the same whether what stands in the body is copied from there or each name and number is written: whatever was changed on the way.
func TestCopiedAndWritten(t *testing.T) {
	copied := 0
	rapid.Check(t, func(t *rapid.T) {
		body, samples := genBody(t)
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			if len(samples) == 0 {
				break
			}
			i, j := rapid.IntRange(0, len(samples)-1).Draw(t, "i"), rapid.IntRange(0, len(samples)-1).Draw(t, "j")
			s := &samples[i]
			switch rapid.IntRange(0, 9).Draw(t, "change") {
			case 0:
				s.Name = "renamed"
			case 1:
				s.Name = s.Name[min(1, len(s.Name)):]
			case 2:
				s.Name = s.Name[:max(0, len(s.Name)-1)]
			case 3:
				s.Name = samples[j].Name
			case 4:
				s.Value = samples[j].Value
			case 5:
				s.Value = strings.Clone(s.Value)
			case 6:
				samples = append(samples[:i], samples[i+1:]...)
			case 7:
				samples[i], samples[j] = samples[j], samples[i]
			case 8:
				s.Labels = []collector.LabelPair{{Name: "zone", Value: "a"}}
			case 9:
				var fs []collector.Field
				for _, x := range samples[min(i, j) : max(i, j)+1] {
					fs = append(fs, collector.Field{Name: x.Name, Value: x.Value})
				}
				samples = append(samples, collector.Sample{Name: "d", Kind: collector.Distribution, Window: collector.Lifetime, Fields: fs})
			}
		}
		s := genSnapshot(t)
		s.Outcome, s.Samples = collector.OK, samples
		want := AppendSnapshot(nil, s, ID{Collector: 1, Start: 1}, Provenance{})
		s.JSON = body
		got := AppendSnapshot(nil, s, ID{Collector: 1, Start: 1}, Provenance{})
		if !bytes.Equal(got, want) {
			t.Fatalf("body %s\ncopied  %s\nwritten %s", body, got, want)
		}
		for i := range samples {
			if _, to := entry(body, samples[i].Name, samples[i].Value); to > 0 {
				copied++
			}
		}
	})
	if copied < 10 {
		t.Errorf("%d numbers were copied in all", copied)
	}
}

// ofBody is usual as it comes in a body: what goes on the wire is mostly there.
func ofBody() *collector.Snapshot {
	s := usual()
	s.Samples = inOrder(s.Samples)
	body := []byte(`{"counters":{`)
	at := make([][2]int, 0, 1000)
	put := func(name, value string) {
		if c := body[len(body)-1]; c != '{' {
			body = append(body, ',')
		}
		at = append(at, [2]int{len(body) + 1, len(body) + len(name) + 3})
		body = fmt.Appendf(body, `"%s":%s`, name, value)
	}
	for _, kind := range []collector.Kind{collector.Counter, collector.Gauge} {
		for i := range s.Samples {
			if x := &s.Samples[i]; x.Kind == kind {
				put(x.Name, x.Value)
			}
		}
		body = append(body, `},"next":{`...)
	}
	for i := range s.Samples {
		for _, f := range s.Samples[i].Fields {
			put(f.Name, f.Value)
		}
		body = append(body, `},"next":{`...)
	}
	body = append(body, "}}"...)
	s.JSON = body
	n := 0
	view := func(name, value *string) {
		*name = jsonscan.Text{Raw: body[at[n][0]:][:len(*name)]}.View()
		*value = jsonscan.Text{Raw: body[at[n][1]:][:len(*value)]}.View()
		n++
	}
	for _, kind := range []collector.Kind{collector.Counter, collector.Gauge} {
		for i := range s.Samples {
			if x := &s.Samples[i]; x.Kind == kind {
				view(&x.Name, &x.Value)
			}
		}
	}
	for i := range s.Samples {
		for j := range s.Samples[i].Fields {
			view(&s.Samples[i].Fields[j].Name, &s.Samples[i].Fields[j].Value)
		}
	}
	return s
}
