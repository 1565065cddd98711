// Package rules evaluates alerting and recording rules in Prometheus' format, with Prometheus' semantics.
//
// It owns what is read of rule files, the state of each alert, the series that rules give, and Prometheus' API of both. What a rule asks is answered by a function,
// and time comes from outside wherever something is decided: the same questions at the same times give the same alerts. It must not know where values come from, nor
// who is told.
package rules

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// Query answers an expression as of a time; its answer is the caller's.
type Query func(ctx context.Context, expr string, at time.Time) (promql.Vector, error)

// Bounds of what is read and kept. What meets one is told by name.
const (
	MaxFiles     = 1000
	MaxFile      = 4 << 20  // bytes of a file
	MaxRules     = 10_000   // in all files
	maxExprs     = 4 << 20  // bytes of all expressions
	maxTextBytes = 8 << 20  // of all labels and annotations, a group's once for each rule
	maxText      = 16 << 10 // bytes of a label or annotation as written
	maxTexts     = 32       // labels and annotations of a rule
	maxName      = 1 << 10
	MaxAlerts    = 10_000         // of a rule
	maxOver      = 10 * MaxAlerts // that are over, of rules that are no more
	least        = time.Second    // between two evaluations
	most         = 24 * time.Hour
)

// resolvedFor is for how long an alert that is over is still told, as Prometheus does.
const resolvedFor = 15 * time.Minute

// What Prometheus calls the series of alerts.
const (
	seriesAlerts = "ALERTS"
	seriesFor    = "ALERTS_FOR_STATE"
	labelState   = "alertstate"
)

// Set is the rules of all files, as they were read. It does not change.
type Set struct {
	Groups []*Group // by file and name
	Files  []string
	Rules  int
}

// alerting is how many of the rules give alerts.
func (s *Set) alerting() (n int) {
	for _, g := range s.Groups {
		for _, r := range g.Rules {
			if r.Alert {
				n++
			}
		}
	}
	return n
}

// Group is rules that are evaluated one after the other, at one time.
type Group struct {
	File, Name string
	Interval   time.Duration
	Offset     time.Duration // how far back their questions are
	Limit      int           // alerts or series of one rule; 0: any number
	Rules      []*Rule

	reach   time.Duration
	named   map[string][]int // which of the rules give alerts of a name
	machine *machine         // of all its templates: they are expanded one after the other
}

// Rule is one of them.
type Rule struct {
	Name          string
	Alert         bool   // else it records
	Expr          string // as Prometheus writes it
	For           time.Duration
	KeepFiringFor time.Duration
	Labels        labels.Labels // with the group's
	Annotations   labels.Labels

	expr   parser.Expr
	ask    string // as it was written
	labels []text // of an alert: to be expanded
	notes  []text
	static map[string]string // those labels that are no templates
}

// text is a label or annotation.
type text struct {
	name string
	t    *template
}

// Key names the group, as Prometheus has it.
func (g *Group) Key() string { return g.File + ";" + g.Name }

// Reach is how far back the group's rules look.
func (g *Group) Reach() time.Duration { return g.reach }

// same reports whether two groups are the same in all that matters: what runs need not be replaced.
func (g *Group) same(o *Group) bool {
	if g.Key() != o.Key() || g.Interval != o.Interval || g.Offset != o.Offset || g.Limit != o.Limit || len(g.Rules) != len(o.Rules) || g.machine.world != o.machine.world {
		return false
	}
	for i, r := range g.Rules {
		if !r.same(o.Rules[i]) {
			return false
		}
	}
	return true
}

func (r *Rule) same(o *Rule) bool {
	return r.Name == o.Name && r.Alert == o.Alert && r.Expr == o.Expr && r.For == o.For && r.KeepFiringFor == o.KeepFiringFor && labels.Equal(r.Labels, o.Labels) && labels.Equal(r.Annotations, o.Annotations)
}

// identity is by what a rule is known after it was changed, as in Prometheus.
func (r *Rule) identity() string { return fmt.Sprint(r.Alert) + r.Name + r.Labels.String() }

// idOf names an alert for those who are told.
func idOf(group, rule string, ls labels.Labels) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q%q", group, rule)
	h.Write(ls.Bytes(nil))
	return fmt.Sprintf("a%016x", h.Sum64())
}

// reachOf is how far back an expression looks, but for the five minutes of an instant.
func reachOf(expr parser.Expr) time.Duration {
	var far time.Duration
	var walk func(n parser.Node, back time.Duration)
	walk = func(n parser.Node, back time.Duration) {
		switch x := n.(type) {
		case *parser.VectorSelector:
			far = max(far, back+x.OriginalOffset)
		case *parser.MatrixSelector:
			back += x.Range
		case *parser.SubqueryExpr:
			back += x.Range + x.OriginalOffset
		}
		for c := range parser.ChildrenIter(n) {
			walk(c, back)
		}
	}
	walk(expr, 0)
	return far
}

// clip is a text that is not too long to be told: how it begins, and how it ends.
func clip(s string) string {
	if len(s) > 400 {
		return strings.ToValidUTF8(s[:200], "") + " … " + strings.ToValidUTF8(s[len(s)-200:], "")
	}
	return s
}

func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
