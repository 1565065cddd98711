package serverset

import (
	"maps"
	"slices"
)

// The tags that rollcall itself knows, by their OpenTelemetry names where those exist.
const (
	TagVersion = "service.version"
	TagZone    = "cloud.availability_zone"
	TagRegion  = "cloud.region"
	TagTrack   = "rollcall.track" // ours: canary, baseline or production
	TagHost    = "host.name"
	TagTeam    = "team" // ours: who owns the service
)

// TagName is the full name of a tag that registrars write in short; any other name is returned as it is.
func TagName(name string) string {
	switch name {
	case "version":
		return TagVersion
	case "zone", "az", "availability_zone":
		return TagZone
	case "region":
		return TagRegion
	case "track":
		return TagTrack
	case "host", "hostname":
		return TagHost
	case "owner":
		return TagTeam
	}
	return name
}

// addTag takes a tag under its full name; where a short and a full name meet, the full one wins. An empty name or value says nothing.
func addTag(tags map[string]string, name, value string) {
	full := TagName(name)
	if _, taken := tags[full]; name == "" || value == "" || taken && full != name {
		return
	}
	tags[full] = value
}

// withinLimits drops what is over the limits and says how many tags that cost.
func withinLimits(tags map[string]string) (map[string]string, int) {
	left := 0
	maps.DeleteFunc(tags, func(n, v string) bool {
		bad := !goodTag(n, v)
		if bad {
			left++
		}
		return bad
	})
	if over := len(tags) - MaxTags; over > 0 {
		for _, n := range slices.Sorted(maps.Keys(tags))[MaxTags:] {
			delete(tags, n)
		}
		left += over
	}
	return tags, left
}
