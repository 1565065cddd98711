package expose

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"
)

func TestQuantileNames(t *testing.T) {
	for q, want := range map[float64]string{0: "minimum", 0.05: "p05", 0.055: "p055", 0.5: "p50", 0.9: "p90", 0.99: "p99", 0.999: "p999", 0.9999: "p9999", 0.995: "p995", 1: "maximum"} {
		if got := quantileName(q); got != want {
			t.Errorf("%v: %s, want %s", q, got, want)
		}
	}
}

func TestSeriesNames(t *testing.T) {
	l := func(pairs ...string) (out []*dto.LabelPair) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, &dto.LabelPair{Name: &pairs[i], Value: &pairs[i+1]})
		}
		return out
	}
	for _, tc := range []struct {
		labels []*dto.LabelPair
		want   string
	}{
		{nil, "x"},
		{l("code", "200"), "x/code/200"},
		{l("method", "get", "code", "200"), "x/code/200/method/get"},
		{l("path", "/a/100%"), "x/path/%2Fa%2F100%25"},
		{l("path", ""), "x/path/"},
		{l("client.as.number", "15169"), "x/client.as.number/15169"},
	} {
		if got := seriesName("x", tc.labels); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.labels, got, tc.want)
		}
	}
}

// What histogram_quantile gives for the same buckets, worked out by hand from its definition.
func TestQuantileOfBuckets(t *testing.T) {
	inf := math.Inf(1)
	for _, tc := range []struct {
		name    string
		buckets []bucket
		exp     bool
		q, want float64
	}{
		{"middle of one bucket", []bucket{{math.Inf(-1), 10, 4}}, false, 0.5, 5},
		{"second bucket", []bucket{{math.Inf(-1), 10, 1}, {10, 20, 3}}, false, 0.5, 10 + 10.0/3},
		{"in the open end: its lower bound", []bucket{{math.Inf(-1), 10, 1}, {10, inf, 9}}, false, 0.99, 10},
		{"lowest bound not positive: that bound", []bucket{{math.Inf(-1), -5, 2}, {-5, 5, 2}}, false, 0.25, -5},
		{"exponential, by ratio", []bucket{{1, 4, 2}}, true, 0.5, 2},
		{"exponential and negative", []bucket{{-4, -1, 2}}, true, 0.5, -2},
	} {
		if got := quantile(tc.buckets, tc.q, tc.exp); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// Whatever is observed, each percentile lies in the bucket of the true one, classic or native, and they rise.
func TestPercentilesLieInTheirBucket(t *testing.T) {
	bounds := []float64{0.5, 1, 5, 10, 50, 100, 500}
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0.001, 499), 1, 300).Draw(t, "values")
		classic := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "c", Buckets: bounds})
		native := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "n", NativeHistogramBucketFactor: 1.1})
		for _, v := range values {
			classic.Observe(v)
			native.Observe(v)
		}
		slices.Sort(values)
		for _, h := range []prometheus.Histogram{classic, native} {
			var m dto.Metric
			if err := h.Write(&m); err != nil {
				t.Fatal(err)
			}
			d := histogram("x", m.Histogram)
			last := 0.0
			for _, p := range percentiles {
				i := slices.IndexFunc(d.fields, func(f number) bool { return f.name == p.name })
				if i < 0 {
					t.Fatalf("%s is missing", p.name)
				}
				got := d.fields[i].value
				truth := values[max(int(math.Ceil(p.q*float64(len(values))))-1, 0)]
				lo, hi := truth/1.1, truth*1.1
				if h == classic {
					at, _ := slices.BinarySearch(bounds, truth)
					hi = bounds[at]
					lo = 0
					if at > 0 {
						lo = bounds[at-1]
					}
				}
				if got < lo-1e-9 || got > hi+1e-9 || got < last-1e-9 {
					t.Fatalf("%s is %v (before it %v), the true one %v, its bucket %v..%v", p.name, got, last, truth, lo, hi)
				}
				last = got
			}
		}
	})
}

func TestNumbers(t *testing.T) {
	for _, tc := range []struct {
		v    float64
		want string
	}{
		{0, "0"}, {math.Copysign(0, -1), "0"}, {1, "1"}, {12.5, "12.5"}, {-3, "-3"}, {1 << 60, "1152921504606846976"},
		{1e21, "1e+21"}, {2.5e-9, "2.5e-09"}, {0.1, "0.1"}, {math.NaN(), "NaN"}, {math.Inf(-1), "-Infinity"},
	} {
		if got := string(appendNumber(nil, tc.v)); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.v, got, tc.want)
		}
	}
}

// What we write as a JSON string, encoding/json reads as the same text, with broken UTF-8 replaced.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a b", "q\"\\", "\x00\n\x7f", "é\u2028", "\xff", "a\xc3", "\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := appendString(nil, s)
		if !utf8.Valid(b) {
			t.Fatalf("%q is not UTF-8", b)
		}
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if want := string([]rune(s)); got != want {
			t.Fatalf("%q came back as %q", want, got)
		}
	})
}
