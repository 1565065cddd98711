package dashboards

import (
	"cmp"
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

// recognise finds the golden signals among the columns.
func recognise(cols []column, g Golden) goldenSet {
	var out goldenSet
	counted := map[string][]uint32{} // counters by metric
	shaped := map[string][]uint32{}  // fields of distributions, and buckets
	for i := range cols {
		c := &cols[i]
		switch k := c.kindNow(); {
		case k == collector.Distribution:
			shaped[c.metric] = append(shaped[c.metric], uint32(i))
		case c.label("le") != "" && strings.HasSuffix(c.metric, "_bucket"):
			base := strings.TrimSuffix(c.metric, "_bucket")
			shaped[base] = append(shaped[base], uint32(i))
		case k == collector.Counter || k == collector.Delta:
			counted[c.metric] = append(counted[c.metric], uint32(i))
		}
	}
	var found []uint32
	found, out.why[0] = pickCounters(cols, counted, g.Rate, ratePatterns, nil)
	out.rate, out.rateName = total(cols, found)
	found, out.why[1] = pickCounters(cols, counted, g.Errors, errorPatterns, out.rate)
	out.errors, out.errorsName = total(cols, found)
	out.latency, out.why[2] = pickLatency(cols, shaped, counted, g.Latency)
	if len(out.rate) == 0 && !slices.Contains(g.Rate, NoMetric) && !out.latency.none() {
		out.why[0] = whyCount
		// What has a latency has been asked for: its count is the rate, where it never resets.
		out.rate, out.rateName = slices.Clone(out.latency.count), out.latency.metric
		for _, p := range out.latency.parts {
			if p.count >= 0 && cols[p.count].rises() {
				out.rate = append(out.rate, uint32(p.count))
			}
		}
	}
	out.rateBy = brokenDown(cols, counted, out.rateName, "requests", "request", "hits", "queries", "calls", "messages")
	out.errsBy = brokenDown(cols, counted, out.errorsName, "errors", "error", "failures", "failure", "failed", "exceptions", "5xx")
	if out.why[0] == "="+NoMetric {
		out.rateBy = nil
	}
	if out.why[1] == "="+NoMetric {
		out.errsBy = nil
	}
	return out
}

// Reasons beside patterns.
const (
	whyStatus = "status"
	whyCount  = "count"
)

// pickCounters gives the columns of all metrics that the first matching pattern matches, and that pattern.
func pickCounters(cols []column, counted map[string][]uint32, configured, known []string, rate []uint32) (of []uint32, why string) {
	try := func(pattern string, any bool) (found []uint32) {
		if pattern == byStatus {
			return statusErrors(cols, rate)
		}
		for metric, cs := range counted {
			if glob(pattern, metric) && (any || !side(metric)) {
				found = append(found, cs...)
			}
		}
		return found
	}
	for _, p := range configured {
		if p == NoMetric {
			return nil, "=" + NoMetric
		}
		if f := try(p, true); len(f) > 0 {
			return f, "=" + p
		}
	}
	for _, p := range known {
		if f := try(p, !strings.Contains(p, "*")); len(f) > 0 {
			if p == byStatus {
				p = whyStatus
			}
			return f, p
		}
	}
	return nil, ""
}

// statusErrors are the series of the rate that ended in a server error; where the rate has no such label, a counter of its own that is labelled 5xx.
func statusErrors(cols []column, rate []uint32) (found []uint32) {
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
	for i := range cols {
		if k := cols[i].kindNow(); k != collector.Counter || side(cols[i].metric) {
			continue
		}
		for _, l := range cols[i].labels {
			if isServerError(l.Name, l.Value) && strings.EqualFold(l.Value, "5xx") {
				found = append(found, uint32(i))
			}
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
func brokenDown(cols []column, counted map[string][]uint32, metric string, words ...string) (out []uint32) {
	best := ""
	for m, cs := range counted {
		dotted, named := false, m == metric
		for _, n := range cs {
			for _, l := range cols[n].labels {
				dotted = dotted || strings.Contains(l.Name, ".")
			}
		}
		for _, t := range tokens(m) {
			named = named || slices.Contains(words, t)
		}
		if dotted && named && (best == "" || m == metric || best != metric && m < best) {
			best = m
		}
	}
	for _, n := range counted[best] {
		if len(cols[n].labels) > 0 {
			out = append(out, n)
		}
	}
	return out
}

func pickLatency(cols []column, shaped, counted map[string][]uint32, configured []string) (l latencySet, why string) {
	best := ""
	choose := func(pattern string, any bool) bool {
		for metric := range shaped {
			if glob(pattern, metric) && (any || !side(metric)) && (best == "" || cmp.Or(cmp.Compare(len(metric), len(best)), strings.Compare(metric, best)) < 0) {
				best = metric
			}
		}
		return best != ""
	}
	if i := slices.IndexFunc(configured, func(p string) bool { return p == NoMetric || choose(p, true) }); i >= 0 {
		why = "=" + configured[i]
	} else if i = slices.IndexFunc(latencyPatterns, func(p string) bool { return choose(p, !strings.Contains(p, "*")) }); i >= 0 {
		why = latencyPatterns[i]
	}
	if best == "" {
		return latencySet{}, why
	}
	l = latencySet{metric: best, toMillis: toMillis(best)}
	plain := slices.ContainsFunc(shaped[best], func(n uint32) bool { return cols[n].field != "" && len(cols[n].labels) == 0 })
	for _, n := range shaped[best] {
		c := &cols[n]
		if c.field == "" {
			if f, err := strconv.ParseFloat(c.label("le"), 64); err == nil {
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
		l.count, l.sum = counted[best+"_count"], counted[best+"_sum"]
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
	return globMatch(normal(pattern), normal(name))
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

func globMatch(p, s string) bool {
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
