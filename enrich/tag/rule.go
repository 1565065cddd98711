package tag

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/enrich/geo"
)

// Rule takes labels out of metric names, looks addresses up, and sums over what it drops. The first rule that fits a sample is applied to it, no other.
type Rule struct {
	// Name is an anchored RE2 over the metric's name. Its named groups become labels, except the group called `name`, which becomes the metric's new name.
	// Without such a group the labels are cut out of the name: http/1.2.3.4/errors becomes http/errors. Empty: any name.
	Name string
	// Label is a label that the sample must have; where Lookup says nothing else, the address stands in it. Name, Label or both must be given.
	Label  string
	Lookup *Lookup
	// Drop names labels that are left out. Counters are summed over them and come out as `delta`; gauges, distributions and texts are left out and counted.
	Drop    []string
	Counter bool // untyped numbers under this rule are counters
}

// Lookup turns an address into labels such as client.as.number.
type Lookup struct {
	From string   // group or label that holds the address; default: Rule.Label
	As   string   // whose address it is: client (the default), server, source, …
	Add  []string // which attributes; default as.number and geo.country.iso_code
}

// attributes are what Lookup.Add may name.
var attributes = map[string]func(*geo.Place) string{
	"as.number":            func(p *geo.Place) string { return numberOf(p.ASN) },
	"as.organization.name": func(p *geo.Place) string { return p.ASOrg },
	"geo.country.iso_code": func(p *geo.Place) string { return p.Country },
	"geo.continent.code":   func(p *geo.Place) string { return p.Continent },
	"geo.region.iso_code":  func(p *geo.Place) string { return p.Region },
	"geo.locality.name":    func(p *geo.Place) string { return p.City },
}

func numberOf(asn uint32) string {
	if asn == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(asn), 10)
}

type attribute struct {
	label string
	of    func(*geo.Place) string
}

// rule is a Rule made ready.
type rule struct {
	re       *regexp.Regexp // nil: any name
	prefix   string         // every name that matches begins so
	rename   int            // the group called name; -1: none
	groups   []int          // the groups that become labels
	label    string
	from     string
	add      []attribute
	drop     []string
	counter  bool
	dropping bool
}

func (r Rule) compile() (*rule, error) {
	c := &rule{rename: -1, label: r.Label, drop: r.Drop, counter: r.Counter, dropping: len(r.Drop) > 0}
	var errs []error
	known := []string{r.Label}
	if r.Name == "" && r.Label == "" {
		errs = append(errs, errors.New("neither name nor label is given: the rule would fit everything; give the expression of a name, or the label that holds the address"))
	}
	if r.Name != "" {
		re, err := regexp.Compile("^(?:" + r.Name + ")$")
		if err != nil {
			return nil, fmt.Errorf("name %q: %w", r.Name, err)
		}
		c.re, c.prefix = re, literalPrefix(r.Name)
		for i, n := range re.SubexpNames() {
			switch n {
			case "":
			case "name":
				c.rename = i
			default:
				c.groups = append(c.groups, i)
				known = append(known, n)
			}
		}
	}
	if l := r.Lookup; l != nil {
		c.from = cmp.Or(l.From, r.Label)
		switch {
		case c.from == "":
			errs = append(errs, errors.New("lookup.from is missing; name the group or label that holds the address"))
		case c.re != nil && r.Label == "" && len(c.groups) > 0 && !slices.Contains(known, c.from):
			errs = append(errs, fmt.Errorf("lookup.from %q is no group of name; it has %s. For a label of the sample give it as label, too", c.from, strings.Join(known[1:], ", ")))
		}
		as := cmp.Or(l.As, "client")
		add := l.Add
		if len(add) == 0 {
			add = []string{"as.number", "geo.country.iso_code"}
		}
		for _, a := range add {
			f := attributes[a]
			if f == nil {
				errs = append(errs, fmt.Errorf("lookup.add %q is no attribute; use as.number, as.organization.name, geo.country.iso_code, geo.continent.code, geo.region.iso_code or geo.locality.name", a))
			}
			c.add = append(c.add, attribute{as + "." + a, f})
		}
	}
	if c.counter && !c.dropping {
		errs = append(errs, errors.New("counter without drop does nothing; leave it out"))
	}
	if slices.Contains(r.Drop, "") {
		errs = append(errs, errors.New("drop has an empty name"))
	}
	return c, errors.Join(errs...)
}

// literalPrefix is the text that every match of an anchored expression begins with: it spares the expression for nearly all samples.
func literalPrefix(expr string) string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return ""
	}
	var b strings.Builder
	literals(re.Simplify(), &b)
	return b.String()
}

