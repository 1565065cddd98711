package dashboards

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Golden names the metrics that mean rate, errors and latency. In a pattern * stands for any text; case does not matter, and . : - count as _.
// The first pattern that a service has any counter (or distribution) for wins and sums all that it matches. What is not named is recognised.
//
// Saturation names gauges: "busy of size", a share by its own name, or "queue waits"; where it is named, nothing else is taken for it.
type Golden struct {
	Rate, Errors, Latency, Saturation []string
}

// NoMetric stands in a Golden for: there is none, and what comes behind it or would be recognised is none either.
const NoMetric = "\x00none"

// What is recognised without configuration, in the order of trust. Metrics of clients and of the machinery beside the service do not count
// (sideTokens), unless the configuration names them. Labelled series are summed where there is no total without labels.
var (
	ratePatterns = []string{
		"requests", "requests_total", "request_count", "requests_count",
		"srv/*/requests", "srv/requests", "http/requests", "*/requests",
		"http_requests_total", "http_requests", "http_server_requests_total", "http_server_requests", "grpc_server_handled_total",
		"*_http_requests_total", "*requests_total", "*_requests", "*request_count",
		"queries", "queries_total", "*/queries", "*_queries_total", "calls", "calls_total", "*_calls_total",
		"hits", "hits_total", "messages_total", "*_messages_total", "jobs_total", "*_jobs_total", "*processed_total",
		"zk_packets_received", // of ZooKeeper itself
	}
	errorPatterns = []string{
		"errors", "errors_total", "error_count", "failures", "failures_total", "failed_requests", "request_errors",
		"srv/*/failures", "srv/*/errors", "http/errors", "http/failures", "*/errors", "*/failures",
		"http_errors_total", "http_request_errors_total", "http_requests_failed_total", "*request_errors_total", "*requests_failed_total", "*failed_requests*",
		byStatus,
		"5xx", "*_5xx", "*_5xx_total", "*/5xx", "http_5xx*", "responses_5xx*",
		"*_errors_total", "*_failures_total", "*_errors", "*_failures", "*error_count",
		"exceptions", "exceptions_total", "*/exceptions", "*_exceptions_total", "exceptions/*",
	}
	latencyPatterns = []string{
		"latency_ms", "latency", "request_latency*", "requests/latency*", "srv/*/*latency*", "http/latency*", "*request_latency*", "*/request_latency*",
		"http_server_requests_seconds", "http_request_duration_seconds", "http_server_request_duration*", "*http_request_duration*", "*request_duration*",
		"*latency*", "*response_time*", "*request_time*", "*requests_seconds", "*requests", "*duration*", "*_time_ms*", "*_time_msec*",
		"zk_readlatency",
	}
	sideTokens = []string{"clnt", "client", "clients", "outbound", "upstream", "downstream", "jdbc", "db", "sql", "redis", "memcache", "memcached", "cache", "kafka",
		"consumer", "producer", "admin", "promhttp", "zk", "zookeeper", "gc", "jvm", "dns", "retries", "dropped", "rejected", "flight", "pending", "scrape"}
)

// byStatus stands in errorPatterns for: the server errors among the series of the rate, or of anything labelled 5xx.
const byStatus = "\x00status"

// Labels whose value says how a request ended.
var statusLabels = []string{"code", "status", "status_code", "statuscode", "http_status", "http.response.status_code", "http_response_status_code", "grpc_code", "outcome", "result"}

