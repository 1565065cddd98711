package promql

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards/promql/floats"
	"github.com/rollcall-metrics/rollcall/dashboards/rules"
)

// replicas are rigs that ask each other, each with two of six services, and one that has all.
type replicas struct {
	of     []*rig
	all    *rig
	stores []*rules.Store
	// by replica: what it gives in the place of its answer, what it lacks
	instead map[int]func(context.Context) (io.ReadCloser, error)
	missing map[int]string
	asked   map[int]int
}

func newReplicas(t *testing.T, set func(*Config)) *replicas {
	t.Helper()
	rs := &replicas{all: newRig(t, nil), instead: map[int]func(context.Context) (io.ReadCloser, error){}, missing: map[int]string{}, asked: map[int]int{}}
	for i := range 3 {
		store := rules.NewStore(time.Hour)
		rs.stores = append(rs.stores, store)
		rs.of = append(rs.of, newRig(t, func(c *Config) {
			c.Also = store
			c.Others = func([]*labels.Matcher, int64) ([]Other, string) { return rs.others(i), rs.missing[i] }
			if set != nil {
				set(c)
			}
		}))
	}
	for s := range 61 {
		for k := range 6 {
			for _, r := range []*rig{rs.all, rs.of[k%3]} {
				r.add("service-"+strconv.Itoa(k), fmt.Sprintf("10.0.0.%d:80", k), "1.0", float64(s), collector.OK,
					sample(collector.Counter, "requests", float64((k+1)*s)), sample(collector.Gauge, "heat.of."+strconv.Itoa(k), math.Sin(float64(s*k))))
			}
		}
	}
	for _, r := range append([]*rig{rs.all}, rs.of...) {
		r.tick(60)
	}
	return rs
}

func (rs *replicas) others(i int) (out []Other) {
	for k, o := range rs.of {
		if k == i {
			continue
		}
		out = append(out, Other{Name: "replica-" + strconv.Itoa(k), Missing: func() string { return "2 of 6 services are" }, Ask: func(ctx context.Context, q []byte) (io.ReadCloser, error) {
			rs.of[i].t.Helper()
			if f := rs.instead[k]; f != nil {
				return f(ctx)
			}
			w := httptest.NewRecorder()
			o.api.Peer(func(*http.Request, int64) string { return rs.missing[k] }).ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(q)))
			if w.Code != 200 {
				return nil, errors.New(w.Body.String())
			}
			return io.NopCloser(w.Body), nil
		}})
	}
	return out
}

// answered is an answer of the API without its order.
func answered(r *rig, path string, form url.Values) (text string, warnings []string) {
	_, body := r.ask("GET", path, form)
	var a struct {
		Status, Error string
		Data          any
		Warnings      []string
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || a.Status != "success" {
		return a.Error, nil
	}
	if m, ok := a.Data.(map[string]any); ok {
		if list, ok := m["result"].([]any); ok {
			slices.SortFunc(list, func(x, y any) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) })
		}
	}
	return fmt.Sprint(a.Data), a.Warnings
}

// Any of three replicas answers as one does that knows everything.
func TestWhole(t *testing.T) {
	rs := newReplicas(t, nil)
	at := fmt.Sprint(t0.Unix() + 60)
	asks := []struct {
		path string
		form url.Values
	}{
		{"/api/v1/query", url.Values{"query": {"sum(requests)"}}}, {"/api/v1/query", url.Values{"query": {"count(up) + on () sum(requests)"}}},
		{"/api/v1/query", url.Values{"query": {"sum by (job) (rate(requests[30s]))"}}}, {"/api/v1/query", url.Values{"query": {`requests{job="service-4"}`}}},
		{"/api/v1/query", url.Values{"query": {`{__name__=~"heat.*"}[20s]`}}}, {"/api/v1/query", url.Values{"query": {`absent(requests{job=~"service-[12]"})`}}},
		{"/api/v1/query_range", url.Values{"query": {"topk(2, rate(requests[20s]))"}, "start": {fmt.Sprint(t0.Unix())}, "end": {at}, "step": {"7"}}},
		{"/api/v1/labels", nil}, {"/api/v1/label/job/values", nil}, {"/api/v1/label/__name__/values", nil}, {"/api/v1/label/instance/values", url.Values{"match[]": {`up{job=~".*[35]"}`}}},
		{"/api/v1/series", url.Values{"match[]": {`{job!="service-2"}`}}}, {"/api/v1/metadata", nil},
	}
	for _, a := range asks {
		if a.form == nil {
			a.form = url.Values{}
		}
		a.form.Set("time", at)
		want, _ := answered(rs.all, a.path, a.form)
		if !strings.Contains(want, "[") {
			t.Fatalf("%s %s: %s", a.path, a.form, want)
		}
		for i, r := range rs.of {
			got, warnings := answered(r, a.path, a.form)
			if got != want || len(warnings) > 0 {
				t.Errorf("replica %d, %s %s:\n%s %s, want\n%s", i, a.path, a.form.Encode(), got, warnings, want)
			}
		}
	}
}

