package stats

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-metrics/rollcall/collector"
)

func TestDetect(t *testing.T) {
	const prom, om, js = "text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0", "application/json"
	for _, tc := range []struct {
		body, contentType string
		want              Format
	}{
		{`{"a":1}`, "", JSON},
		{`{"a":1}`, "text/plain", JSON},
		{`{"a":1}`, "text/html; charset=utf-8", JSON},
		{`a 1`, js + ";charset=utf-8", JSON},
		{`a 1`, "application/vnd.x+json", JSON},
		{"\ufeff {\"a\":1}", "", JSON},
		{`[1]`, "", JSON},
		{`{"a"} 1`, "", PrometheusText},
		{`{ "a\"b" , x="y"} 1`, "", PrometheusText},
		{`{"a"`, "", JSON},
		{`a 1`, "", PrometheusText},
		{`a{b="c"} 1`, "text/plain", PrometheusText},
		{"# HELP a\na 1\n", "", PrometheusText},
		{"# TYPE a counter\na_total 1\n# EOF\n", "", OpenMetrics},
		{"# TYPE a counter\na_total 1\n# EOF\n", prom, PrometheusText},
		{"counters:\n  a: 1\n", "", OstrichText},
		{"\n gauges: \n", "", OstrichText},
		{"counters:\n", "Text/Plain;  Version=\"0.0.4\"", PrometheusText},
		{``, prom, PrometheusText},
		{"{\"a b\"} 1", "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8", PrometheusText},
		{`a 1`, om, OpenMetrics},
		{``, "", Unknown},
		{" \n", "text/plain", Unknown},
		{`<html>`, "text/html", Unknown},
		{`OK`, "", Unknown},
		{`404: not found`, "", Unknown},
		{"\x1f\x8b\x08", "", Unknown},
		{"a,b", "text/csv; header=absent", CSV},
		{"name,value\n", "", CSV},
		{"Timestamp,Name,Value\r\n1,a,2", "text/plain", CSV},
		{"\"a, \"\"b\"\"\",1", "", CSV},
		{"a,1\n", "", CSV},
		{"label,boiler,online\n", "", CSV},
		{"1764000000,a,2\n", "", CSV},
		{"2026-11-22T02:30:00Z,a,2\n", "", CSV},
		{"Sorry, we are down", "", Unknown},
		{"a,b,c", "", Unknown},
		{"a{b=\"c\",d=\"1\"} 1", "", PrometheusText},
		{"jvm/mem/used 12\n", "text/plain; charset=utf-8", VarsText},
		{"build.git.revision abc\n", "", VarsText},
		{"It's down now", "", Unknown},
		{"Note: down", "", PrometheusText}, // a colon may stand in its names
		{"\x0b\x0a\x01a\x18\x01\x22\x04\x12\x02\x09\x00", "", Protobuf},
		{"{}", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", Protobuf},
		{"{\n  \"a\": 1,\n" + strings.Repeat(" ", 200) + "}", "", JSON},
	} {
		if got := Detect([]byte(tc.body), tc.contentType); got != tc.want {
			t.Errorf("%q as %q: %v, want %v", tc.body, tc.contentType, got, tc.want)
		}
	}
}

func TestBrokenBodies(t *testing.T) {
	const prom, om = "text/plain; version=0.0.4", "application/openmetrics-text"
	for _, tc := range []struct {
		body, contentType string
		offset            int
		want              string // part of the error
	}{
		{``, "", 0, "parse body: byte 0: the body is empty"},
		{" \n<html>", "", 2, `byte 2: no format of statistics starts with "<html>"`},
		{``, "application/json", 0, "parse json: ends early at byte 0"},
		{`[1]`, "", 0, "want an object"},
		{`{"counters":{"a":1}`, "", 19, "ends early at byte 19"},
		{`{"counters":{"a":1,}}`, "", 19, "byte 19 is"},
		{"\ufeff{\"a\":x}", "", 8, "byte 8 is \"x\": want a value"},
		{`{"metrics":{"m":{"count":1,"p99":}}}`, "", 33, "byte 33"},
		{`{"gauges":{"g":{"value":tru}}}`, "", 27, "want true"},
		{`{"meters":{"m":{"count":1`, "", 25, "ends early"},
		{`{"a":1} trailing`, "", 8, "want the end of the document"},
		{`{"a":[1,2}`, "", 9, `want ',' or ']'`},
		{"a 1\nb x\n", prom, 6, `byte 6: want a number after the series, not "x"`},
		{"a 1\nb{c=\"d\" 2\n", "", 12, "want a label name or '}'"},
		{"a{b=\"c", "", 6, "ends within quotes"},
		{"a{b", "", 3, "want '='"},
		{"a 1 x", "", 4, "want the end of the line or a time stamp"},
		{"a 1 99999999999999999999", "", 4, "does not fit"},
		{"a 1e999", "", 2, "want a number"},
		{"# TYPE a thing\n", "", 8, `no metric type is called "thing"`},
		{"{a=\"b\"} 1", prom, 0, "the series has no name"},
		{"a{\"b\"} 1", prom, 5, "two names"},
		{"a{b=\"\xff\"} 1", prom, 4, "not UTF-8"},
		{"# TYPE a counter\na_total 1\n", om, 27, "ends without # EOF"},
		{"# TYPE a counter\na_total 1", om, 26, "want the end of the line"},
		{"# EOF\na 1\n", om, 6, "nothing behind # EOF"},
		{"a 1\n\n# EOF", om, 4, "want a metric name"},
		{"#TYPE a counter\n# EOF", om, 0, "want # HELP"},
		{"# TYPE a thing\n# EOF", om, 8, `no metric type is called "thing"`},
		{"# TYPE a\n# EOF", om, 8, "want a blank, a text"},
		{"# HELP a \xff\n# EOF", om, 8, "not UTF-8"},
		{"# UNIT a_ms seconds\n# EOF", om, 11, `does not end in its unit "seconds"`},
		{"# HELP 1 x\n# EOF", om, 7, "want a metric name after HELP"},
		{"a  1\n# EOF", om, 2, `want a blank and a number after the series, not " 1"`},
		{"a 1 \n# EOF", om, 4, "want a blank and a time in seconds"},
		{"a 1 NaN\n# EOF", om, 3, "the time is no number"},
		{"a 1 2 3\n# EOF", om, 5, "want # and the labels"},
		{"a{b=\"c\" } 1\n# EOF", om, 7, "want ',' or '}'"},
		{"a{b= \"c\"} 1\n# EOF", om, 3, "want '=' and a label value"},
		{"a{b=\"c", om, 6, "ends within quotes"},
		{"a{b=\"c\",", om, 8, "ends within the labels"},
		{"a{1=\"c\"} 1\n# EOF", om, 2, "want a label name"},
		{"a{b=\"c\nd\"} 1\n# EOF", om, 4, "line feed"},
		{"a{\"b\"} 1\n# EOF", om, 5, "two names"},
		{"{} 1\n# EOF", om, 0, "the series has no name"},
		{"a 1 # {b=\"c\"}\n# EOF", om, 13, "want a blank and the number of the exemplar"},
		{"a 1 # {\"b\"} 1\n# EOF", om, 10, "want a label of an exemplar"},
		{"a 1 # {b=\"c\"", om, 12, "want ',' or '}'"},
		{"a 1 # {b=\"c\",", om, 13, "ends within the labels"},
		{"a 1 # {} 1 Inf\n# EOF", om, 10, "the time is no number"},
		{"counters:\n  a: x\n", "", 12, "want name: value"},
		{"counters:\n  a 1\n", "", 12, "want name: value"},
		{"counters:\n  a: 1\nkaput:\n", "", 17, `not "kaput:"`},
		{"counter,a,x\n", "", 10, `byte 10: want a number, not "x"`},
		{"thing,a,1\n", "text/csv", 0, "want name,value or"},
		{"type,name,value\nthing,a,1\n", "", 16, "want counter, gauge"},
		{"a,1\nb\n", "", 4, "1 fields, where the first record has 2"},
		{"a,1\nb,\"2", "", 6, "ends within quotes"},
		{"a,1\nb,\"2\"3", "", 9, "after the closing quote"},
		{"a,1\nb\"c,2", "", 5, "a quote within a field"},
		{"a,1\n,2", "", 4, "the name is empty"},
		{"a,b,c,d,e", "text/csv", 8, "more than 4 fields"},
		{"name,value,name\n1,2,3", "text/csv", 0, "want name,value"},
		{"1764000000,a,1\nnow,b,2\n", "", 15, `want a time, not "now"`},
		{"metric,p99,1\n", "", 7, "want name.number"},
		{"jvm/mem 1\n<html>\n", "", 10, "want a name, a blank"},
		{"build.git abc\n", "", 0, "no number among them"},
		{"hello world\n", "", 6, "want a number after the series"},
		{"\x0b\x0a\x01a\x18\x01\x22\x04\x12\x02\x09", "application/vnd.google.protobuf", 0, "a metric family of 11 bytes, of which 10 are there"},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "application/vnd.google.protobuf", 0, "want the length"},
		{"\x00\x03\x22\x05a", "application/vnd.google.protobuf", 2, "byte 2: a field is longer"},
		{"\x00\x07\x0a\x01a\x22\x02\x09\x00", "application/vnd.google.protobuf", 8, "want eight bytes of a number"},
		{"\x00\x0b\x0a\x01a\x22\x06\x0a\x04\x0a\x00\x12\x00", "application/vnd.google.protobuf", 9, "want the name of a label"},
		{"\x00\x05\x0a\x00\x22\x01\x00", "application/vnd.google.protobuf", 2, "want the name of the metric family"},
		{"\x00\x07\x0a\x01a\x18\x09\x22\x00", "application/vnd.google.protobuf", 2, "want a type of metric family, not 9"},
		{"\x00\x07\x0a\x01a\x22\x02\x12\x03", "application/vnd.google.protobuf", 7, "longer than the message"},
		{"metrics:\n  m: (count=1, p99)\n", "", 11, "want name: value"},
		{"metrics:\n  m:\n    count: x\n", "", 18, `want a number of the distribution "m"`},
	} {
		var p Parser
		s := collector.Snapshot{Samples: make([]collector.Sample, 3), Nonfinite: 9, Duplicates: 9, Invalid: 9}
		err := p.Parse(&s, []byte(tc.body), tc.contentType, Options{})
		var e *ParseError
		if !errors.As(err, &e) || e.Offset != tc.offset || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v (%+v), want %q at %d", tc.body, err, e, tc.want, tc.offset)
		}
		if s.Samples != nil || s.Nonfinite+s.Duplicates+s.Invalid != 0 || s.BodyBytes != len(tc.body) {
			t.Errorf("%q: something was emitted: %+v", tc.body, s)
		}
	}
}

