package detect

import (
	"strings"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// known is what conditions are called where more is known of them than their value.
type known map[Cond]string

const (
	clientAS      = "client.as.number"
	clientOrg     = "client.as.organization.name"
	clientCountry = "client.geo.country.iso_code"
)

// networks are client networks by the organization that stands beside their number in labels or tags, and by their country: clients of Reliance Jio (AS 55836, IN). What
// is not the same for nearly all of a network's requests is left out.
func networks(ls []dashboards.Leaf) known {
	type sums map[string]float64
	by := map[string]*[2]sums{}
	for i := range ls {
		l := &ls[i]
		value := func(name string) string {
			for _, p := range l.Labels {
				if p.Name == name {
					return p.Value
				}
			}
			return l.Tags[name]
		}
		number := value(clientAS)
		if number == "" {
			continue
		}
		of := by[number]
		if of == nil {
			of = &[2]sums{{}, {}}
			by[number] = of
		}
		n := l.Before.Requests + l.After.Requests
		of[0][value(clientOrg)] += n
		of[1][value(clientCountry)] += n
	}
	out := known{}
	for number, of := range by {
		org, country := mostOf(of[0]), mostOf(of[1])
		name := "AS " + number
		switch {
		case org != "":
			name = org + " (" + strings.TrimSuffix(name+", "+country, ", ") + ")"
		case country != "":
			name += " (" + country + ")"
		default:
			continue
		}
		out[Cond{clientAS, number}] = "clients of " + name
	}
	return out
}

// mostOf is what nearly all is; "" where nothing is.
func mostOf(sums map[string]float64) (most string) {
	all := 0.0
	for _, n := range sums {
		all += n
	}
	for name, n := range sums {
		if n > 0 && n >= 0.9*all {
			most = name
		}
	}
	return most
}
