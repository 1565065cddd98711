package detect

import (
	"slices"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// regions are where a place is, as far as each of its conditions together names a zone or a region; none: it may be anywhere.
func (p *Place) regions() (out []string) {
	for _, conds := range append([][]Cond{p.Conds}, p.Also...) {
		region := ""
		for _, c := range conds {
			switch c.Dim {
			case dashboards.TagRegion:
				region = c.Value
			case dashboards.TagZone:
				if region == "" {
					region = dashboards.RegionOf("", c.Value)
				}
			}
		}
		if region == "" {
			return nil // of one part of it nobody knows where it is
		}
		out = append(out, region)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// regionsOf are where members are.
func regionsOf(members []dashboards.Member) (out []string) {
	for _, m := range members {
		out = append(out, dashboards.RegionOf(m.Tags[dashboards.TagRegion], m.Tags[dashboards.TagZone]))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
