package detect

import (
	"slices"
	"testing"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

func TestRegions(t *testing.T) {
	zone, region, version := Cond{Dim: dashboards.TagZone, Value: "us-east-1c"}, Cond{Dim: dashboards.TagRegion, Value: "eu-west-1"}, Cond{Dim: dashboards.TagVersion, Value: "2"}
	for _, tc := range []struct {
		name  string
		place Place
		want  []string
	}{
		{"nowhere in particular", Place{}, nil},
		{"a version", Place{Conds: []Cond{version}}, nil},
		{"a version in a zone", Place{Conds: []Cond{version, zone}}, []string{"us-east-1"}},
		{"a region", Place{Conds: []Cond{region}}, []string{"eu-west-1"}},
		{"a zone, and a region", Place{Conds: []Cond{zone}, Also: [][]Cond{{region}}}, []string{"eu-west-1", "us-east-1"}},
		{"a zone, and a version wherever it is", Place{Conds: []Cond{zone}, Also: [][]Cond{{version}}}, nil},
	} {
		if got := tc.place.regions(); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	if got := regionsOf([]dashboards.Member{{Tags: map[string]string{dashboards.TagZone: "b-1"}}, {}}); !slices.Equal(got, []string{"b-1", dashboards.NoRegion}) {
		t.Errorf("members are in %q", got)
	}
}
