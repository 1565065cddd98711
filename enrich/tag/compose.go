package tag

import (
	"net/netip"
	"strings"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// The names that are made here; the rest come from outside.
const (
	Version       = "service.version"
	VersionSource = "rollcall.version.source" // metadata, labels, server_info, build_info or expvar
	Track         = "rollcall.track"          // canary, baseline or production
	TrackSource   = "rollcall.track.source"   // as VersionSource, or inferred
	InstanceID    = "service.instance.id"
)

// composition is everything that the tags of a snapshot follow from. While it stays the same, so do they.
type composition struct {
	tags, own       discovery.Tags // Snapshot.Tags and Instance.Tags
	host            string
	version, track  said
	rules, nets, at uint64 // generations of the configuration, the networks and the databases
}

// compose is the tags that go on the wire.
func (e *Enricher) compose(c *compiled, st *state, s *collector.Snapshot) discovery.Tags {
	in := composition{tags: s.Tags, own: s.Instance.Tags, host: s.Instance.Host, version: st.version, track: st.track,
		rules: c.generation, nets: c.networks.generation(), at: c.cfg.Geo.Generation()}
	if in.track == (said{}) && !c.cfg.NoTracks {
		if t := e.tracks.Observe(s.Time, s.Instance.Key, s.Interval, st.version.text, st.started); t != "" {
			in.track = said{t, byInference}
		}
	}
	if in == st.in {
		return st.out
	}
	st.in, st.out = in, c.compose(in)
	return st.out
}

// compose builds the tags. Who wins, from the first: the member's own metadata, what the application says, the network, the databases, external labels. At last
// tags are dropped, by the names they have until then, and renamed.
func (c *compiled) compose(in composition) discovery.Tags {
	m := in.tags.Map()
	for n, v := range c.cfg.External {
		if in.own.Get(n) == "" && m[n] == v {
			delete(m, n) // set before we came; it loses against everybody
		}
	}
	put := func(n, v string) {
		if m[n] == "" {
			m[n] = v
		}
	}
	if in.version.text != "" {
		m[Version], m[VersionSource] = in.version.text, in.version.source.String()
	}
	if in.track.text != "" {
		m[Track], m[TrackSource] = in.track.text, in.track.source.String()
	}
	if a, err := netip.ParseAddr(strings.Trim(in.host, "[]")); err == nil {
		for n, v := range c.networks.lookup(a).All() {
			put(n, v)
		}
		if c.cfg.Host {
			if p, ok := c.cfg.Geo.Lookup(a); ok {
				for n, of := range attributes {
					put("server."+n, of(&p))
				}
			}
		}
	}
	for n, v := range c.cfg.External {
		put(n, v)
	}
	for n := range c.drop {
		delete(m, n)
	}
	for _, old := range c.rename {
		if v := m[old]; v != "" {
			delete(m, old)
			put(c.cfg.Rename[old], v)
		}
	}
	return discovery.TagsOf(m)
}
