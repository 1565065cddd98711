package discovery

import (
	"maps"
	"testing"
)

func TestMetaLabels(t *testing.T) {
	base := Instance{Key: Key{"checkout", "prod", "10.0.0.5", 8001}, Path: "/p", Format: "kingpin", Shard: NoShard, Meta: TagsOf(map[string]string{"__meta_x": "1"})}
	full, foreign, broken := base, base, base
	full.Shard, full.Status = 3, "failing"
	foreign.Format = "finagle" // its reader keeps what it finds
	broken.Host = ""
	for name, c := range map[string]struct {
		i    Instance
		want map[string]string
	}{
		"kingpin": {base, map[string]string{"__meta_serverset_endpoint_host": "10.0.0.5", "__meta_serverset_endpoint_port": "8001", "__meta_serverset_path": "/p", "__meta_x": "1"}},
		"kingpin, shard and status": {full, map[string]string{"__meta_serverset_endpoint_host": "10.0.0.5", "__meta_serverset_endpoint_port": "8001", "__meta_serverset_path": "/p",
			"__meta_serverset_shard": "3", "__meta_serverset_status": "failing", "__meta_x": "1"}},
		"another format": {foreign, map[string]string{"__meta_x": "1"}},
		"unparsable":     {broken, map[string]string{"__meta_x": "1"}},
	} {
		if got := c.i.MetaMap(); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
		for range c.i.MetaLabels() {
			break // ends without a word
		}
	}
}
