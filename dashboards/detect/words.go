package detect

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// retitle writes the headline, the place and the level of a finding about a signal.
func (d *Detector) retitle(s *dashboards.Signals, o *open, over bool) {
	v, f := &o.verdict, &o.finding
	verb := "is"
	if over {
		verb = "was"
	}
	var more []string // the headline is the news: what else is known of it stands below
	f.Why, o.worstWhy = sentence(v, s.LatencyName), sentence(&o.peak, s.LatencyName)
	f.Level = dashboards.LevelWarn
	switch v.Metric {
	case "errors":
		f.News = percent(v.Is)
		f.Title = fmt.Sprintf("%s %s failing: %s", s.Service, verb, f.Why)
		if v.Of*v.Is >= 1 {
			more = append(more, fmt.Sprintf("≈ %s of %s requests a second fail", count(v.Of*v.Is), count(v.Of)))
		}
		if o.peak.Is >= 0.01 {
			f.Level = dashboards.LevelBad
		}
	case "latency":
		f.News = millis(v.Is)
		f.Title = fmt.Sprintf("%s %s slow: %s", s.Service, verb, f.Why)
		if o.peak.Is >= 3*o.peak.Was {
			f.Level = dashboards.LevelBad
		}
	case "rate":
		f.News = count(v.Is) + " a second"
		gets := "gets"
		if over {
			gets = "got"
		}
		f.Title = fmt.Sprintf("%s %s fewer requests: %s → %s", s.Service, gets, count(v.Was), f.News)
		if o.peak.Is <= nothing*o.peak.Was {
			f.Title = fmt.Sprintf("%s has stopped: requests %s → %s", s.Service, count(v.Was), f.News)
			if over {
				f.Title = fmt.Sprintf("%s had stopped: requests %s → %s", s.Service, count(o.peak.Was), count(o.peak.Is)+" a second")
			}
		}
		if o.peak.Is <= 0.1*o.peak.Was {
			f.Level = dashboards.LevelBad
		}
	case "exceptions":
		f.News = v.Name
		throws := "throws"
		if over {
			throws = "threw"
		}
		f.Title = fmt.Sprintf("%s %s %s %s", s.Service, throws, v.Name, inRequests(v))
		if much := aSecond(v); much != "" {
			more = append(more, much)
		}
		if v.New {
			more = append(more, "first seen "+o.seen.UTC().Format("15:04:05 UTC"))
		}
		if o.peak.Is >= 0.1 {
			f.Level = dashboards.LevelBad
		}
	case "saturation":
		f.News = share(v)
		f.Title = fmt.Sprintf("%s %s nearly full: %s", s.Service, verb, f.Why)
		if v.Waits {
			f.Title = fmt.Sprintf("%s %s behind: %s", s.Service, verb, f.Why)
		} else if o.peak.Is >= 0.98 {
			f.Level = dashboards.LevelBad
		}
	}
	f.Only, f.Cleared = only(v, &o.where), append([]string{}, o.where.Cleared...)
	f.Regions, f.Where = o.where.regions(), o.where.holds()
	if o.cause != "" && len(o.where.Conds)+len(o.where.Instances)+o.where.Scattered == 0 && o.where.Sure > 0 {
		f.Only = "Everywhere alike; it began as " + o.cause + "."
	}
	f.Only = strings.TrimSpace(f.Only + " " + rest(slices.Concat(more, o.also)))
	f.Cleared = append(f.Cleared, o.where.Alike...)
}

