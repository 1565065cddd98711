package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

// screen is the view as text, at most as wide and as high as the terminal; a height of 0 is as high as it has to be.
func (m *topModel) screen() string {
	if m.width == 0 {
		return ""
	}
	if m.help {
		return m.fit(strings.Split(topHelp, "\n"), nil)
	}
	if m.inside != nil {
		return m.instances()
	}
	return m.services()
}

const topHelp = `rollcall top: what the page says, in a terminal

  j k, arrows      down and up; page down, page up, g first, G last
  Enter            the instances of a service; Esc goes back
  /                only what holds a text: a name, an owner, a version, a reason; Enter keeps it, Esc forgets it
  ?                this; any key goes back
  q                quit

BAD and WARN are findings and services in trouble, calm ones are not. ANSWERING is how many of those who
should answer do. A figure that is not known is a -. If the connection is lost, the first line says so, and
how old is what stands below.`

// head are the lines above either list: the connection, the strip, what shakes the belief in it.
func (m *topModel) head() (out []string) {
	if m.lost != nil {
		text := "CONNECTION LOST: " + plain(m.lost.Error()) + "; trying again"
		if age, ok := m.age(m.now); ok {
			text = fmt.Sprintf("CONNECTION LOST: what is shown is %s old; trying again (%s)", ago(age), plain(m.lost.Error()))
		}
		out = append(out, m.paint(red, m.clip(text)))
	}
	if m.heard.IsZero() {
		if m.lost == nil {
			out = append(out, "connecting …")
		}
		return out
	}
	s := &m.strip
	text := s.Roll()
	if s.Answering == s.Expected && s.Expected > 0 {
		text = fmt.Sprintf("all %d answering", s.Expected)
	}
	if age, ok := m.age(m.now); ok {
		text += " · " + ago(age) + " old"
	}
	switch s.Feed.State {
	case dashboards.FeedLive:
		if text += " · feed live"; len(s.Exceptions) == 0 && m.lost == nil {
			text += " · everything delivered"
		}
	default:
		text += " · FEED " + strings.ToUpper(plain(string(s.Feed.State))) + ": " + plain(s.Feed.Error)
	}
	out = append(out, m.paint(bold, m.clip(text)))
	for i, e := range s.Exceptions {
		if i == 3 && m.height > 0 {
			out = append(out, fmt.Sprintf("and %d more", len(s.Exceptions)-i))
			break
		}
		out = append(out, m.level(e.Level, plain(e.Text)))
	}
	return out
}

// services is the first view: what is wrong, then everyone by trouble.
func (m *topModel) services() string {
	out := m.head()
	if m.heard.IsZero() {
		return m.fit(out, nil)
	}
	open, last := m.wrong(m.filter)
	most := len(open)
	if m.height > 0 {
		most = min(most, max(m.height/5, 2))
	}
	for _, f := range open[:most] {
		text := f.Text
		if text == "" {
			text = f.Title
		}
		if f.Ack != nil {
			text = "[" + f.Ack.By + " looks after it] " + text
		}
		if f.Silenced != nil {
			text = "[silenced by " + f.Silenced.By + "] " + text
		}
		out = append(out, m.level(f.Level, plain(text)))
	}
	switch {
	case most < len(open):
		out = append(out, fmt.Sprintf("and %d more findings", len(open)-most))
	case len(open) == 0 && m.filter != "":
		out = append(out, m.clip("no finding about “"+m.filter+"” is open"))
	case len(open) == 0 && last > 0:
		out = append(out, "nothing is wrong; the last finding was over "+ago(time.Duration(max(m.asOf-last, 0))*time.Millisecond)+" ago")
	case len(open) == 0:
		out = append(out, "nothing is wrong")
	}
	rows := m.sorted(m.filter)
	c := columns(m.width, rows)
	out = append(out, "", m.paint(dim, c.line("", "SERVICE", "", "RATE/S", "ERRORS", "LATENCY", "ANSWERING", "RATE, 15 MIN", "WHY")))
	foot := fmt.Sprintf("%d services", len(rows))
	if m.filter != "" || m.typing {
		foot = fmt.Sprintf("/%s  %d of %d services", m.filter, len(rows), len(m.rows))
	}
	at := m.at(rows)
	var lines []string
	for i, r := range rows {
		mark, word := " ", [...]string{"calm", "WARN", "BAD"}[min(max(r.Trouble, 0), 2)]
		if i == at && m.height > 0 {
			mark = ">"
		}
		why := ""
		if len(r.Why) > 0 {
			why = plain(r.Why[0])
		}
		line := c.line(mark, plain(r.Group()), word, figure(r.Rate), percent(r.ErrorRatio), latencyOf(r.Latency), fmt.Sprintf("%d of %d", r.Answering, r.Expected), spark(r.Spark, c.spark), why)
		lines = append(lines, m.mark(line, word, i == at))
	}
	if len(rows) == 0 {
		lines = append(lines, "  no service "+map[bool]string{true: "is known", false: "holds that"}[len(m.rows) == 0])
	}
	return m.fit(m.scrolled(out, lines, at), []string{m.foot(foot, "Enter instances")})
}