func isServerError(label, value string) bool {
	v := strings.ToLower(value)
	if !slices.Contains(statusLabels, strings.ToLower(label)) {
		return false
	}
	if len(v) == 3 && v[0] == '5' {
		return v[1:] == "xx" || isDigits(v)
	}
	switch v {
	case "server_error", "error", "failure", "failed", "internal", "unavailable", "unknown", "dataloss", "data_loss", "deadlineexceeded", "deadline_exceeded":
		return true
	}
	return false
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// goldenSet is which columns of a service mean what.
type goldenSet struct {
	rate, errors   []uint32
	rateName       string
	errorsName     string
	latency        latencySet
	rateBy, errsBy []uint32  // the same counted apart by labels: where a cause may lie that no instance's tag tells
	why            [3]string // the patterns by which rate, errors and latency were found; named ones have a = before them
}

// latencySet is the distribution that means latency.
type latencySet struct {
	metric     string
	toMillis   float64
	window     collector.Window
	parts      []latencyPart // one, or one a label set where none is without labels
	buckets    []bucketCol   // classic buckets, by bound; several series may share one
	sum, count []uint32      // beside classic buckets
}

// latencyPart is the fields of one label set; a column of -1 is not there.
type latencyPart struct {
	labels     string
	count, sum int64
	min, max   int64
	quantiles  []quantileCol // by percentile
	overs      []overCol     // how many took longer than a limit, in an interval
}

type quantileCol struct {
	p    float64
	name string
	col  uint32
}

type bucketCol struct {
	le  float64
	col uint32
}

func (l *latencySet) none() bool { return l.metric == "" }

// golden finds the golden signals among the columns.
func (k *knowing) golden(cols []column) goldenSet {
	var out goldenSet
	var found []uint32
	found, out.why[0] = k.counters(cols, signalRate, nil)
	out.rate, out.rateName = total(cols, found)
	found, out.why[1] = k.counters(cols, signalErrors, out.rate)
	out.errors, out.errorsName = total(cols, found)
	out.latency, out.why[2] = k.latency(cols)
	if len(out.rate) == 0 && !slices.Contains(k.by.Rate, NoMetric) && !out.latency.none() {
		out.why[0] = whyCount
		// What has a latency has been asked for: its count is the rate, where it never resets.
		out.rate, out.rateName = slices.Clone(out.latency.count), out.latency.metric
		for _, p := range out.latency.parts {
			if p.count >= 0 && cols[p.count].rises() {
				out.rate = append(out.rate, uint32(p.count))
			}
		}
	}
	if out.why[0] != "="+NoMetric {
		out.rateBy = k.brokenDown(cols, out.rateName, wordRate)
	}
	if out.why[1] != "="+NoMetric {
		out.errsBy = k.brokenDown(cols, out.errorsName, wordErrors)
	}
	return out
}

// Reasons beside patterns.
const (
	whyStatus = "status"
	whyCount  = "count"
)

// counters gives the columns of all metrics that the first matching pattern matches, and that pattern.
func (k *knowing) counters(cols []column, of int, rate []uint32) (found []uint32, why string) {
	first := none
	for i := range k.likely {
		if l := &k.likely[i]; len(l.matches[of]) > 0 && l.matches[of][0] < first && l.counts(cols) {
			first = l.matches[of][0]
		}
	}
	if k.stops[of] < first {
		return nil, "=" + NoMetric
	}
	// Errors may stand among the series of the rate, in a place of their own among the patterns.
	if of == signalErrors && first > k.status {
		if found = k.statusErrors(cols, rate); len(found) > 0 {
			return found, whyStatus
		}
	}
	if first == none {
		return nil, ""
	}
	for i := range k.likely {
		if l := &k.likely[i]; slices.Contains(l.matches[of], first) {
			found = l.counted(cols, found)
		}
	}
	return found, k.pattern(of, first)
}

// statusErrors are the series of the rate that ended in a server error; where the rate has no such label, a counter of its own that is labelled 5xx.
func (k *knowing) statusErrors(cols []column, rate []uint32) (found []uint32) {
	for _, n := range rate {
		for _, l := range cols[n].labels {
			if isServerError(l.Name, l.Value) {
				found = append(found, n)
				break
			}
		}
	}
	if len(found) > 0 {
		return found
	}
	for _, n := range k.fivexx {
		if cols[n].kindNow() == collector.Counter {
			found = append(found, n)
		}
	}
	return found
}

// total takes of each metric the column without labels where there is one, else all of its columns.
func total(cols []column, found []uint32) (out []uint32, name string) {
	plain := map[string]bool{}
	for _, n := range found {
		if len(cols[n].labels) == 0 {
			plain[cols[n].metric] = true
		}
	}
	for _, n := range found {
		if m := cols[n].metric; !plain[m] || len(cols[n].labels) == 0 {
			out = append(out, n)
			if name == "" || m < name {
				name = m
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), name
}

// brokenDown are the labelled counters of the metric itself, or of one that says with a dotted label that it counts the same thing apart: that is how
// roll-ups and ByClient name what they count by (client.as.number).
func (k *knowing) brokenDown(cols []column, metric string, word uint8) (out []uint32) {
	var best *likely
	for i := range k.likely {
		l := &k.likely[i]
		if m := l.metric; l.dotted && (m == metric || l.words&word != 0) && l.counts(cols) && (best == nil || m == metric || best.metric != metric && m < best.metric) {
			best = l
		}
	}
	if best == nil {
		return nil
	}
	for _, n := range best.counted(cols, nil) {
		if len(cols[n].labels) > 0 {
			out = append(out, n)
		}
	}
	return out
}

func (k *knowing) latency(cols []column) (l latencySet, why string) {
	first := none
	for i := range k.likely {
		if l := &k.likely[i]; len(l.matches[signalLatency]) > 0 && l.matches[signalLatency][0] < first && l.shapes(cols) {
			first = l.matches[signalLatency][0]
		}
	}
	switch {
	case k.stops[signalLatency] < first:
		return l, "=" + NoMetric
	case first == none:
		return l, ""
	}
	var of *likely
	for i := range k.likely {
		l := &k.likely[i]
		if slices.Contains(l.matches[signalLatency], first) && l.shapes(cols) && (of == nil || cmp.Or(cmp.Compare(len(l.metric), len(of.metric)), strings.Compare(l.metric, of.metric)) < 0) {
			of = l
		}
	}
	best, shaped := of.metric, of.shaped(cols)
	why = k.pattern(signalLatency, first)
	l = latencySet{metric: best, toMillis: toMillis(best)}
	plain := slices.ContainsFunc(shaped, func(n uint32) bool { return cols[n].field != "" && len(cols[n].labels) == 0 })
	for _, n := range shaped {
		c := &cols[n]
		if c.field == "" {
			if f, err := strconv.ParseFloat(c.label("le"), 64); err == nil && !math.IsNaN(f) {
				l.buckets = append(l.buckets, bucketCol{f, n})
			}
			continue
		}
		// Of a labelled distribution the one without labels speaks for all.
		if plain && len(c.labels) > 0 {
			continue
		}
		l.window = c.window
		l.part(c).add(c, n)
	}
	if len(l.buckets) > 0 {
		// Classic buckets bring their count and sum as counters beside them.
		l.parts, l.window = nil, collector.WindowUnknown
		l.count, l.sum = k.countedBy(cols, best+"_count"), k.countedBy(cols, best+"_sum")
	}
	for i := range l.parts {
		slices.SortFunc(l.parts[i].quantiles, func(a, b quantileCol) int { return cmp.Compare(a.p, b.p) })
	}
	slices.SortFunc(l.buckets, func(a, b bucketCol) int { return cmp.Or(cmp.Compare(a.le, b.le), cmp.Compare(a.col, b.col)) })
	return l, why
}

// maxLatencyParts bounds how many label sets of one distribution are mixed.
const maxLatencyParts = 32

func (l *latencySet) part(c *column) *latencyPart {
	key := string(columnKey(nil, "", c.labels, ""))
	for i := range l.parts {
		if l.parts[i].labels == key {
			return &l.parts[i]
		}
	}
	if len(l.parts) == maxLatencyParts {
		return &latencyPart{}
	}
	l.parts = append(l.parts, latencyPart{labels: key, count: -1, sum: -1, min: -1, max: -1})
	return &l.parts[len(l.parts)-1]
}

func (p *latencyPart) add(c *column, n uint32) {
	switch c.field {
	case "count":
		p.count = int64(n)
	case "sum":
		p.sum = int64(n)
	case "minimum":
		p.min = int64(n)
	case "maximum":
		p.max = int64(n)
	default:
		if f, ok := percentile(c.field); ok {
			p.quantiles = append(p.quantiles, quantileCol{f, c.field, n})
		} else {
			p.addOver(c.field, n)
		}
	}
}

// side reports metrics of something beside the service itself.
func side(metric string) bool {
	return slices.ContainsFunc(tokens(metric), func(t string) bool { return slices.Contains(sideTokens, t) })
}

func tokens(metric string) []string {
	return strings.FieldsFunc(strings.ToLower(metric), func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9') })
}

// glob matches a name against a pattern in which * stands for any text.
func glob(pattern, name string) bool {
	return Glob(normal(pattern), normal(name))
}

// normal works byte by byte, so that names that are no UTF-8 compare like any other.
func normal(s string) string {
	b := []byte(s)
	for i, c := range b {
		switch {
		case c >= 'A' && c <= 'Z':
			b[i] = c | 0x20
		case c == '.' || c == ':' || c == '-' || c == ' ':
			b[i] = '_'
		}
	}
	return string(b)
}

// Glob matches a text against a pattern in which * stands for any text. Case counts.
func Glob(p, s string) bool {
	// The classic walk with one point of return: linear for one *, and never worse than pattern times name.
	star, back := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			star, back = i, j
			i++
		case i < len(p) && p[i] == s[j]:
			i++
			j++
		case star >= 0:
			back++
			i, j = star+1, back
		default:
			return false
		}
	}
	return strings.Trim(p[i:], "*") == ""
}
