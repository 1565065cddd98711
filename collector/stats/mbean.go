package stats

import (
	"bytes"
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// isMBean reports a key that is the name of an MBean, as Jolokia and others put JMX into JSON: a domain, a colon, and properties key=value between commas.
func isMBean(key []byte) bool {
	colon := bytes.IndexByte(key, ':')
	if colon <= 0 {
		return false
	}
	props := key[colon+1:]
	n := 0
	for n < len(props) && (isNameByte(props[n]) || props[n] == '.' || props[n] == '-') && props[n] != ':' {
		n++
	}
	return n > 0 && n < len(props) && props[n] == '='
}

// nextProperty takes the first key=value off the properties of an MBean. Values in quotes may hold commas.
func nextProperty(props string) (key, value, rest string) {
	key, rest, _ = strings.Cut(props, "=")
	if !strings.HasPrefix(rest, `"`) {
		value, rest, _ = strings.Cut(rest, ",")
		return key, value, rest
	}
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return key, rest[1:i], strings.TrimPrefix(rest[i+1:], ",")
		}
	}
	return key, rest[1:], ""
}

// mbean reads the object of an MBean. Its samples are called by the domain, the properties type and name, and the attribute, joined by '/'; its other properties
// are their labels: kafka.network:name=TotalTimeMs,request=Fetch,type=RequestMetrics is kafka.network/RequestMetrics/TotalTimeMs{request="Fetch"}.
func (p *Parser) mbean(full string) {
	outer, outerFrom := p.labelled, p.labelsFrom
	domain, props, _ := strings.Cut(full, ":")
	parts := [3]string{domain}
	p.labelsFrom = len(p.pairs)
	for rest := props; rest != "" && p.err == nil; {
		var key, value string
		switch key, value, rest = nextProperty(rest); key {
		case "type":
			parts[1] = value
		case "name":
			parts[2] = value
		default:
			p.label(key, value, p.labelsFrom)
		}
	}
	p.sort(p.labelsFrom, true)
	from := len(p.text)
	for i, part := range parts {
		if i > 0 && part != "" {
			p.text = append(p.text, '/')
		}
		p.text = append(p.text, part...)
	}
	name := p.kept(from)
	p.labelled = p.pairs[p.labelsFrom:len(p.pairs):len(p.pairs)]
	if len(p.labelled) == 0 {
		p.labelled = nil
	}
	at, first := p.register(flat, p.id(name)), len(p.samples)
	for more := p.scan.Object(); more && p.err == nil; {
		var k jsonscan.Text
		if k, more = p.scan.Key(); more {
			p.child(name, k)
		}
	}
	p.yammer(name, first)
	p.close(at)
	p.labelled, p.labelsFrom = outer, outerFrom
}

// asked is the MBean that Jolokia was asked for, where it was one alone: then its name is in the request, which the answer repeats, and not a key.
func (p *Parser) asked() string {
	for i := range p.samples {
		s := &p.samples[i]
		if s.Name == "request/mbean" && s.Kind == collector.Label && !strings.ContainsAny(s.Value, "*?") && isMBean([]byte(s.Value)) {
			return s.Value
		}
	}
	return ""
}

// id is a name with the labels of the MBean that is being read: what makes two numbers of a body the same.
func (p *Parser) id(name string) string {
	if p.labelled == nil {
		return name
	}
	return p.canonical(name, p.labelsFrom)
}

// yammer makes of the attributes of one MBean, the samples since first, what Dropwizard's library and its ancestor meant by them: percentiles beside a count are
// a distribution; a count beside rates is a counter, and the rates are gauges.
func (p *Parser) yammer(name string, first int) {
	count, rated, percentiles := -1, false, 0
	for i := first; i < len(p.samples); i++ {
		switch attr := p.attribute(name, i); {
		case attr == "Count":
			count = i
		case attr == "MeanRate":
			rated = true
		case strings.HasSuffix(attr, "thPercentile"):
			percentiles++
		}
	}
	if count < 0 || p.err != nil {
		return
	}
	from, place := len(p.fields), -1
	for i := first; i < len(p.samples); i++ {
		s := &p.samples[i]
		attr := p.attribute(name, i)
		field := yammerField(attr)
		switch {
		case percentiles > 0 && field != "":
			p.fields = append(p.fields, collector.Field{Name: field, Value: s.Value})
			p.kill(int32(i), int32(i)+1)
			if place < 0 {
				place = i
			}
		case rated && i == count:
			s.Kind = collector.Counter
		case rated && strings.HasSuffix(attr, "Rate"):
			s.Kind = collector.Gauge
		}
	}
	if place >= 0 {
		p.dead--
		p.samples[place] = collector.Sample{Name: name, Kind: collector.Distribution, Window: collector.Decaying, Labels: p.labelled, Fields: p.fields[from:len(p.fields):len(p.fields)]}
	}
}

// attribute is what of the MBean called name the sample at i is; "" where it is something deeper, or no number.
func (p *Parser) attribute(name string, i int) string {
	s := &p.samples[i]
	if s.Kind != collector.Untyped || len(s.Name) <= len(name)+1 {
		return ""
	}
	return s.Name[len(name)+1:]
}

// yammerField is the number of a distribution that an attribute is, or "".
func yammerField(attr string) string {
	switch attr {
	case "Count":
		return "count"
	case "Min":
		return "minimum"
	case "Max":
		return "maximum"
	case "Mean":
		return "average"
	case "StdDev":
		return "stddev"
	case "50thPercentile":
		return "p50"
	case "75thPercentile":
		return "p75"
	case "95thPercentile":
		return "p95"
	case "98thPercentile":
		return "p98"
	case "99thPercentile":
		return "p99"
	case "999thPercentile":
		return "p999"
	}
	return ""
}
