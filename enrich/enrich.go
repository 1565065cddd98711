// Package enrich adds to each snapshot what the application did not say: where in the world and in the fleet a number comes from.
//
// It owns the Enricher contract and Chain. enrich/geo looks addresses up, enrich/tag knows rules, networks, versions and tracks.
package enrich

import "github.com/rollcall-metrics/rollcall/collector"

// Enricher changes a snapshot's tags and samples in place. It is called from many goroutines, never twice at once for one instance; it must not
// keep the snapshot or any string of its samples; it cannot fail: what it does not know it leaves out.
type Enricher interface {
	Enrich(*collector.Snapshot)
}

// Chain applies enrichers from first to last.
type Chain []Enricher

// Enrich implements Enricher.
func (c Chain) Enrich(s *collector.Snapshot) {
	for _, e := range c {
		e.Enrich(s)
	}
}