// instances is the second view: one service.
func (m *topModel) instances() string {
	out := m.head()
	r := m.inside
	if now := m.rows[r.Group()]; now != nil {
		r = now
	}
	title := fmt.Sprintf("%s  %s · %d of %d answering · %s/s · errors %s · %s", plain(r.Group()), [...]string{"calm", "WARN", "BAD"}[min(max(r.Trouble, 0), 2)], r.Answering, r.Expected, figure(r.Rate), percent(r.ErrorRatio), latencyOf(r.Latency))
	if r.Owner != "" {
		title += " · owner " + plain(r.Owner)
	}
	out = append(out, m.paint(bold, m.clip(title)))
	for _, w := range r.Why {
		out = append(out, m.clip("  "+plain(w)))
	}
	if m.rows[m.inside.Group()] == nil {
		out = append(out, "  it is on no roster any more")
	}
	if m.failed != nil {
		out = append(out, m.paint(red, m.clip("CANNOT BE READ: "+plain(m.failed.Error()))))
	}
	if m.detail == nil {
		if m.failed == nil {
			out = append(out, "reading …")
		}
		return m.fit(out, []string{m.foot("", "Esc back")})
	}
	list := m.detail.sortedInstances(m.within)
	c := instanceColumns(m.width, list)
	out = append(out, "", m.paint(dim, c.line("", "INSTANCE", "STATE", "SCRAPE", "AGE", "VERSION", "ZONE", "RATE/S", "ERRORS", "REASON")))
	at := m.atInstance(list)
	var lines []string
	for i, x := range list {
		mark, word := " ", "calm"
		if i == at && m.height > 0 {
			mark = ">"
		}
		switch {
		case x.State == "departed" || failingScrape(x):
			word = "BAD"
		case x.State != "present":
			word = "WARN"
		}
		line := c.line(mark, plain(x.Instance), plain(x.State), plain(x.Outcome), ageOf(x.AgeMS), plain(x.Version), plain(x.Zone), figure(x.Rate), percent(x.ErrorRatio), plain(reasonOf(x)))
		lines = append(lines, m.mark(line, word, i == at))
	}
	foot := []string{}
	if len(list) > 0 {
		x := list[at]
		text := fmt.Sprintf("%s on %s: %s for %s", x.Instance, x.Host, x.State, ago(time.Duration(max(m.detail.AsOf-x.Since, 0))*time.Millisecond))
		if reason := reasonOf(x); reason != "" {
			text += "; " + reason
		}
		foot = append(foot, m.clip(plain(text)))
	} else {
		lines = append(lines, "  no instance holds that")
	}
	count := fmt.Sprintf("%d instances", len(list))
	if m.within != "" || m.typing {
		count = fmt.Sprintf("/%s  %d of %d instances", m.within, len(list), len(m.detail.Instances))
	}
	return m.fit(m.scrolled(out, lines, at), append(foot, m.foot(count, "Esc back")))
}

