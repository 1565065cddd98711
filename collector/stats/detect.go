package stats

import (
	"bytes"
	"fmt"
	"strings"
)

// Format is how a body is written.
type Format uint8

// The formats.
const (
	Unknown        Format = iota
	JSON                  // any of the JSON dialects: they are told apart section by section
	OstrichText           // counters:, gauges:, labels:, metrics: and indented lines
	PrometheusText        // text exposition 0.0.4, and 1.0.0, in which names may be any UTF-8
	OpenMetrics           // OpenMetrics text 1.0
	Protobuf              // io.prometheus.client.MetricFamily messages, each behind its length
	CSV                   // name,value · type,name,value · timestamp,name,value
	VarsText              // twitter commons' /vars: name value
)

var formatNames = [...]string{"body", "json", "ostrich text", "prometheus text", "openmetrics text", "prometheus protobuf", "csv", "vars text"}

func (f Format) String() string { return formatNames[f] }

var bom = []byte("\xef\xbb\xbf")

// Detect tells a body's format by its Content-Type where that names one format, else by its first bytes. text/plain without a version names none:
// everybody serves everything under it.
func Detect(body []byte, contentType string) Format {
	media, params, _ := strings.Cut(contentType, ";")
	media = strings.TrimSpace(media)
	switch {
	case strings.EqualFold(media, "application/openmetrics-text"):
		return OpenMetrics
	case strings.EqualFold(media, "application/json") || len(media) > 5 && strings.EqualFold(media[len(media)-5:], "+json"):
		return JSON
	case strings.EqualFold(media, "text/plain") && (hasVersion(params, "0.0.4") || hasVersion(params, "1.0.0")):
		return PrometheusText
	case strings.EqualFold(media, "application/vnd.google.protobuf"):
		return Protobuf
	case strings.EqualFold(media, "text/csv"):
		return CSV
	}
	if looksProtobuf(body) {
		return Protobuf
	}
	body = bytes.TrimLeft(bytes.TrimPrefix(body, bom), " \t\r\n")
	if len(body) == 0 {
		return Unknown
	}
	line, _, _ := bytes.Cut(body, []byte("\n"))
	line = bytes.TrimRight(line, " \t\r")
	switch c := body[0]; {
	case c == '{' && namesSeries(line):
		return PrometheusText
	case c == '{' || c == '[':
		return JSON
	case c == '#' && endsInEOF(body):
		return OpenMetrics
	case c == '#':
		return PrometheusText
	case textSection(line) != 0:
		return OstrichText
	case looksCSV(body):
		return CSV
	case isNameStart(c):
		// A Prometheus line is a name, then a brace or a blank: prose and HTML are not taken for one.
		i := 1
		for i < len(line) && isNameByte(line[i]) {
			i++
		}
		if i < len(line) && (line[i] == '{' || line[i] == ' ' || line[i] == '\t') {
			return PrometheusText // or lines of names and values, which Parse finds out
		}
	}
	if varsName(line) > 0 {
		return VarsText
	}
	return Unknown
}

// saysPrometheus reports a Content-Type that leaves no doubt: a body that cannot be read is broken, and nothing else.
func saysPrometheus(contentType string) bool {
	_, params, _ := strings.Cut(contentType, ";")
	return hasVersion(params, "0.0.4") || hasVersion(params, "1.0.0")
}

// plain reports that nothing up to and with the line at an offset is a mark of Prometheus' text: a comment, or labels.
func plain(body []byte, offset int) bool {
	if n := bytes.IndexByte(body[offset:], '\n'); n >= 0 {
		body = body[:offset+n]
	}
	return !bytes.ContainsAny(body, "{#")
}

// hasVersion looks for version=v among the parameters of a media type.
func hasVersion(params, v string) bool {
	for params != "" {
		var one string
		one, params, _ = strings.Cut(params, ";")
		name, value, _ := strings.Cut(one, "=")
		if strings.EqualFold(strings.TrimSpace(name), "version") && strings.Trim(strings.TrimSpace(value), `"`) == v {
			return true
		}
	}
	return false
}

// namesSeries tells Prometheus' {"a.name",…} 1 from a JSON object: after the first string comes a comma or the closing brace, not a colon.
func namesSeries(line []byte) bool {
	rest := bytes.TrimLeft(line[1:], " \t")
	if len(rest) == 0 || rest[0] != '"' {
		return false
	}
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			rest = bytes.TrimLeft(rest[i+1:], " \t")
			return len(rest) > 0 && rest[0] != ':'
		}
	}
	return false
}

func endsInEOF(body []byte) bool {
	return bytes.HasSuffix(bytes.TrimRight(body, "\n"), []byte("# EOF"))
}

func unknown(body []byte) error {
	trimmed := bytes.TrimLeft(bytes.TrimPrefix(body, bom), " \t\r\n")
	if len(trimmed) == 0 {
		return fault(Unknown, len(body), "the body is empty")
	}
	return fault(Unknown, len(body)-len(trimmed), fmt.Sprintf("no format of statistics starts with %q", cut(string(trimmed[:min(40, len(trimmed))]), 40)))
}
