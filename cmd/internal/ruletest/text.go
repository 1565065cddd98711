package ruletest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
)

// line is a sample as text: NAME{label="value"} KIND VALUE.
type line struct{ series, kind, value string }

func (l line) String() string { return strings.TrimRight(l.series+" "+l.kind+" "+l.value, " ") }

// key is what a line is compared by; the value is, too, but as a number where it is one.
func (l line) key() string { return l.series + " " + l.kind }

func (l line) same(o line) bool {
	if l.key() != o.key() || l.value == o.value {
		return l.key() == o.key()
	}
	a, err1 := strconv.ParseFloat(l.value, 64)
	b, err2 := strconv.ParseFloat(o.value, 64)
	return err1 == nil && err2 == nil && a == b
}

// lineOf is a sample that came out.
func lineOf(s *collector.Sample) line {
	l := line{series: seriesText(s.Name, s.Labels), kind: s.Kind.String(), value: s.Value}
	switch {
	case s.Kind == collector.Label:
		l.value = strconv.Quote(s.Value)
	case s.Hist != nil:
		l.value = fmt.Sprintf("count=%v sum=%v", s.Hist.Count, s.Hist.Sum)
	case s.Kind == collector.Distribution:
		var out []string
		for _, f := range s.Fields {
			out = append(out, f.Name+"="+f.Value)
		}
		l.value = strings.Join(out, " ")
	}
	return l
}

func seriesText(name string, labels []collector.LabelPair) string {
	if name == "" || strings.ContainsAny(name, " {\"\t\n") {
		name = strconv.Quote(name)
	}
	if len(labels) == 0 {
		return name
	}
	labels = slices.Clone(labels)
	slices.SortFunc(labels, func(a, b collector.LabelPair) int { return strings.Compare(a.Name, b.Name) })
	var out []string
	for _, l := range labels {
		out = append(out, fmt.Sprintf("%s=%q", l.Name, l.Value))
	}
	return name + "{" + strings.Join(out, ",") + "}"
}

const form = `write it as NAME KIND VALUE or NAME{label="value",…} KIND VALUE, such as http/errors{code="500"} counter 7; the kind is counter, gauge, untyped, distribution, histogram, delta or label`

var kinds = []string{"counter", "gauge", "untyped", "distribution", "histogram", "delta", "label"}

// parseExpected reads a line as a file of tests has it. Labels may stand in any order, and a name with blanks in quotes.
func parseExpected(text string) (l line, err error) {
	bad := func(why string) (line, error) { return line{}, fmt.Errorf("%q: %s; %s", text, why, form) }
	rest := strings.TrimSpace(text)
	var name string
	if strings.HasPrefix(rest, `"`) {
		q, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return bad("the name's quotes do not end")
		}
		name, _ = strconv.Unquote(q)
		rest = rest[len(q):]
	} else {
		i := strings.IndexAny(rest, "{ \t")
		if i <= 0 {
			return bad("there is no kind")
		}
		name, rest = rest[:i], rest[i:]
	}
	var labels []collector.LabelPair
	if strings.HasPrefix(rest, "{") {
		rest = strings.TrimSpace(rest[1:])
		for !strings.HasPrefix(rest, "}") {
			n, more, ok := strings.Cut(rest, "=")
			if !ok {
				return bad("the labels do not end")
			}
			more = strings.TrimSpace(more)
			q, err := strconv.QuotedPrefix(more)
			if err != nil {
				return bad(fmt.Sprintf("the value of label %q is not in quotes", strings.TrimSpace(n)))
			}
			v, _ := strconv.Unquote(q)
			labels = append(labels, collector.LabelPair{Name: strings.TrimSpace(n), Value: v})
			rest = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(more[len(q):]), ","))
		}
		rest = rest[1:]
	}
	kind, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if !slices.Contains(kinds, kind) {
		return bad(fmt.Sprintf("%q is no kind", kind))
	}
	value = strings.Join(strings.Fields(value), " ")
	if kind == "label" && !strings.HasPrefix(value, `"`) {
		value = strconv.Quote(value)
	}
	return line{seriesText(name, labels), kind, value}, nil
}

// diff says what is missing (-) and what is too much (+), those of one series beside each other; nothing where all is as expected. Where others may be there too,
// nothing is too much, but what differs from what was expected is shown beside it.
func diff(want, got []line, others bool) (out []string) {
	got = slices.Clone(got)
	var missing []line
	for _, w := range want {
		if i := slices.IndexFunc(got, w.same); i >= 0 {
			got = slices.Delete(got, i, i+1)
		} else {
			missing = append(missing, w)
		}
	}
	type change struct {
		series, sign string
		line
	}
	var changes []change
	for _, w := range missing {
		changes = append(changes, change{w.series, "-", w})
	}
	for _, g := range got {
		if !others || slices.ContainsFunc(missing, func(w line) bool { return w.series == g.series }) {
			changes = append(changes, change{g.series, "+", g})
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int {
		if c := strings.Compare(a.series, b.series); c != 0 {
			return c
		}
		return strings.Compare(b.sign, a.sign) // - before +
	})
	for _, c := range changes {
		out = append(out, c.sign+" "+c.String())
	}
	return out
}