// reasonOf is why an instance is in its state, or its last scrape went wrong.
func reasonOf(x *dashboards.Instance) string {
	var parts []string
	if x.State != "present" && x.Reason != "" {
		parts = append(parts, x.Reason)
	}
	if failingScrape(x) && x.OutcomeReason != "" {
		parts = append(parts, x.OutcomeReason)
	}
	return strings.Join(parts, "; ")
}

func (m *topModel) foot(count, enter string) string {
	if m.typing {
		return m.clip(count + "   Enter keeps it · Esc forgets it")
	}
	return m.clip(strings.TrimLeft(count+"   j k move · "+enter+" · / filter · ? help · q quit", " "))
}

// scrolled puts as many of the lines below the head as there is room for, the one at which one is among them.
func (m *topModel) scrolled(head, lines []string, at int) []string {
	if m.height > 0 {
		if m.typing {
			at = 0
		}
		room := max(m.height-len(head)-2, 1)
		from := max(0, min(at-room/2, len(lines)-room))
		lines = lines[from:min(from+room, len(lines))]
	}
	return append(head, lines...)
}

// fit makes a screen: lines from above, and the last ones at its end.
func (m *topModel) fit(lines, last []string) string {
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], m.width, "…")
	}
	if m.height > 0 {
		last = last[:min(len(last), m.height-1)]
		room := m.height - len(last)
		lines = lines[:min(len(lines), room)]
		for len(lines) < room && len(last) > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, last...)
	}
	return strings.Join(lines, "\n")
}

func (m *topModel) clip(s string) string { return ansi.Truncate(s, m.width, "…") }

// Attributes of text. None says what a word beside it does not.
const (
	bold    = "1"
	dim     = "2"
	red     = "1;31"
	yellow  = "33"
	reverse = "7"
)

func (m *topModel) paint(how, s string) string {
	if !m.colour || s == "" {
		return s
	}
	return "\x1b[" + how + "m" + s + "\x1b[0m"
}

// level is a line that begins with its gravity.
func (m *topModel) level(level, text string) string {
	word, how := "WARN", yellow
	if level == dashboards.LevelBad {
		word, how = "BAD", red
	}
	line := m.clip(fmt.Sprintf("%-4s %s", word, text))
	return m.paint(how, line[:min(4, len(line))]) + line[min(4, len(line)):]
}

// mark paints a line of a list.
func (m *topModel) mark(line, word string, at bool) string {
	switch {
	case at && m.height > 0:
		return m.paint(reverse, line)
	case word == "BAD":
		return m.paint(red, line)
	case word == "WARN":
		return m.paint(yellow, line)
	}
	return line
}

// ago is a duration as it is read at a glance.
func ago(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return collect.Span(d.Truncate(time.Second))
}

func ageOf(ms dashboards.Num) string {
	if !ms.Known() {
		return "-"
	}
	return ago(time.Duration(float64(ms) * float64(time.Millisecond)))
}

func figure(n dashboards.Num) string {
	v := float64(n)
	switch a := math.Abs(v); {
	case !n.Known():
		return "-"
	case a >= 1e6:
		return fmt.Sprintf("%.1fM", v/1e6)
	case a >= 1e4:
		return fmt.Sprintf("%.1fk", v/1e3)
	case a >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

func percent(n dashboards.Num) string {
	v := float64(n) * 100
	switch {
	case !n.Known():
		return "-"
	case v > 0 && v < 0.01:
		return "<0.01 %"
	case v != 0 && v < 10:
		return fmt.Sprintf("%.2f %%", v)
	}
	return fmt.Sprintf("%.0f %%", v)
}

// latencyOf is a percentile, or the mean, as near as it is known.
func latencyOf(l *dashboards.Latency) string {
	if l == nil || !l.Est.Known() {
		return "-"
	}
	return plain(l.Name) + " " + figure(l.Est) + " ms"
}
