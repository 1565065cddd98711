package detect

import (
	"slices"
	"testing"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/dashboards"
)

// A network is told by its organization and its country, as far as labels say them and they are one.
func TestNetworks(t *testing.T) {
	leaf := func(requests float64, labels ...string) dashboards.Leaf {
		l := dashboards.Leaf{After: dashboards.Sums{Requests: requests}}
		for i := 0; i < len(labels); i += 2 {
			l.Labels = append(l.Labels, collector.LabelPair{Name: labels[i], Value: labels[i+1]})
		}
		return l
	}
	for _, tc := range []struct {
		leaves []dashboards.Leaf
		want   string
	}{
		{[]dashboards.Leaf{leaf(9, clientAS, "64500", clientOrg, "Example Net", clientCountry, "IN")}, "clients of Example Net (AS 64500, IN)"},
		{[]dashboards.Leaf{leaf(9, clientAS, "64500", clientOrg, "Example Net")}, "clients of Example Net (AS 64500)"},
		{[]dashboards.Leaf{leaf(9, clientAS, "64500", clientCountry, "IN")}, "clients of AS 64500 (IN)"},
		{[]dashboards.Leaf{leaf(9, clientAS, "64500")}, "clients of AS 64500"},
		{[]dashboards.Leaf{leaf(5, clientAS, "64500", clientCountry, "IN"), leaf(5, clientAS, "64500", clientCountry, "US")}, "clients of AS 64500"},
		{[]dashboards.Leaf{leaf(99, clientAS, "64500", clientCountry, "IN"), leaf(1, clientAS, "64500", clientCountry, "US")}, "clients of AS 64500 (IN)"},
		{nil, "clients of AS 64500"},
	} {
		if got := networks(tc.leaves).one(Cond{clientAS, "64500"}); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

// What began is behind what happened in the same second, which may have caused it.
func TestMarked(t *testing.T) {
	var got []string
	for _, e := range marked([]dashboards.Event{{T: 900, Text: "before"}, {T: 1400, Text: "a deploy"}, {T: 2100, Text: "after"}}, dashboards.Event{T: 1000, Text: "errors rise"}) {
		got = append(got, e.Text)
	}
	if !slices.Equal(got, []string{"before", "a deploy", "errors rise", "after"}) {
		t.Error(got)
	}
}
