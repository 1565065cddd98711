package serverset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// Found is a path that holds members, as somebody who looks around an unknown tree finds it.
type Found struct {
	Path    string
	Format  Format
	Members int
	Name    string // one member, for a sample
	Data    []byte // its data
}

// Layout is a pattern that explains found serversets of one format.
type Layout struct {
	Pattern Pattern
	Format  Format
	Sets    int
	Members int
	Sample  discovery.Member
}

// known are the layouts of the systems in the field, the most particular first.
var known = []struct {
	format        Format
	path, service string
}{
	{KingPin, "/discovery/{service}/{env}", ""},
	{Finagle, "/aurora/{role}/{env}/{job}", "{role}.{job}"},
	{Finagle, "/twitter/service/{role}/{env}/{job}", "{role}.{job}"},
	{Nerve, "/nerve/services/{service}/services", ""},
	{Nerve, "/smartstack/services/{service}/services", ""},
	{Nerve, "/nerve/services/{service}", ""},
	{Curator, "/services/{service}", ""},
}

// Recognise finds the patterns that explain what was found: the known layouts first, for the rest a pattern made of what the paths have in common. Each
// found set counts in one layout. The largest come first.
func Recognise(found []Found) []Layout {
	byKey := map[string]*Layout{}
	var rest []Found
	add := func(p Pattern, f Found) {
		key := string(f.Format) + " " + p.path
		l := byKey[key]
		if l == nil {
			l = &Layout{Pattern: p, Format: f.Format}
			byKey[key] = l
		}
		l.Sets++
		l.Members += f.Members
		if place, ok := p.Match(f.Path); ok && f.Name != "" && (l.Sets == 1 || l.Sample.Err != nil) {
			l.Sample = Options{}.Decode(place, f.Name, f.Data)
		}
	}
next:
	for _, f := range found {
		for _, k := range known {
			if k.format != f.Format {
				continue
			}
			p, err := ParsePattern(k.path, k.service, "")
			if err != nil {
				continue
			}
			if _, ok := p.Match(f.Path); ok {
				add(p, f)
				continue next
			}
		}
		rest = append(rest, f)
	}
	groups := map[string][]Found{}
	for _, f := range rest {
		groups[groupOf(f)] = append(groups[groupOf(f)], f)
	}
	for _, g := range groups {
		if p, err := infer(g); err == nil {
			for _, f := range g {
				add(p, f)
			}
		}
	}
	out := make([]Layout, 0, len(byKey))
	for _, l := range byKey {
		out = append(out, *l)
	}
	slices.SortFunc(out, func(a, b Layout) int {
		return cmp.Or(cmp.Compare(b.Members, a.Members), strings.Compare(a.Pattern.path, b.Pattern.path), strings.Compare(string(a.Format), string(b.Format)))
	})
	return out
}

// groupOf puts together what one pattern may explain: KingPin's sets by what is above their last two parts, which are service and environment; those
// of others by depth and first part.
func groupOf(f Found) string {
	parts := strings.Split(f.Path, "/")[1:]
	if f.Format == KingPin && len(parts) > 2 {
		return fmt.Sprint(f.Format, len(parts), strings.Join(parts[:len(parts)-2], "/"))
	}
	return fmt.Sprint(f.Format, len(parts), parts[0])
}

// infer makes a pattern of the paths of a group: what differs gets a name.
func infer(g []Found) (Pattern, error) {
	parts := strings.Split(g[0].Path, "/")[1:]
	n := len(parts)
	var differ []int
	switch {
	case g[0].Format == KingPin && n > 2:
		differ = []int{n - 2, n - 1}
	case len(g) == 1 && n > 1:
		differ = []int{n - 1}
	default:
		for i := range parts {
			if slices.ContainsFunc(g, func(f Found) bool { return strings.Split(f.Path, "/")[1:][i] != parts[i] }) {
				differ = append(differ, i)
			}
		}
	}
	names := make([]string, len(differ))
	service, env := "", ""
	switch {
	case len(differ) == 0:
		service = strings.Join(parts, ".")
	case len(differ) == 1:
		names[0] = "service"
	case g[0].Format == KingPin && len(differ) == 2:
		names[0], names[1] = "service", "env"
	default:
		// Which of them is an environment cannot be known; together they are the service, so none is mistaken for another.
		for i := range names {
			names[i] = fmt.Sprintf("s%d", i+1)
		}
		service = "{" + strings.Join(names, "}.{") + "}"
	}
	for i, at := range differ {
		parts[at] = "{" + names[i] + "}"
	}
	return ParsePattern("/"+strings.Join(parts, "/"), service, env)
}
