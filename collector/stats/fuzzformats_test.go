package stats

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	plabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/rollcall-metrics/rollcall/collector"
)

// FuzzCSV holds the records against those of encoding/csv, and what becomes of a body against a plain reading of them.
func FuzzCSV(f *testing.F) {
	seeds(f, []string{".csv"}, "type,name,value\ncounter,a,1\nmetric,m.p50,2\nmetric,m.count,3\nlabel,l,\"x\"\"y\"\n", "value,name\r\n1,a\r\n", "a,1\n\n\r\nb,\"2\"\n", "\"a\nb\",1\r")
	f.Fuzz(func(t *testing.T, body []byte) {
		l := csvLine{b: body}
		var got, want [][]string
		for l.next() {
			var rec []string
			for _, f := range l.fields[:l.n] {
				text := string(f.raw)
				if f.doubled {
					text = strings.ReplaceAll(text, `""`, `"`)
				}
				rec = append(rec, strings.ReplaceAll(text, "\r\n", "\n"))
			}
			got = append(got, rec)
		}
		r := csv.NewReader(bytes.NewReader(body))
		r.FieldsPerRecord = -1
		want, err := r.ReadAll()
		tooMany := strings.Contains(l.msg, "more than")
		if (err == nil) != (l.msg == "") && !tooMany {
			t.Fatalf("encoding/csv says %v, we %q at byte %d", err, l.msg, l.at)
		}
		if err != nil || tooMany {
			want = want[:min(len(want), len(got))]
			got = got[:len(want)]
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
		parse(t, body, "text/csv")
	})
}

// FuzzVars reads names and values; every line that is taken must be one, and none may be lost.
func FuzzVars(f *testing.F) {
	seeds(f, []string{"vars.txt", "vars-plain.txt"}, "a.b 1\nc x y\n", "a 1\nb x\n", "a/b NaN\r\nc 1e5\r\na/b 2")
	f.Fuzz(func(t *testing.T, body []byte) {
		p, s, err := parse(t, body, "")
		if err != nil || p.Format() != VarsText {
			return
		}
		n := 0
		for line := range strings.SplitSeq(strings.TrimPrefix(string(body), "\ufeff"), "\n") {
			name, value, ok := strings.Cut(strings.TrimLeft(strings.TrimRight(line, "\r"), " \t"), " ")
			if value = strings.TrimSpace(value); ok && value != "" && len(value) <= MaxText && !strings.Contains(name, "\t") {
				n++
			}
		}
		said := len(s.Samples) + s.Duplicates + s.Nonfinite
		for _, x := range s.Samples {
			if x.Kind == collector.Distribution {
				said += len(x.Fields) - 1
			}
		}
		if said < n {
			t.Fatalf("%d lines, %d samples, %d duplicates, %d nonfinite\n%s", n, len(s.Samples), s.Duplicates, s.Nonfinite, dump(p, s))
		}
	})
}

// FuzzProtobuf holds what is taken against Prometheus' own reading of the same bytes.
func FuzzProtobuf(f *testing.F) {
	seeds(f, []string{".pb"}, "", "\x00", "\x0b\x0a\x01a\x18\x01\x22\x04\x12\x02\x09\x00")
	f.Fuzz(againstProtobuf)
}

func againstProtobuf(t *testing.T, body []byte) {
	_, s, err := parse(t, body, acceptProtobuf)
	var le *LimitError
	if errors.As(err, &le) || bytes.Contains(body, []byte("__name__")) {
		return
	}
	want, werr := ofTextparse(body)
	if werr != nil && err == nil {
		t.Fatalf("Prometheus says %v, we take it", werr)
	}
	if werr == nil && err != nil && !stricter(err) {
		t.Fatalf("Prometheus takes it, we say %v", err)
	}
	if err != nil {
		return
	}
	got := map[string]string{}
	for i := range s.Samples {
		x := &s.Samples[i]
		id := x.Name
		for _, l := range x.Labels {
			id += "\x00" + l.Name + "\x01" + l.Value
		}
		if x.Hist != nil {
			got[id] = fmt.Sprint(x.Hist.Schema, x.Hist.Count, x.Hist.PositiveCounts, x.Hist.NegativeCounts, x.Hist.Exemplars)
			continue
		}
		v, err := x.Float()
		if err != nil {
			t.Fatal(err)
		}
		got[id] = strconv.FormatFloat(v, 'g', -1, 64)
		if x.Kind == collector.Untyped {
			delete(got, id)
			continue
		}
		if x.Exemplar != nil {
			got[id] += fmt.Sprint(*x.Exemplar)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%s\n%x", d, body)
	}
}

// stricter reports what we do not take and Prometheus does: groups, numbers that lose bits, packed numbers that reach beyond their length, and histograms whose
// buckets do not fit, of which it looks at the first of a family only.
func stricter(err error) bool {
	for _, s := range []string{"want no group", "at most 64 bits", "whole numbers behind a length", "as many buckets as the spans"} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}

// ofTextparse is what Prometheus takes of a body: the last of equal series, if it is a number.
func ofTextparse(body []byte) (said map[string]string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	said = map[string]string{}
	for len(body) > 0 { // a family alone, so that a run of empty ones does not nest
		size, n := binary.Uvarint(body)
		if n <= 0 || n > binary.MaxVarintLen32 || size > uint64(len(body)-n) {
			return nil, io.ErrUnexpectedEOF
		}
		tp := textparse.NewProtobufParser(body[:n+int(size)], false, false, false, false, plabels.NewSymbolTable())
		body = body[n+int(size):]
		var kind model.MetricType
		for {
			e, err := tp.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			if e == textparse.EntryType {
				_, kind = tp.Type()
			}
			if e != textparse.EntrySeries && e != textparse.EntryHistogram {
				continue
			}
			var ls plabels.Labels
			tp.Labels(&ls)
			last := map[string]string{}
			var order []string
			name := ""
			ls.Range(func(l plabels.Label) {
				if l.Name == "__name__" {
					name = strings.ToValidUTF8(l.Value, "\ufffd")
					return
				}
				if l.Name == "le" && (kind == model.MetricTypeHistogram || kind == model.MetricTypeGaugeHistogram) || l.Name == "quantile" && kind == model.MetricTypeSummary {
					l.Value = strings.TrimSuffix(l.Value, ".0")
				}
				if _, again := last[l.Name]; !again {
					order = append(order, l.Name)
				}
				last[l.Name] = l.Value
			})
			id := name
			for _, n := range order {
				if last[n] != "" {
					id += "\x00" + n + "\x01" + last[n]
				}
			}
			if e == textparse.EntryHistogram {
				_, _, h, fh := tp.Histogram()
				if h != nil {
					fh = h.ToFloat(nil)
				}
				delete(said, id)
				if fh.Schema >= -4 && fh.Schema <= 8 && fh.CounterResetHint == 0 && finites(fh.Count, fh.ZeroCount, fh.ZeroThreshold) && finites(fh.PositiveBuckets...) && finites(fh.NegativeBuckets...) {
					all := []collector.Exemplar(nil)
					for e, more := exemplarOf(tp); more; e, more = exemplarOf(tp) {
						if finites(e.Value) && len(all) < maxExemplars {
							all = append(all, e)
						}
					}
					said[id] = fmt.Sprint(fh.Schema, fh.Count, fh.PositiveBuckets, fh.NegativeBuckets, all)
				}
				continue
			}
			_, _, v := tp.Series()
			delete(said, id)
			if kind == model.MetricTypeUnknown {
				continue // its decoder keeps the value of an untyped metric for the next one that has none
			}
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				said[id] = strconv.FormatFloat(v, 'g', -1, 64)
				if e, ok := exemplarOf(tp); ok && finites(e.Value) {
					said[id] += fmt.Sprint(e)
				}
			}
		}
	}
	return said, nil
}

// exemplarOf is the next exemplar of what the parser stands at.
func exemplarOf(tp textparse.Parser) (e collector.Exemplar, ok bool) {
	var x exemplar.Exemplar
	if !tp.Exemplar(&x) {
		return e, false
	}
	e.Value, e.Labels = x.Value, []collector.LabelPair{}
	if x.HasTs {
		e.Time = x.Ts
	}
	x.Labels.Range(func(l plabels.Label) {
		e.Labels = append(e.Labels, collector.LabelPair{Name: l.Name, Value: l.Value})
	})
	return e, true
}

// The second histogram of a family is held to its spans, too.
func TestSecondHistogramIsChecked(t *testing.T) {
	metric := func(length byte) []byte { // one bucket, and spans of so many
		h := []byte{0x08, 1, 0x28, 3, 0x62, 2, 0x10, length, 0x6a, 1, 2}
		return append([]byte{0x22, byte(len(h) + 2), 0x3a, byte(len(h))}, h...)
	}
	family := append([]byte("\x0a\x01a\x18\x04"), append(metric(1), metric(9)...)...)
	for _, tc := range []struct {
		body []byte
		want string
	}{
		{append([]byte{byte(len(family))}, family...), "as many buckets"},
		{append([]byte{byte(5 + len(metric(1))), 0x0a, 1, 'a', 0x18, 4}, metric(1)...), ""},
	} {
		var p Parser
		var s collector.Snapshot
		err := p.Parse(&s, tc.body, acceptProtobuf, Options{})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) || err == nil && len(s.Samples) != 1 {
			t.Errorf("%x: %v, %d samples", tc.body, err, len(s.Samples))
		}
	}
}

// Bodies that would cost far more than their bytes, where nobody looked.
func TestProtobufIsBounded(t *testing.T) {
	message := func(tag byte, b []byte) []byte {
		return append(binary.AppendUvarint([]byte{tag}, uint64(len(b))), b...)
	}
	delimited := func(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }
	for _, tc := range []struct {
		name string
		body []byte
		want string // of the error; "" is none
	}{
		{"four million empty families", make([]byte, 4<<20), ""},
		{"four million empty metrics", delimited(append([]byte("\x0a\x01a\x18\x00"), bytes.Repeat([]byte("\x22\x00"), 4<<20)...)), `more than 100000 samples; the first too many is "a"`},
		{"a million buckets", delimited(append([]byte("\x0a\x01a\x18\x04"), message(0x22, message(0x3a, bytes.Repeat([]byte("\x1a\x00"), 1<<20)))...)), `metric longer than 262144 bytes: "a"`},
	} {
		var p Parser
		var s collector.Snapshot
		err := p.Parse(&s, tc.body, acceptProtobuf, Options{})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}
