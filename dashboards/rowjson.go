package dashboards

import (
	"encoding/json"
	"strconv"
)

// AppendJSON appends the row as encoding/json writes it, which takes longer: thousands are written in a second.
func (r *Row) AppendJSON(b []byte) []byte {
	text := func(name, s string) {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = appendText(b, s)
	}
	count := func(name string, n int) {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = strconv.AppendInt(b, int64(n), 10)
	}
	num := func(name string, n Num) {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = n.append(b)
	}
	b = appendText(append(b, `{"service":`...), r.Service)
	text("env", r.Env)
	text("owner", r.Owner)
	if r.Chat != "" {
		text("chat", r.Chat)
	}
	if r.Runbook != "" {
		text("runbook", r.Runbook)
	}
	count("expected", r.Expected)
	count("present", r.Present)
	count("answering", r.Answering)
	count("missing", r.Missing)
	num("age_ms", r.AgeMS)
	count("every_ms", int(r.EveryMS))
	count("trouble", r.Trouble)
	b = append(b, `,"why":`...)
	b = appendList(b, r.Why, appendText)
	if len(r.Signals) > 0 {
		b = appendList(append(b, `,"signals":`...), r.Signals, appendText)
	}
	num("rate", r.Rate)
	num("errors", r.Errors)
	num("error_ratio", r.ErrorRatio)
	if l := r.Latency; l != nil {
		b = appendText(append(b, `,"latency":{"name":`...), l.Name)
		num("lo", l.Lo)
		num("hi", l.Hi)
		num("est", l.Est)
		b = append(b, '}')
	} else {
		b = append(b, `,"latency":null`...)
	}
	b = append(b, `,"versions":`...)
	b = appendList(b, r.Versions, func(b []byte, v Version) []byte {
		b = appendText(append(b, `{"version":`...), v.Version)
		b = strconv.AppendInt(append(b, `,"n":`...), int64(v.N), 10)
		return append(b, '}')
	})
	if r.Spark != nil {
		b = r.Spark.AppendJSON(append(b, `,"spark":`...), len(r.Spark.Rate))
	}
	return append(b, '}')
}

// AppendJSON appends the last n points of the spark, as encoding/json writes one of these alone; T0 stays what it is.
func (sp *Spark) AppendJSON(b []byte, n int) []byte {
	b = strconv.AppendInt(append(b, `{"t0":`...), sp.T0, 10)
	b = strconv.AppendInt(append(b, `,"step":`...), sp.Step, 10)
	for _, l := range []struct {
		name string
		line Nums
	}{{"rate", sp.Rate}, {"error_ratio", sp.ErrorRatio}, {"latency", sp.Latency}, {"answering", sp.Answering}} {
		b = append(append(append(b, `,"`...), l.name...), `":`...)
		b = appendList(b, l.line[max(len(l.line)-n, 0):], func(b []byte, x Num) []byte { return x.append(b) })
	}
	return append(b, '}')
}

// appendList appends an array; a nil one is null.
func appendList[T any](b []byte, list []T, one func([]byte, T) []byte) []byte {
	if list == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, x := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, x)
	}
	return append(b, ']')
}

// appendText appends a string. Of letters that need no care there are mostly no others.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, _ := json.Marshal(s) // a string
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