func TestLimits(t *testing.T) {
	long := strings.Repeat("n", 2000)
	for _, tc := range []struct {
		body string
		o    Options
		want LimitError
	}{
		{`{"counters":{"a":1,"b":2,"c":3}}`, Options{Samples: 2}, LimitError{"samples", 2, "c"}},
		{`{"metrics":{"m":{"count":1,"p50":2,"p99":3}}}`, Options{Samples: 2}, LimitError{"samples", 2, "m"}},
		{`{"meters":{"m":{"count":1,"m1_rate":2,"m5_rate":3}}}`, Options{Samples: 2}, LimitError{"samples", 2, "m"}},
		{`{"a":{"b":1,"c":{"d":"x"}}}`, Options{Samples: 1}, LimitError{"samples", 1, "a/c/d"}},
		{`{"` + long + `":1}`, Options{}, LimitError{"name", 1024, long[:80]}},
		{`{"labels":{"l":"` + long + `"}}`, Options{LabelValue: 100}, LimitError{"label value", 100, "l"}},
		{"a 1\nb 2\n", Options{Samples: 1}, LimitError{"samples", 1, "b"}},
		{"aaaa 1\n", Options{Name: 3}, LimitError{"name", 3, "aaaa"}},
		{`a{b="c",d="e"} 1`, Options{Labels: 1}, LimitError{"labels", 1, "d"}},
		{`a{bbbb="c"} 1`, Options{LabelName: 3}, LimitError{"label name", 3, "bbbb"}},
		{`a{b="cccc"} 1`, Options{LabelValue: 3}, LimitError{"label value", 3, "b"}},
		{`{"d:type=T,a=bbbb":{"c":1}}`, Options{LabelValue: 3}, LimitError{"label value", 3, "a"}},
		{"a 1\nb 2\n# EOF\n", Options{Samples: 1}, LimitError{"samples", 1, "b"}},
		{"# TYPE a gauge\na{b=\"cccc\"} 1\n# EOF\n", Options{LabelValue: 3}, LimitError{"label value", 3, "b"}},
		{"counters:\n  a: 1\n  b: 2\n", Options{Samples: 1}, LimitError{"samples", 1, "b"}},
		{"metrics:\n  m: (count=1, sum=2)\n", Options{Samples: 1}, LimitError{"samples", 1, "m"}},
		{`{"x":1,"a":{"b":` + strings.Repeat("[", 70), Options{}, LimitError{"depth", 64, "a/b"}},
		{`{"counters":{"a":{"b":{}}}}`, Options{Depth: 2}, LimitError{"depth", 2, "a"}},
		{"a,1\nb,2\n", Options{Samples: 1}, LimitError{"samples", 1, "b"}},
		{"metric,m.p50,1\nmetric,m.p99,2\n", Options{Samples: 1}, LimitError{"samples", 1, "m.p99"}},
		{"label,l," + long, Options{LabelValue: 100}, LimitError{"label value", 100, "l"}},
		{long + ",1\n", Options{}, LimitError{"name", 1024, long[:80]}},
		{"a/b 1\nc 2\n", Options{Samples: 1}, LimitError{"samples", 1, "c"}},
		{"\x12\x0a\x01b\x18\x01\x22\x0b\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x12\x0a\x01c\x18\x01\x22\x0b\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f", Options{Samples: 1}, LimitError{"samples", 1, "c"}},
	} {
		var p Parser
		var s collector.Snapshot
		err := p.Parse(&s, []byte(tc.body), "", tc.o)
		var e *LimitError
		if !errors.As(err, &e) || *e != tc.want || s.Samples != nil {
			t.Errorf("%.60q: %v, want %v", tc.body, err, &tc.want)
		}
	}
	for _, tc := range []struct{ e, want string }{
		{(&LimitError{"samples", 2, "c"}).Error(), `more than 2 samples; the first too many is "c"`},
		{(&LimitError{"labels", 2, "c"}).Error(), `more than 2 labels on one series; the first too many is "c"`},
		{(&LimitError{"label value", 2, "c"}).Error(), `label value longer than 2 bytes: that of "c"`},
		{(&LimitError{"depth", 2, "c"}).Error(), `objects and arrays more than 2 deep in "c"`},
		{(&LimitError{"name", 2, "ccc"}).Error(), `name longer than 2 bytes: "ccc"…`},
	} {
		if tc.e != tc.want {
			t.Errorf("%s, want %s", tc.e, tc.want)
		}
	}
}

