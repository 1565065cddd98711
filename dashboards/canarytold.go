package dashboards

import (
	"errors"
	"fmt"
)

// CanaryTold is a verdict on a canary.
type CanaryTold struct {
	Version  string `json:"version"`  // the canary's, or its name where it tells none
	Baseline string `json:"baseline"` // likewise
	Verdict  string `json:"verdict"`  // pass, hold or fail; a fail stays
	// What is told of it lasts, whoever of either side comes or goes: how the verdict came to be, and what a fail rests on. Judged anew, on those who are there by then,
	// it might be another.
	Turns  []CanaryTurn `json:"turns,omitempty"`  // oldest first
	Reason string       `json:"reason,omitempty"` // of a fail
	Failed []CanaryHarm `json:"failed,omitempty"` // the metrics that failed it
}

// CanaryTurn is a change of the verdict on a canary.
type CanaryTurn struct {
	T       int64  `json:"t"` // Unix ms
	Verdict string `json:"verdict"`
}

// CanaryHarm is a metric that failed a canary.
type CanaryHarm struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Zone  string `json:"zone,omitempty"` // there; else everywhere
	At    int64  `json:"at"`             // Unix ms
	Text  string `json:"text"`           // its figures at that time
	Hosts [2]int `json:"hosts"`          // of baseline and canary
}

// MaxCanaryTurns bounds the turns that are told, and likewise the metrics.
const MaxCanaryTurns = 100

// check holds what is told of a canary to what one of ours can be.
func (c *CanaryTold) check(past func(string, int64) error) error {
	errs := []error{named("canary", c.Version, true), named("baseline", c.Baseline, false), named("verdict", c.Verdict, true), worded("reason", c.Reason, MaxWords)}
	if len(c.Turns) > MaxCanaryTurns || len(c.Failed) > MaxCanaryTurns {
		return errors.Join(append(errs, fmt.Errorf("more than %d turns or metrics", MaxCanaryTurns))...)
	}
	for _, t := range c.Turns {
		errs = append(errs, past("turn", t.T), named("verdict", t.Verdict, true))
	}
	for _, m := range c.Failed {
		errs = append(errs, past("failed", m.At), named("metric", m.Name, true), named("kind", m.Kind, true), named("zone", m.Zone, false), worded("text", m.Text, MaxWords))
	}
	return errors.Join(errs...)
}

// stays reports whether what is told of f, in its place, says nothing that f does not: the verdict has not turned, or it was a fail, which stays.
func (f *Finding) stays(in *Finding) bool {
	return f.Canary != nil && in.Canary != nil && f.Ended == nil && in.Ended == nil && f.Canary.Version == in.Canary.Version && (f.Canary.Verdict == in.Canary.Verdict || f.Canary.Verdict == "fail")
}

// renew takes over what else is said now of a verdict that stands. A fail is told as it was found: what it rests on was so then.
func (f *Finding) renew(in *Finding) {
	if f.Canary.Verdict == in.Canary.Verdict && f.Canary.Verdict != "fail" {
		f.Title, f.News, f.Only, f.Why = in.Title, in.News, in.Only, in.Why
	}
}
