package stats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	plabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/rollcall-metrics/rollcall/collector"
)

// seeds adds the bodies of testdata with one of the extensions, and some more.
func seeds(f *testing.F, exts []string, more ...string) {
	for _, ext := range exts {
		files, err := filepath.Glob("testdata/*" + ext)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			if len(b) < 4096 { // the large recordings would only slow the mutator down
				f.Add(b)
			}
		}
	}
	for _, m := range more {
		f.Add([]byte(m))
	}
}

// parse reads a body and checks what must hold for every body.
func parse(t *testing.T, body []byte, contentType string) (*Parser, *collector.Snapshot, error) {
	t.Helper()
	before := bytes.Clone(body)
	p, s := new(Parser), new(collector.Snapshot)
	err := p.Parse(s, body, contentType, Options{})
	if !bytes.Equal(body, before) {
		t.Fatal("the body was changed")
	}
	var pe *ParseError
	var le *LimitError
	if err != nil {
		if len(s.Samples) > 0 || !errors.As(err, &pe) && !errors.As(err, &le) || pe != nil && (pe.Offset < 0 || pe.Offset > len(body)) {
			t.Fatalf("%v with %d samples", err, len(s.Samples))
		}
		return p, s, err
	}
	var again collector.Snapshot
	if err := p.Parse(&again, body, contentType, Options{}); err != nil || again.Duplicates != s.Duplicates || len(again.Samples) != len(s.Samples) {
		t.Fatalf("the second time: %v", err)
	}
	for _, x := range s.Samples {
		if x.Kind == deadKind || x.Name == "" || !utf8.ValidString(x.Name) || x.Kind == collector.Distribution && len(x.Fields) == 0 {
			t.Fatalf("sample %+v", x)
		}
		if x.Kind == collector.Distribution || x.Kind == collector.Label || x.Kind == collector.Histogram && x.Hist != nil {
			continue
		}
		if f, err := strconv.ParseFloat(x.Value, 64); err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(f) {
			t.Fatalf("sample %+v: %v", x, err)
		}
	}
	return p, s, nil
}

func FuzzJSON(f *testing.F) {
	seeds(f, []string{".json"}, `{"a":{"b":[1,{"c":2}],"d":"NaN"},"a.p50":1,"a.p99":2,"a.count":3}`, `{"meters":{"m":{"count":1,"units":"x"}},"timers":{"t":{"count":1}},"histograms":{}}`,
		`{"value":{"d:type=T,name=N,x=y":{"Count":1,"99thPercentile":2,"MeanRate":3,"e:a=b":{"Count":"x"}}}}`, `{"gauges":{"g":{"value":[1]}},"counters":{"c":{"count":"x"}},"labels":{"l":{"a":"b"}}}`)
	f.Fuzz(againstReference)
}

// FuzzShapes lets the bytes choose among the words that mean something to the decoder, so that most bodies are sound.
func FuzzShapes(f *testing.F) {
	for i := range 16 {
		b := make([]byte, 64)
		for j := range b {
			b[j] = byte(i*37 + j*j*(i+3))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		againstReference(t, grow(nil, &choices, 0))
	})
}

var (
	someKeys = strings.Fields(`a b c x.count x.p50 x.p9990 x.sum x.avg y.count y.max count value p99 mean average units version
		counters gauges labels metrics histograms meters timers`)
	someValues = strings.Fields(`0 1 -2.5e3 9007199254740993 true false null "NaN" "up" "" [] [1,{}]`)
)

func grow(b []byte, choices *[]byte, depth int) []byte {
	choose := func(n int) int {
		if len(*choices) == 0 {
			return 0
		}
		c := int((*choices)[0])
		*choices = (*choices)[1:]
		return c % n
	}
	b = append(b, '{')
	for i := range choose(8) + 1 - min(depth, 1) {
		if i > 0 {
			b = append(b, ',')
		}
		key := someKeys[choose(len(someKeys))]
		b = fmt.Appendf(b, "%q:", key)
		if v := choose(len(someValues) + 10); v < len(someValues) || depth > 3 {
			b = append(b, someValues[v%len(someValues)]...)
		} else {
			b = grow(b, choices, depth+1)
		}
	}
	return append(b, '}')
}

// againstReference compares what a body is taken for with what encoding/json and the rules make of it.
func againstReference(t *testing.T, body []byte) {
	p, s, err := parse(t, body, "application/json")
	doc := bytes.TrimPrefix(body, bom)
	if !json.Valid(doc) || bytes.TrimLeft(doc, " \t\r\n")[0] != '{' {
		if err == nil && !bytes.Contains(body, []byte("N")) && !bytes.Contains(body, []byte("I")) { // for NaN and Infinity
			t.Fatal("a broken body was taken")
		}
		return
	}
	var limit *LimitError
	if errors.As(err, &limit) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	ref := reference{flat: map[string]string{}}
	if !ref.read(doc) {
		return // names clash in a way of which the reference knows nothing
	}
	var got []string
	for i := range s.Samples {
		got = append(got, line(&s.Samples[i]))
	}
	slices.Sort(got)
	if d := cmp.Diff(ref.lines(), got); d != "" {
		t.Fatalf("%s\n%s", d, dump(p, s))
	}
	if s.Duplicates != 0 {
		t.Fatalf("%d duplicates in a body that has none", s.Duplicates)
	}
}