// hit is which of a service's lines findings about metrics are to be seen in: exceptions, and what is nearly full, in none.
func hit(service string, metrics ...string) map[string][]string {
	var out []string
	for _, m := range metrics {
		if m == "instances" {
			m = "answering"
		}
		if slices.Contains(dashboards.SignalNames, m) && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return map[string][]string{service: out}
}

// sentence is a verdict in a few words.
func sentence(v *Verdict, latency string) string {
	switch v.Metric {
	case "errors":
		return fmt.Sprintf("errors %s → %s", percent(v.Was), percent(v.Is))
	case "latency":
		return fmt.Sprintf("%s %s → %s", latency, millis(v.Was), millis(v.Is))
	case "exceptions":
		if v.New {
			return fmt.Sprintf("new %s, %s", v.Name, often(v))
		}
		return fmt.Sprintf("%s %s", v.Name, often(v))
	case "saturation":
		if v.Waits {
			return fmt.Sprintf("%s %s → %s an instance", v.Name, count(v.Was), count(v.Is))
		}
		return fmt.Sprintf("%s %s → %s", v.Name, percent(v.Was), percent(v.Is))
	}
	return fmt.Sprintf("requests %s → %s a second", count(v.Was), count(v.Is))
}

// rest is what stands behind the place, as a sentence.
func rest(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	text := strings.Join(parts, "; ") + "."
	if len(text) > 1 && text[0] >= 'a' && text[0] <= 'z' && (text[1] < '0' || text[1] > '9') { // p99 is p99
		text = string(text[0]-'a'+'A') + text[1:]
	}
	return text
}

// often is how much a class of exceptions is thrown: in how many of the requests, and how many that is.
func often(v *Verdict) string {
	return strings.TrimSuffix(inRequests(v)+", "+aSecond(v), ", ")
}

func inRequests(v *Verdict) string {
	if v.New {
		return "in " + percent(v.Is) + " of its requests"
	}
	return "in " + percent(v.Was) + " → " + percent(v.Is) + " of its requests"
}

func aSecond(v *Verdict) string {
	if a := v.Of * v.Is; a >= 1 {
		return "≈ " + count(a) + " a second"
	} else if a*60 >= 1 {
		return "≈ " + count(a*60) + " a minute"
	}
	return ""
}

// share is how much is used, or waits.
func share(v *Verdict) string {
	if v.Waits {
		return count(v.Is)
	}
	return percent(v.Is)
}

func onset(metric string) string {
	switch metric {
	case "errors":
		return "errors rise"
	case "latency":
		return "latency rises"
	case "rate":
		return "requests fall"
	case "exceptions":
		return "exceptions appear"
	case "saturation":
		return "it fills up"
	}
	return "instances are missing"
}

// only says where it is.
func only(v *Verdict, p *Place) string {
	where := ""
	switch {
	case len(p.Conds) > 0:
		where = p.Known.place(p.Conds)
		for i, also := range p.Also {
			if i == len(p.Also)-1 {
				where += " and " + p.Known.place(also)
			} else {
				where += ", " + p.Known.place(also)
			}
		}
	case len(p.Instances) > 0:
		where = strings.Join(p.Instances, ", ")
	case p.Scattered > 0:
		return fmt.Sprintf("Not by version, zone, host or any other tag: %d of %d instances have it, and nothing in common that the others have not.", p.Scattered, p.Of)
	case p.Sure > 0:
		return "Everywhere alike: no version, zone, host or other tag stands out."
	default:
		return ""
	}
	word := "Only "
	if p.Share < 0.9 {
		word = "Mostly "
	}
	its := "its"
	if labelled(p.Conds) {
		its = "their"
	}
	text := word + where + ": "
	switch v.Metric {
	case "errors":
		text += percent(p.Ratio) + " of " + its + " requests fail"
		if word == "Mostly " {
			text += ", " + percent(p.Share) + " of the excess"
		}
	case "latency":
		text += millis(p.Ratio) + " there"
		if p.Elsewhere > 0 {
			text += ", " + millis(p.Elsewhere) + " elsewhere"
		}
	case "rate":
		text += percent(p.Ratio) + " of " + its + " usual requests"
	case "exceptions":
		text += "in " + percent(p.Ratio) + " of " + its + " requests"
	case "saturation":
		if v.Waits {
			text += count(p.Ratio) + " wait there"
		} else {
			text += percent(p.Ratio) + " used there"
		}
	}
	if p.N > 0 && p.Of > 0 {
		text += fmt.Sprintf(", %d of %d instances", p.N, p.Of)
	}
	return text + "."
}

// Words says where something about errors, latency or rate is, as a finding's Only does; "" where that is not known.
func (p *Place) Words(metric string) string { return only(&Verdict{Metric: metric}, p) }

// place names conditions: 1.42.0 in us-east-1c.
func (k known) place(cs []Cond) string {
	if len(cs) == 0 {
		return ""
	}
	text := k.one(cs[0])
	for _, c := range cs[1:] {
		switch c.Dim {
		case dashboards.TagZone, dashboards.TagRegion:
			text += " in " + c.Value
		case "client.as.number", "client.geo.country.iso_code":
			text += " for " + k.one(c)
		default:
			text += " with " + k.one(c)
		}
	}
	return text
}

// holds are the conditions of a place, of whom all hold there; none where it is several places.
func (p *Place) holds() (out []string) {
	if len(p.Also) > 0 {
		return nil
	}
	for _, c := range p.Conds {
		out = append(out, c.Dim+"="+c.Value)
	}
	for _, instance := range p.Instances {
		out = append(out, "instance="+instance)
	}
	return out
}

// one names a condition of which nothing else is known.
func one(c Cond) string { return known(nil).one(c) }

func (k known) one(c Cond) string {
	if text := k[c]; text != "" {
		return text
	}
	switch c.Dim {
	case dashboards.TagVersion, dashboards.TagZone, dashboards.TagRegion:
		return c.Value
	case dashboards.TagTrack:
		return "track " + c.Value
	case dashboards.TagHost:
		return "host " + c.Value
	case "client.as.number":
		return "clients of AS " + c.Value
	case "client.geo.country.iso_code":
		return "clients in " + c.Value
	}
	return c.Dim + "=" + c.Value
}

// without is where all conditions but one hold.
func (k known) without(kept []Cond, other Cond, others map[string]bool) string {
	if len(others) == 1 {
		o := Cond{other.Dim, slices.Collect(maps.Keys(others))[0]}
		if other.Dim == dashboards.TagVersion {
			return k.place(kept) + " on " + k.one(o)
		}
		return k.place(append(slices.Clone(kept), o))
	}
	switch other.Dim {
	case dashboards.TagZone, dashboards.TagRegion:
		return k.place(kept) + " elsewhere"
	case dashboards.TagVersion:
		return k.place(kept) + " on other versions"
	}
	return k.place(kept) + " without " + k.one(other)
}

// theRest names the other values of a dimension.
func (k known) theRest(c Cond, others map[string]bool) string {
	if len(others) == 1 {
		return k.one(Cond{c.Dim, slices.Collect(maps.Keys(others))[0]})
	}
	switch c.Dim {
	case dashboards.TagVersion:
		return "other versions"
	case dashboards.TagZone:
		return "other zones"
	case dashboards.TagHost:
		return "other hosts"
	case "client.as.number":
		return "other client networks"
	case "client.geo.country.iso_code":
		return "clients elsewhere"
	}
	return "everything else"
}

// figure is a set's figure, behind its name.
func (t *table) figure(g *group) string {
	switch t.metric {
	case "errors":
		return " " + percent(t.told(g))
	case "latency":
		return " " + millis(t.told(g))
	}
	return ""
}

// percent writes a ratio with two digits at most: 0.2 %, 3.1 %, 65 %.
func percent(p float64) string {
	x := p * 100
	switch {
	case math.IsNaN(x):
		return "?"
	case x == 0:
		return "0 %"
	case x < 0.01:
		return "< 0.01 %"
	case x < 0.1:
		return strconv.FormatFloat(x, 'f', 2, 64) + " %"
	case x < 9.95:
		return strconv.FormatFloat(x, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(math.Round(x), 'f', 0, 64) + " %"
}

// millis writes a latency with its unit, two or three digits.
func millis(ms float64) string {
	switch {
	case math.IsNaN(ms):
		return "?"
	case ms < 9.95:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 10_000:
		return grouped(math.Round(ms)) + " ms"
	}
	return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
}

// count writes a number of things to three digits: 48, 570, 18,400.
func count(x float64) string {
	switch {
	case math.IsNaN(x):
		return "?"
	case x < 9.95:
		return strconv.FormatFloat(x, 'f', 1, 64)
	case x >= 1000:
		scale := math.Pow(10, math.Floor(math.Log10(x))-2)
		x = math.Round(x/scale) * scale
	}
	return grouped(math.Round(x))
}

func grouped(x float64) string {
	s := strconv.FormatFloat(x, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
