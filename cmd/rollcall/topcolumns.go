package main

import (
	"math"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// cell is a text in so many columns of the terminal: cut, or filled up on the right, or on the left.
func cell(s string, width int, right bool) string {
	if width <= 0 {
		return ""
	}
	s = ansi.Truncate(s, width, "…")
	fill := strings.Repeat(" ", max(width-ansi.StringWidth(s), 0))
	if right {
		return fill + s
	}
	return s + fill
}

// serviceColumns are the widths of what differs with the terminal.
type serviceColumns struct{ name, spark, why int }

// fixedService is what the others take: mark, state, rate, errors, latency, answering, and the gaps.
const fixedService = 2 + 5 + 8 + 9 + 13 + 14

func columns(width int, rows []*dashboards.Row) (c serviceColumns) {
	longest := 12
	for _, r := range rows {
		longest = max(longest, ansi.StringWidth(plain(r.Group())))
	}
	rest := max(width-fixedService, 10)
	c.name = min(longest, rest, max(rest-14, 16))
	if rest -= c.name; rest >= 9 {
		c.spark = min(rest-1, 30)
		if rest -= c.spark + 1; rest >= 16 {
			c.why = rest - 1
		}
	}
	return c
}

func (c serviceColumns) line(mark, name, word, rate, errors, latency, answering, spark, why string) string {
	line := cell(mark, 2, false) + cell(name, c.name, false) + " " + cell(word, 4, false) + cell(rate, 8, true) + cell(errors, 9, true) + cell(latency, 13, true) + cell(answering, 14, true)
	if c.spark > 0 {
		line += " " + cell(spark, c.spark, false)
	}
	if c.why > 0 {
		line += " " + cell(why, c.why, false)
	}
	return strings.TrimRight(line, " ")
}

type instColumns struct{ name, version, zone, rate, reason int }

// fixedInstance is what the others take: mark, state, scrape, age, errors, and the gaps.
const fixedInstance = 2 + 13 + 10 + 8 + 9

func instanceColumns(width int, list []*dashboards.Instance) (c instColumns) {
	name, version, zone := 8, 7, 4
	for _, x := range list {
		name, version, zone = max(name, ansi.StringWidth(plain(x.Instance))), max(version, ansi.StringWidth(plain(x.Version))), max(zone, ansi.StringWidth(plain(x.Zone)))
	}
	rest := max(width-fixedInstance, 10)
	take := func(n int) int {
		if n = min(n, rest); n < 4 {
			return 0
		}
		rest -= n
		return n
	}
	c.name = take(min(name, 40))
	c.version = take(min(version, 20) + 1)
	c.zone = take(min(zone, 20) + 1)
	if rest > 8 {
		c.rate = take(8)
	}
	if rest > 16 {
		c.reason = rest - 1
	}
	return c
}

func (c instColumns) line(mark, name, state, scrape, age, version, zone, rate, errors, reason string) string {
	gap := func(s string, width int) string {
		if width == 0 {
			return ""
		}
		return " " + cell(s, width-1, false)
	}
	line := cell(mark, 2, false) + cell(name, c.name, false) + gap(state, 13) + gap(scrape, 10) + cell(age, 8, true) + gap(version, c.version) + gap(zone, c.zone) + cell(rate, c.rate, true) + cell(errors, 9, true)
	if c.reason > 0 {
		line += gap(reason, c.reason+1)
	}
	return strings.TrimRight(line, " ")
}

// bars are the heights of a spark; one that is not known is a blank.
var bars = [...]string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}

// spark draws the rate of the last 15 minutes, from nothing to its most, in so many columns.
func spark(s *dashboards.Spark, width int) string {
	if s == nil || width <= 0 || len(s.Rate) == 0 {
		return ""
	}
	means := make([]float64, min(width, len(s.Rate)))
	most := 0.0
	for i := range means {
		sum, n := 0.0, 0
		for _, v := range s.Rate[i*len(s.Rate)/len(means) : (i+1)*len(s.Rate)/len(means)] {
			if v.Known() {
				sum, n = sum+float64(v), n+1
			}
		}
		means[i] = math.NaN()
		if n > 0 {
			means[i] = sum / float64(n)
			most = max(most, means[i])
		}
	}
	var b strings.Builder
	for _, v := range means {
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case most == 0 || v <= 0:
			b.WriteString(bars[0])
		default:
			b.WriteString(bars[min(int(v/most*float64(len(bars))), len(bars)-1)])
		}
	}
	return b.String()
}