// literals writes the literal head of re and tells whether re is nothing but it.
func literals(re *syntax.Regexp, b *strings.Builder) (whole bool) {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpBeginLine, syntax.OpEmptyMatch:
		return true
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return false
		}
		b.WriteString(string(re.Rune))
		return true
	case syntax.OpCapture:
		return literals(re.Sub[0], b)
	case syntax.OpConcat:
		for _, s := range re.Sub {
			if !literals(s, b) {
				return false
			}
		}
		return true
	}
	return false
}

// may reports in a few nanoseconds whether the rule could fit.
func (r *rule) may(s *collector.Sample) bool {
	if r.label != "" && labelOf(s.Labels, r.label) == "" {
		return false
	}
	return r.re == nil || strings.HasPrefix(s.Name, r.prefix)
}

func labelOf(ls []collector.LabelPair, name string) string {
	for i := range ls {
		if ls[i].Name == name {
			return ls[i].Value
		}
	}
	return ""
}

// apply makes the new name and labels of a sample, as texts of their own; ok is false if the rule does not fit.
func (r *rule) apply(s *collector.Sample, db *geo.DB) (name string, labels []collector.LabelPair, ok bool) {
	if !r.may(s) {
		return "", nil, false
	}
	name = s.Name
	set := make(map[string]string, len(s.Labels)+len(r.groups)+len(r.add))
	for _, l := range s.Labels {
		set[l.Name] = l.Value
	}
	if r.re != nil {
		at := r.re.FindStringSubmatchIndex(s.Name)
		if at == nil {
			return "", nil, false
		}
		var cut [][2]int
		for _, g := range r.groups {
			lo, hi := at[2*g], at[2*g+1]
			if lo < 0 || lo == hi {
				continue
			}
			n := r.re.SubexpNames()[g]
			if old := set[n]; old != "" {
				set["exported_"+n] = old
			}
			set[n] = s.Name[lo:hi]
			cut = append(cut, [2]int{lo, hi})
		}
		if g := r.rename; g >= 0 && at[2*g] >= 0 && at[2*g] < at[2*g+1] {
			name = s.Name[at[2*g]:at[2*g+1]]
		} else {
			name = without(s.Name, cut)
		}
	}
	if r.from != "" {
		if a, isAddr := ParseAddr(set[r.from]); isAddr {
			if p, found := db.Lookup(a); found {
				for _, at := range r.add {
					// What the application says of its client itself is better than what an address tells.
					if v := at.of(&p); v != "" && set[at.label] == "" {
						set[at.label] = v
					}
				}
			}
		}
	}
	for _, d := range r.drop {
		delete(set, d)
	}
	labels = make([]collector.LabelPair, 0, len(set))
	for n, v := range set {
		if v != "" {
			labels = append(labels, collector.LabelPair{Name: strings.Clone(n), Value: strings.Clone(v)})
		}
	}
	slices.SortFunc(labels, func(a, b collector.LabelPair) int { return strings.Compare(a.Name, b.Name) })
	return strings.Clone(name), labels, true
}

// without cuts parts out of a name, and one of the separators that would meet there. What would leave nothing is left alone.
func without(name string, cut [][2]int) string {
	if len(cut) == 0 {
		return name
	}
	slices.SortFunc(cut, func(a, b [2]int) int { return cmp.Compare(a[0], b[0]) })
	const separators = "/._-: "
	var b []byte
	at := 0
	for _, c := range append(cut, [2]int{len(name), len(name)}) {
		if c[0] < at { // inside the one before
			at = max(at, c[1])
			continue
		}
		part := name[at:c[0]]
		if at > 0 && part != "" && strings.IndexByte(separators, part[0]) >= 0 && (len(b) == 0 || strings.IndexByte(separators, b[len(b)-1]) >= 0) {
			part = part[1:]
		}
		b = append(b, part...)
		at = c[1]
	}
	if last := len(b) - 1; cut[len(cut)-1][1] == len(name) && last > 0 && strings.IndexByte(separators, b[last]) >= 0 {
		b = b[:last]
	}
	if len(b) == 0 {
		return name
	}
	return string(b)
}

// ParseAddr reads an address as applications write it into names and labels: 192.0.2.1, 2001:db8::1, either with a port, [v6] with or without one, and
// IPv4 with the dots turned into _ or -, as systems with dotted names do.
func ParseAddr(s string) (netip.Addr, bool) {
	if len(s) < 2 || len(s) > 64 {
		return netip.Addr{}, false
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return a, true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr(), true
	}
	if s[0] == '[' && s[len(s)-1] == ']' {
		a, err := netip.ParseAddr(s[1 : len(s)-1])
		return a, err == nil
	}
	for _, sep := range []string{"_", "-"} {
		if strings.Count(s, sep) == 3 {
			a, err := netip.ParseAddr(strings.ReplaceAll(s, sep, "."))
			return a, err == nil
		}
	}
	return netip.Addr{}, false
}