// What rules gave stands with whoever evaluated them; where a group has gone to another, both have a part, and neither's end hides the other's value.
func TestHandedOver(t *testing.T) {
	rs := newReplicas(t, nil)
	ls := labels.FromStrings("__name__", "job:x", "job", "service-0")
	for s := range 41 {
		at, stale := t0.UnixMilli()+int64(s)*1000, math.Float64frombits(value.StaleNaN)
		switch {
		case s < 20:
			_ = rs.stores[2].Append(ls, at, float64(s))
		case s == 20:
			_ = rs.stores[2].Append(ls, at, stale)
			fallthrough
		default:
			_ = rs.stores[1].Append(ls, at, float64(s))
		}
	}
	for i, r := range rs.of {
		for query, want := range map[string]string{"count_over_time(job:x[50s])": "41", "sum_over_time(job:x[50s])": "820", "job:x offset 25s": "20"} {
			if got := r.value(query, 45); got != want {
				t.Errorf("replica %d, %s: %s, want %s", i, query, got, want)
			}
		}
	}
}

// Half of what there is never goes for all.
func TestMissing(t *testing.T) {
	rs := newReplicas(t, func(c *Config) { c.Timeout = 400 * time.Millisecond })
	say := func(b []byte) func(context.Context) (io.ReadCloser, error) {
		return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	}
	framed := func(fn func(*framing)) []byte {
		var b bytes.Buffer
		f := &framing{w: bufio.NewWriter(&b), most: math.MaxInt}
		fn(f)
		f.w.Flush()
		return b.Bytes()
	}
	half := framed(func(f *framing) {
		_ = f.series(labels.FromStrings("__name__", "requests", "job", "half"), (&told{points: packed{1, []byte{2, 0}}}).Iterator(nil))
	})
	for _, tc := range []struct {
		name    string
		instead func(context.Context) (io.ReadCloser, error)
		lacks   string
		warning string
	}{
		{"refused", func(context.Context) (io.ReadCloser, error) { return nil, errors.New("connection refused") }, "", "replica replica-2 does not answer: 2 of 6 services are missing"},
		{"hangs", func(ctx context.Context) (io.ReadCloser, error) { <-ctx.Done(); return nil, ctx.Err() }, "", "replica replica-2 does not answer"},
		{"empty", say(nil), "", "does not answer"},
		{"broken off", say(half), "", "does not answer"},
		{"fails", say(framed(func(f *framing) { _ = f.end(errors.New("disk on fire")) })), "", "does not answer"},
		{"counts wrongly", say(append(half, frameEnd, 7)), "", "cannot be read"},
		{"rubbish", say([]byte("<html>")), "", "cannot be read"},
		{"labels out of order", say([]byte("S\x02\x01b\x01x\x01a\x01x\x00\x00.\x01")), "", "cannot be read"},
		{"too many labels", say([]byte("S\xff\xff\xff\xff\x0f")), "", "cannot be read"},
		{"a long text", say([]byte("S\x01\xff\xff\xff\xff\x0f")), "", "cannot be read"},
		{"more points than bytes", say([]byte("S\x00\x7f\x02\x00\x00.\x01")), "", "cannot be read"},
		{"time goes back", say([]byte("S\x00\x02\x04\x04\x00\x03\x00.\x01")), "", "cannot be read"},
		{"not read yet", nil, "3 of 12 partitions are not read yet", "replica replica-2: 3 of 12 partitions are not read yet"},
	} {
		rs.instead[2], rs.missing[2] = tc.instead, tc.lacks
		got, warnings := answered(rs.of[0], "/api/v1/query", url.Values{"query": {"count(requests)"}, "time": {fmt.Sprint(t0.Unix() + 60)}})
		want := " 4]"
		if tc.lacks != "" {
			want = " 6]"
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], tc.warning) || !strings.Contains(got, want) {
			t.Errorf("%s: %s %q", tc.name, got, warnings)
		}
		if v, err := rs.of[0].api.Instant(t.Context(), "count(requests)", t0.Add(time.Minute)); err == nil || !strings.Contains(err.Error(), tc.warning) {
			t.Errorf("%s: a rule is told %v %v", tc.name, v, err)
		}
	}
	rs.instead, rs.missing = map[int]func(context.Context) (io.ReadCloser, error){}, map[int]string{0: "history is being read"}
	if _, warnings := answered(rs.of[0], "/api/v1/labels", url.Values{}); len(warnings) != 1 || warnings[0] != "history is being read" {
		t.Errorf("its own: %q", warnings)
	}
	rs.missing = map[int]string{}
	if v, err := rs.of[0].api.Instant(t.Context(), "count(requests)", t0.Add(time.Minute)); err != nil || v[0].F != 6 {
		t.Errorf("all answer: %v %v", v, err)
	}
}

