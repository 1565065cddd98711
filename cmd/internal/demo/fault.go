package demo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kinds of faults, in the order in which the demo begins.
var Kinds = []string{"canary", "host", "as", "deploy", "crash", "expiry"}

// coming says of each kind what is about to break.
var coming = map[string]string{
	"canary": "the canary of a service begins to fail in one zone",
	"host":   "a host gets sick, and everything on it with it",
	"as":     "a service begins to fail for clients of one network",
	"deploy": "a bad version is deployed everywhere",
	"crash":  "a host dies",
	"expiry": "ZooKeeper forgets the whole fleet",
}

// Fault is one thing that is broken for a while.
type Fault struct {
	Kind  string    `json:"fault"`
	Text  string    `json:"text"` // what was broken, for people
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// Next is what breaks by itself after it, at NextAt; known when it has healed by itself.
	Next   string    `json:"-"`
	NextAt time.Time `json:"-"`

	service    string
	zone, host int // -1: any
	version    string
	effect     effect
}

// on gives what the fault does to an application.
func (f *Fault) on(a *app, version string) effect {
	if f.service != "" && f.service != a.svc.name || f.zone >= 0 && f.zone != a.zone || f.host >= 0 && f.host != a.host || f.version != "" && f.version != version {
		return effect{}
	}
	return f.effect
}

// faultLasts is long enough to be found, read and understood, short enough that the next one comes.
const faultLasts = 75 * time.Second

// newFault makes a fault of a kind; the choice of service, zone, host and network is chance. An unknown kind is an error that lists the kinds.
func newFault(kind string, now time.Time, rng *rand.Rand) (*Fault, error) {
	s := &catalogue[rng.IntN(len(catalogue))]
	zone, host := rng.IntN(len(zones)), rng.IntN(hostsPerZone)
	net := networks[rng.IntN(len(networks))]
	f := &Fault{Kind: kind, Start: now, End: now.Add(faultLasts), zone: -1, host: -1}
	switch kind {
	case "canary":
		f.service, f.zone, f.version = s.name, zone, s.new
		f.effect = effect{errors: .35 + .3*rng.Float64(), slower: 1.4, classes: "NullPointerException"}
		f.Text = fmt.Sprintf("%s %s, the canary, fails in %s", s.name, s.new, zones[zone])
	case "as":
		f.service = s.name
		f.effect = effect{errors: .5 + .3*rng.Float64(), asn: net.asn, classes: "ClientDisconnected"}
		f.Text = fmt.Sprintf("%s fails for clients of AS%d %s (%s)", s.name, net.asn, net.org, net.country)
	case "host":
		f.zone, f.host = zone, host
		f.effect = effect{errors: .25, slower: 5, classes: "IOException"}
		f.Text = fmt.Sprintf("host %s is sick: everything on it is slow and fails", hostName(zone, host))
	case "deploy":
		f.service, f.version = s.name, s.new
		f.effect = effect{errors: .08 + .06*rng.Float64(), slower: 2.2, classes: "IllegalStateException"}
		f.Text = fmt.Sprintf("%s: %s is deployed to every instance, and it is bad", s.name, s.new)
	case "crash":
		f.zone, f.host = zone, host
		f.effect = effect{down: true}
		f.Text = fmt.Sprintf("host %s is dead: nothing on it answers, and its registrations expire", hostName(zone, host))
	case "expiry":
		f.Text = "ZooKeeper forgets the whole fleet: every registration expires, and every application answers as before"
	default:
		return nil, fmt.Errorf("fault %q: use one of %s", kind, strings.Join(Kinds, ", "))
	}
	return f, nil
}

// nextKind goes through the kinds in order.
func nextKind(last string) string { return Kinds[(slices.Index(Kinds, last)+1)%len(Kinds)] }
