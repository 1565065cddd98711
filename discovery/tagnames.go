package discovery

// shortNames are names that nearly every instance has. In the text of Tags each is one byte, its place in this list: half of what 150,000 instances keep of
// their tags would be these words, over and over. The list is in nobody's file or record, so it may change.
var shortNames = [...]string{
	1: "service.version", "cloud.availability_zone", "cloud.region", "rollcall.track", "host.name", "team", "rack",
	"__meta_serverset_endpoint_host", "__meta_serverset_endpoint_port", "__meta_serverset_path", "__meta_serverset_shard", "__meta_serverset_status",
	"__meta_serverset_member_id", "__meta_serverset_weight", "__meta_serverset_expected", "__meta_nerve_endpoint_host", "__meta_nerve_endpoint_port",
	"__meta_nerve_endpoint_name", "__meta_nerve_path", "__meta_curator_id", "__meta_curator_name", "__meta_curator_service_type", "__meta_curator_enabled",
}

// longName begins a name in the text that could be taken for a short one.
const longName = 31

var shortOf = func() map[string]byte {
	m := map[string]byte{}
	for i, n := range shortNames {
		if n != "" {
			m[n] = byte(i)
		}
	}
	return m
}()

// appendName writes a name as it stands in the text.
func appendName(b []byte, name string) []byte {
	if i := shortOf[name]; i != 0 {
		return append(b, i)
	}
	if name[0] <= longName {
		b = append(b, longName)
	}
	return append(b, name...)
}

// nameOf is the name that stands in the text as n, which is not empty.
func nameOf(n string) string {
	switch {
	case n[0] == longName:
		return n[1:]
	case len(n) == 1 && int(n[0]) < len(shortNames):
		return shortNames[n[0]]
	}
	return n
}