// endless is a replica that never comes to an end.
type endless struct{ n *int }

func (e endless) Read(p []byte) (int, error) {
	const one = "S\x01\x01a\x011\x00\x00"
	n := 0
	for ; n+len(one) <= len(p); n += len(one) {
		copy(p[n:], one)
	}
	*e.n += n
	return n, nil
}

// What others send is bounded, by bytes and by series, and so is what is sent to them.
func TestWholeBounds(t *testing.T) {
	query := url.Values{"query": {"count(requests)"}, "time": {fmt.Sprint(t0.Unix() + 60)}}
	for _, tc := range []struct {
		name string
		set  func(*Config)
		says string
	}{
		{"series", func(c *Config) { c.MaxSeries = 1000 }, "more than 1000 series"},
		{"bytes", func(c *Config) { c.MaxSamples = 20_000 }, "more than 160000 bytes"},
	} {
		rs, read := newReplicas(t, tc.set), 0
		rs.instead[1] = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(endless{&read}), nil }
		if status, body := rs.of[0].ask("GET", "/api/v1/query", query); status != 422 || !strings.Contains(body, tc.says) || read > 1<<20 {
			t.Errorf("%s: %d %s after %d bytes", tc.name, status, body, read)
		}
	}
	rs := newReplicas(t, func(c *Config) { c.MaxSeries = 5 })
	if status, body := rs.of[0].ask("GET", "/api/v1/query", query); status != 422 || !strings.Contains(body, "more than 5 series") {
		t.Errorf("of all together: %d %s", status, body)
	}
	rs = newReplicas(t, func(c *Config) { c.MaxSeries = 1 })
	if status, body := rs.of[0].ask("GET", "/api/v1/series", url.Values{"match[]": {`{job="service-1"}`}}); status != 422 || !strings.Contains(body, "more than 1 series") {
		t.Errorf("of another: %d %s", status, body)
	}
	for _, body := range []string{"", "{", `{"what":"series","matchers":[{"type":2,"name":"job","value":"("}]}`, `{"matchers":[{"type":9,"name":"job"}]}`, strings.Repeat(" ", maxQuestion+1)} {
		w := httptest.NewRecorder()
		rs.of[0].api.Peer(func(*http.Request, int64) string { return "" }).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		if w.Code != 400 {
			t.Errorf("%.60q: %d", body, w.Code)
		}
	}
}

// What is packed comes out as it was, whatever kind of number it is.
func TestPack(t *testing.T) {
	it := floats.Over[stamped](nil)
	for i, v := range []float64{0, 1, -1, math.Inf(1), math.NaN(), math.Float64frombits(value.StaleNaN), 1e300, 5e-324, 41, 41} {
		it.List = append(it.List, stamped{t0.UnixMilli() + int64(i*i), math.Float64bits(v)})
	}
	b, n, err := pack(nil, it)
	if err != nil {
		t.Fatal(err)
	}
	var out []stamped
	if err := (packed{n, b}).unpack(func(t int64, v uint64) { out = append(out, stamped{t, v}) }); err != nil || !slices.Equal(out, it.List) {
		t.Errorf("%v %v, want %v", out, err, it.List)
	}
}

func FuzzUnframe(f *testing.F) {
	f.Add([]byte("S\x01\x01a\x011\x01\x02\x02\x00V\x01xL\x01y.\x02"))
	f.Add([]byte("E\x03bad"))
	f.Fuzz(func(t *testing.T, b []byte) {
		left := 1 << 20
		u := unframing{r: bufio.NewReader(bytes.NewReader(b)), take: func(n int) error {
			if left -= n; left < 0 {
				return tooMuch{1 << 20}
			}
			return nil
		}}
		_ = u.read(func(ls labels.Labels, p packed) error {
			it := (&told{ls, p}).Iterator(nil)
			var again []byte
			n := 0
			if again, n, _ = pack(nil, it); n != p.n || it.Err() != nil {
				t.Errorf("%d points of %d, %v", n, p.n, it.Err())
			}
			if err := (packed{n, again}).unpack(func(int64, uint64) {}); err != nil {
				t.Error(err)
			}
			return nil
		}, func(string) error { return nil }, func(string) {})
	})
}

// What it costs to tell another replica of a counter's points, and to take them in.
func BenchmarkPack(b *testing.B) {
	var list []stamped
	for i := range 360 {
		list = append(list, stamped{t0.UnixMilli() + int64(i)*10_000, math.Float64bits(float64(1_000_000 + i*137))})
	}
	var buf []byte
	it := floats.Over[stamped](nil)
	b.ReportAllocs()
	for b.Loop() {
		it = floats.Over[stamped](it)
		it.List = list
		var n int
		buf, n, _ = pack(buf[:0], it)
		_ = (packed{n, buf}).unpack(func(int64, uint64) {})
	}
	b.ReportMetric(float64(len(buf))/360, "bytes/point")
}
