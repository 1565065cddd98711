package stats

import (
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
)

// dotted is a number whose name ends as twitter-server writes one number of a distribution: .count, .p99, .avg.
type dotted struct{ sample, group int32 }

// group is all dotted numbers of one prefix.
type group struct {
	prefix  string
	n       int32 // of them
	from    int32 // their place in the Parser's fields, once they are a distribution
	taken   int32
	place   int32 // the sample that they become
	percent bool  // a percentile is among them
	counted bool
	mean    bool // a sum or an average
	zero    bool // the count is 0
	said    bool // the body says that they are one
	whole   bool // they are a distribution
}

// suffix is the part of a name behind its last dot where that may name a number of a distribution, else "".
func suffix(name string) string {
	n := len(name)
	for l := 2; l <= 6 && l+1 < n; l++ {
		if name[n-l-1] != '.' {
			continue
		}
		s := name[n-l:]
		switch s {
		case "avg", "count", "max", "mean", "min", "stddev", "sum":
			return s
		}
		if percentile(s) {
			return s
		}
		break
	}
	return ""
}

// percentile reports a p and up to four digits: p50, p99, p9990.
func percentile(s string) bool {
	if len(s) < 2 || len(s) > 5 || s[0] != 'p' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return true
}

// dot notes the newest sample, of that name, if it may belong to a distribution. gather decides when the whole body is known.
func (p *Parser) dot(name string) {
	s := suffix(name)
	if s == "" || p.err != nil {
		return
	}
	p.belongs(name[:len(name)-len(s)-1], false)
}

// ofDistribution notes the newest sample, of that name, of which the body says that it belongs to the distribution in front of its last dot. False means that
// there is no such dot.
func (p *Parser) ofDistribution(name string) bool {
	at := strings.LastIndexByte(name, '.')
	if at <= 0 || at == len(name)-1 {
		return false
	}
	if p.err == nil {
		p.belongs(name[:at], true)
	}
	return true
}

// belongs gives the newest sample to the group of prefix.
func (p *Parser) belongs(prefix string, said bool) {
	g := len(p.groups) - 1
	if g < 0 || p.groups[g].prefix != prefix { // they mostly stand together
		at, again := p.seen.add(prefixes, prefix, len(p.groups))
		g = int(p.seen.entries[at].from)
		if !again {
			p.groups = append(p.groups, group{prefix: prefix})
		}
	}
	p.groups[g].said = p.groups[g].said || said
	p.dotted = append(p.dotted, dotted{int32(len(p.samples) - 1), int32(g)})
}

// gather makes one distribution of the dotted numbers of a prefix where they are one: there is a percentile and something else, or a count with a sum or an
// average. A lone count of 0, in a body that has distributions, is one that saw nothing yet.
func (p *Parser) gather() {
	if len(p.dotted) == 0 {
		return
	}
	window := collector.WindowUnknown
	for _, d := range p.dotted {
		s, g := &p.samples[d.sample], &p.groups[d.group]
		if s.Kind == deadKind {
			continue
		}
		g.n++
		switch suf := s.Name[len(g.prefix)+1:]; suf {
		case "count":
			g.counted, g.zero = true, s.Value == "0"
		case "sum", "avg", "mean":
			g.mean = true
		case "p9990": // Finagle alone spells it so; its histograms are closed once a minute
			window = collector.Latched
			fallthrough
		default:
			g.percent = g.percent || percentile(suf)
		}
	}
	some := false
	for i := range p.groups {
		g := &p.groups[i]
		g.whole = g.said || g.n > 1 && (g.percent || g.counted && g.mean)
		some = some || g.whole
	}
	if !some {
		return
	}
	at := len(p.fields)
	for i := range p.groups {
		g := &p.groups[i]
		g.whole = g.whole || g.n == 1 && g.zero
		if g.whole {
			g.from = int32(at)
			at += int(g.n)
		}
	}
	for len(p.fields) < at {
		p.fields = append(p.fields, collector.Field{})
	}
	for _, d := range p.dotted {
		s, g := &p.samples[d.sample], &p.groups[d.group]
		if s.Kind == deadKind || !g.whole {
			continue
		}
		f := collector.Field{Name: fieldName(s.Name[len(g.prefix)+1:]), Value: s.Value}
		if p.spelled(g, f) {
			p.kill(d.sample, d.sample+1)
			continue
		}
		p.fields[g.from+g.taken] = f
		if g.taken++; g.taken > 1 {
			p.kill(d.sample, d.sample+1)
			continue
		}
		g.place = d.sample
		window := window
		if g.said {
			window = p.o.Window
		}
		*s = collector.Sample{Name: g.prefix, Kind: collector.Distribution, Window: window, Fields: p.fields[g.from : g.from+g.n : g.from+g.n]}
	}
}

// spelled reports a number that the group has in another spelling, x.avg beside x.mean: it takes that one's place.
func (p *Parser) spelled(g *group, f collector.Field) bool {
	if f.Name != "average" && f.Name != "p999" { // the others have one
		return false
	}
	for i := g.from; i < g.from+g.taken; i++ {
		if p.fields[i].Name == f.Name {
			p.fields[i].Value = f.Value
			p.duplicates++
			s := &p.samples[g.place]
			s.Fields = s.Fields[: len(s.Fields)-1 : len(s.Fields)-1]
			return true
		}
	}
	return false
}