func line(s *collector.Sample) string {
	l := fmt.Sprintf("%s %q %q", s.Kind, s.Name, s.Value)
	var fs []string
	for _, f := range s.Fields {
		fs = append(fs, f.Name+"="+f.Value)
	}
	slices.Sort(fs)
	return l + strings.Join(fs, " ")
}

func FuzzPrometheus(f *testing.F) {
	seeds(f, []string{".prom"}, "a{b=\"c\",} 1 2\n", "{\"a\",b=\"c\"}+1", "# TYPE a counter\n# HELP a\na 1e3\n", "a NaN\nb -Inf\n", "a{b=\"\\\"\\\\\\n\\x\"} .5", "#c\n\n\t a{} 1", "a{\"q\"=\"v\" b=\"c\"} 1")
	f.Fuzz(func(t *testing.T, body []byte) {
		_, s, err := parse(t, body, "text/plain; version=0.0.4")
		if bytes.IndexByte(body, 0) >= 0 || bytes.HasPrefix(body, bom) {
			return // Prometheus stops at a NUL, and does not know the byte order mark
		}
		var le *LimitError
		if errors.As(err, &le) {
			return
		}
		type series struct {
			name string
			ls   map[string]string
			v    float64
		}
		// The last of equal series speaks, and one that is no number says nothing.
		want := map[string]series{}
		tp := textparse.NewPromParser(bytes.Clone(body), plabels.NewSymbolTable(), false)
		for {
			e, terr := tp.Next()
			if errors.Is(terr, io.EOF) {
				break
			}
			if terr != nil {
				if err == nil {
					t.Fatalf("Prometheus says %v, we take it", terr)
				}
				return
			}
			if e != textparse.EntrySeries {
				continue
			}
			_, _, v := tp.Series()
			var ls plabels.Labels
			tp.Labels(&ls)
			x := series{"", map[string]string{}, v}
			ls.Range(func(l plabels.Label) {
				if l.Name == "__name__" && x.name == "" {
					x.name = strings.ToValidUTF8(strings.TrimLeft(l.Value, " \t"), "\ufffd") // it keeps blanks before the name
				} else if l.Value != "" {
					x.ls[strings.ToValidUTF8(l.Name, "\ufffd")] = normal(l.Name, l.Value)
				}
			})
			if x.name == "" || strings.Contains(string(body), "__name__") {
				return // Prometheus refuses it later
			}
			want[x.name+fmt.Sprint(x.ls)] = x
		}
		if err != nil {
			t.Fatalf("Prometheus takes it, we say %v", err)
		}
		for id, x := range want {
			if math.IsNaN(x.v) || math.IsInf(x.v, 0) {
				delete(want, id)
			}
		}
		got := map[string]bool{}
		for _, x := range s.Samples {
			ls := map[string]string{}
			last := ""
			for i, l := range x.Labels {
				if ls[l.Name] = normal(l.Name, l.Value); i > 0 && l.Name <= last {
					t.Fatalf("labels of %+v are not sorted", x)
				}
				last = l.Name
			}
			id := x.Name + fmt.Sprint(ls)
			got[id] = true
			w, ok := want[id]
			if v, err := x.Float(); !ok || err != nil || v != w.v {
				t.Fatalf("%s is %v, want %v (%v)", id, x.Value, w, ok)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d series, want %d: %v", len(got), len(want), want)
		}
	})
}

// normal undoes what textparse does to the labels le and quantile.
func normal(name, v string) string {
	if f, err := strconv.ParseFloat(v, 64); err == nil && (name == "le" || name == "quantile") {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return v
}

func FuzzOstrichText(f *testing.F) {
	seeds(f, []string{"ostrich.txt"}, "counters:\n  a: 1\nmetrics:\n  m:\n    count: 1\n  n: (count=0)\n", "labels:\n  a: \n  b:\n", "gauges:\n  : 1\n")
	f.Fuzz(func(t *testing.T, body []byte) {
		p := new(Parser)
		s := new(collector.Snapshot)
		if Detect(body, "") == OstrichText {
			p, s, _ = parse(t, body, "")
		}
		// A body cut short at the end of a line is one that says less; a byte that can stand nowhere is an error.
		if len(s.Samples) > 0 && s.Duplicates == 0 {
			var less collector.Snapshot
			cut := body[:bytes.LastIndexByte(bytes.TrimRight(body, "\n"), '\n')+1]
			if err := p.Parse(&less, cut, "", Options{}); err == nil && len(less.Samples) > len(s.Samples) {
				t.Fatal("more from less")
			}
		}
	})
}

func FuzzServerInfo(f *testing.F) {
	seeds(f, nil, `{"name":"kestrel","version":"2.4.1","build":"x","uptime":1,"pid":7}`, `{"a":{},"b":[1],"c":null,"d":true}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := ServerInfo(body)
		if err != nil {
			return
		}
		var want map[string]any
		if json.Unmarshal(body, &want) != nil {
			return // NaN and Infinity
		}
		for n, v := range got {
			if _, ok := want[n]; !ok || v == "" || len(got) > 32 {
				t.Fatalf("%q: %q, %v", n, v, want)
			}
		}
	})
}

// FuzzDetect sends anything through the whole: no panic, and no samples with an error.
func FuzzDetect(f *testing.F) {
	seeds(f, []string{".json", ".prom", ".txt", ".csv", ".pb"})
	f.Fuzz(func(t *testing.T, body []byte) { parse(t, body, "") })
}