// flatten is a snapshot as short lines.
func flatten(s *collector.Snapshot) string {
	var b strings.Builder
	for i, x := range s.Samples {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s %s", x.Kind, x.Name)
		for _, l := range x.Labels {
			fmt.Fprintf(&b, "{%s=%s}", l.Name, l.Value)
		}
		b.WriteString(" " + x.Value)
		for _, f := range x.Fields {
			fmt.Fprintf(&b, "%s=%s,", f.Name, f.Value)
		}
	}
	return b.String()
}

func TestDuplicatesAndMending(t *testing.T) {
	for _, tc := range []struct {
		body, want                     string
		duplicates, invalid, nonfinite int
	}{
		{`{"a":1,"b":2,"a":3}`, "untyped b 2; untyped a 3", 1, 0, 0},
		{`{"a":1,"a":"x"}`, "label a x", 1, 0, 0},
		{`{"a":1,"a":null}`, "", 1, 0, 0},
		{`{"a":{"b":1},"a":{"c":2}}`, "untyped a/c 2", 1, 0, 0},
		{`{"z":{"b":1},"a":5,"z":7}`, "untyped a 5; untyped z 7", 1, 0, 0},
		{`{"counters":{"x":1},"gauges":{"x":2},"x":3}`, "counter x 1; gauge x 2; untyped x 3", 0, 0, 0},
		{`{"counters":5,"counters":{"x":1}}`, "counter x 1", 1, 0, 0},
		{`{"metrics":{"m":{"count":1},"m":{"count":2}}}`, "distribution m count=2,", 1, 0, 0},
		{`{"metrics":{"m":{"count":1,"count":2}}}`, "distribution m count=2,", 1, 0, 0},
		{`{"timers":{"t":{"count":1,"u":"s","u":"ms"}}}`, "label t/u ms; distribution t count=1,", 1, 0, 0},
		{`{"t.count":1,"t.p50":2,"t.count":3}`, "distribution t p50=2,count=3,", 1, 0, 0},
		{"{\"a\xff\":1,\"b\":\"\xc3x\"}", "untyped a\ufffd 1; label b \ufffdx", 0, 2, 0},
		{`{"\ud800":1}`, "untyped \ufffd 1", 0, 1, 0},
		{`{"a":NaN,"b":"-Infinity","c":[NaN],"d":"inf"}`, "gauge c 1; label d inf", 0, 0, 2},
		{`{"x.count":0,"y.p50":1,"y.p99":2}`, "distribution x count=0,; distribution y p50=1,p99=2,", 0, 0, 0},
		{`{"x.count":5,"y.p50":1,"y.p99":2}`, "untyped x.count 5; distribution y p50=1,p99=2,", 0, 0, 0},
		{`{"q.max":5,"q.count":1}`, "untyped q.max 5; untyped q.count 1", 0, 0, 0},
		{`{"q.avg":5,"q.count":1,"q.mean":6,"q.p999":7,"q.p9990":8}`, "distribution q average=6,count=1,p999=8,", 2, 0, 0},
		{`{"q.sum":5,"q.count":1}`, "distribution q sum=5,count=1,", 0, 0, 0},
		{"a{b=\"c\"} 1\na{ b=\"c\" } 2\na 1\na{} 2\na{b=\"\"} 3\n{\"a\"} 4", "untyped a{b=c} 2; untyped a 4", 4, 0, 0},
		{"{\"a\xff\"} 1", "untyped a\ufffd 1", 0, 1, 0},
		{"a{b=\"x\\\"y\\\\\\n\\z\"} 1", "untyped a{b=x\"y\\\n\\z} 1", 0, 0, 0},
		{"counters:\n  a: 1\n  a: 2\n", "counter a 2", 1, 0, 0},
		{`{"value":{"k.s:name=N,type=T":{"Count":1,"MeanRate":2.5,"RateUnit":"S"}}}`, "counter k.s/T/N/Count 1; gauge k.s/T/N/MeanRate 2.5; label k.s/T/N/RateUnit S", 0, 0, 0},
		{`{"d:type=T,topic=a":{"Count":1},"d:type=T,topic=b":{"Count":2},"d:topic=b,type=T":{"Count":3}}`, "untyped d/T/Count{topic=a} 1; untyped d/T/Count{topic=b} 3", 2, 0, 0},
		{`{"d:type=T,z=1,y=\"a,\\\"b\"":{"99thPercentile":9,"Max":7,"x":true,"Count":3,"Other":4}}`, `distribution d/T{y=a,\"b}{z=1} p99=9,maximum=7,count=3,; gauge d/T/x{y=a,\"b}{z=1} 1; untyped d/T/Other{y=a,\"b}{z=1} 4`, 0, 0, 0},
		{`{"request":{"mbean":"d:name=N,type=T,q=1"},"value":{"Count":7,"deep":{"x":1}},"status":200}`, "label request/mbean d:name=N,type=T,q=1; untyped d/T/N/Count{q=1} 7; untyped d/T/N/deep/x{q=1} 1; untyped status 200", 0, 0, 0},
		{`{"request":{"mbean":"d:type=T,*"},"value":{"Count":7}}`, "label request/mbean d:type=T,*; untyped value/Count 7", 0, 0, 0},
		{`{"java.lang:type=Memory":{"HeapMemoryUsage":{"used":5},"Verbose":false}}`, "untyped java.lang/Memory/HeapMemoryUsage/used 5; gauge java.lang/Memory/Verbose 0", 0, 0, 0},
		{`{"d:type=T":5,"http://h:1/p?a=b":{"c":1},"d:x":{"c":1},"d:=":{"c":1}}`, "untyped d:type=T 5; untyped http://h:1/p?a=b/c 1; untyped d:x/c 1; untyped d:=/c 1", 0, 0, 0},
		{"labels:\n  a\xff: b\xff\n", "label a\ufffd b\ufffd", 0, 2, 0},
	} {
		var p Parser
		var s collector.Snapshot
		if err := p.Parse(&s, []byte(tc.body), "", Options{}); err != nil {
			t.Errorf("%q: %v", tc.body, err)
			continue
		}
		if got := flatten(&s); got != tc.want || s.Duplicates != tc.duplicates || s.Invalid != tc.invalid || s.Nonfinite != tc.nonfinite {
			t.Errorf("%q: %s; %d duplicates, %d invalid, %d nonfinite; want %s", tc.body, got, s.Duplicates, s.Invalid, s.Nonfinite, tc.want)
		}
	}
}

// Many names out of order, each twice: the table grows, and a Parser that has seen one body knows nothing of it at the next.
func TestManyDuplicates(t *testing.T) {
	var p Parser
	for round := range 3 {
		var b strings.Builder
		b.WriteString(`{"counters":{`)
		for i := range 4000 {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"n%d":%d`, (i*7919)%2000, i)
		}
		b.WriteString(`}}`)
		var s collector.Snapshot
		if err := p.Parse(&s, []byte(b.String()), "", Options{}); err != nil {
			t.Fatal(err)
		}
		if len(s.Samples) != 2000 || s.Duplicates != 2000 {
			t.Errorf("round %d: %d samples, %d duplicates", round, len(s.Samples), s.Duplicates)
		}
	}
	if p.Size() < 2000*112 {
		t.Errorf("holds %d bytes", p.Size())
	}
}

func TestArrays(t *testing.T) {
	for _, tc := range []struct{ body, arrays, want string }{
		{`{"a":[1,{"b":2},[3]],"c":[4]}`, "", "gauge a 3; gauge c 1"},
		{`{"a":[1,{"b":2},[3]],"c":[4]}`, "a", "untyped a/0 1; untyped a/1/b 2; gauge a/2 1; gauge a 3; gauge c 1"},
		{`{"a":[1,{"b":2},[3]],"c":[4]}`, "a.*", "untyped a/0 1; untyped a/1/b 2; untyped a/2/0 3; gauge a/2 1; gauge a 3; gauge c 1"},
		{`{"a":[],"b":["x",null,true,NaN]}`, "b|a", "gauge a 0; label b/0 x; gauge b/2 1; gauge b 4"},
		{`{"a/0":5,"a":[6]}`, "a", "untyped a/0 6; gauge a 1"},
	} {
		var p Parser
		var s collector.Snapshot
		o := Options{}
		if tc.arrays != "" {
			o.Arrays = regexp.MustCompile("^(?:" + tc.arrays + ")$")
		}
		if err := p.Parse(&s, []byte(tc.body), "", o); err != nil || flatten(&s) != tc.want {
			t.Errorf("%s, %q: %v %s, want %s", tc.body, tc.arrays, err, flatten(&s), tc.want)
		}
	}
	var p Parser
	var s collector.Snapshot
	var le *LimitError
	if err := p.Parse(&s, []byte(`{"a":[1,2,3]}`), "", Options{Samples: 2, Arrays: regexp.MustCompile("a")}); !errors.As(err, &le) || le.Name != "a/2" {
		t.Errorf("three are too many: %v", err)
	}
}

func TestWindows(t *testing.T) {
	for _, tc := range []struct {
		body string
		o    Options
		want collector.Window
	}{
		{`{"metrics":{"m":{"count":1}}}`, Options{}, collector.Lifetime},
		{`{"metrics":{"m":{"count":1}}}`, Options{Window: collector.Latched}, collector.Latched},
		{"metrics:\n  m: (count=1)\n", Options{Window: collector.Latched}, collector.Latched},
		{`{"m.count":1,"m.p9990":1}`, Options{}, collector.Latched},
		{`{"m.count":1,"m.p99":1}`, Options{}, collector.WindowUnknown},
		{`{"histograms":{"m":{"count":1}}}`, Options{Window: collector.Latched}, collector.Decaying},
	} {
		var p Parser
		var s collector.Snapshot
		if err := p.Parse(&s, []byte(tc.body), "", tc.o); err != nil || len(s.Samples) != 1 || s.Samples[0].Window != tc.want {
			t.Errorf("%q: %v %+v", tc.body, err, s.Samples)
		}
	}
}

func TestServerInfo(t *testing.T) {
	got, err := ServerInfo([]byte(`{"name":"kestrel","version":"2.4\u002e1","build":"20110602","build_revision":"","start_time":"Fri Jun 03","uptime":1000,"pid":7,"ok":true,"args":["x"],"nested":{"a":1},"long":"` + strings.Repeat("x", 300) + `"}`))
	want := map[string]string{"name": "kestrel", "version": "2.4.1", "build": "20110602", "start_time": "Fri Jun 03", "pid": "7", "ok": "true"}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v: %s", err, cmp.Diff(want, got))
	}
	for _, body := range []string{``, `[]`, `{"a":`, `<html>`} {
		if got, err := ServerInfo([]byte(body)); err == nil || got != nil {
			t.Errorf("%q: %v, %v", body, got, err)
		}
	}
}

func recorded(t *testing.T, file string) []byte {
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNothingIsAllocated(t *testing.T) {
	for _, tc := range []struct{ name, body string }{
		{"ostrich", string(ostrichBody(200))},
		{"prometheus", string(prometheusBody(200))},
		{"openmetrics", string(prometheusBody(200)) + "a 1 # {x=\"y\"} 2 3\n# EOF\n"},
		{"protobuf", string(recorded(t, "node-exporter.pb"))},
		{"csv", string(csvBody(200))},
		{"vars", string(varsBody(200))},
	} {
		var p Parser
		var s collector.Snapshot
		body := []byte(tc.body)
		if n := testing.AllocsPerRun(100, func() {
			if err := p.Parse(&s, body, "", Options{}); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a body", tc.name, n)
		}
	}
}
