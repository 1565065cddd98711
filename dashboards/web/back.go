package web

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
	"github.com/rollcall-metrics/rollcall/dashboards/past"
)

const (
	// stillComing is how long records may be on their way: a while that ends later is the windows' to tell of.
	stillComing = time.Minute
	// mostChanges bounds the changes of an answer.
	mostChanges = 20
)

// lookBack is the past of a service, read back from Kafka, where an answer about a while needs values since oldest that the Board does not hold any more; nil: it does, or
// nothing can be read back. It is asked for before a place of the gate is taken: who waits for Kafka keeps nobody from asking about the present.
func (s *Server) lookBack(r *http.Request, service, env string, oldest, from, to time.Time) (*past.Window, error) {
	if s.cfg.Past == nil || from.IsZero() || to.IsZero() || !from.Before(to) || to.After(time.Now().Add(-stillComing)) {
		return nil, nil
	}
	if oldest.UnixMilli() >= s.cfg.Board.Holds(service, env) {
		return nil, nil
	}
	return s.cfg.Past.Of(r.Context(), service, env, from, to)
}

// seriesOf answers a query from the Board, or from what was read back: then with the events that the Board knows of, who has them for a day.
func (s *Server) seriesOf(q dashboards.Query, old *past.Window) (any, error) {
	if old == nil {
		a, err := s.cfg.Board.Series(q)
		if err == nil {
			err = s.apart(q)
		}
		return a, err
	}
	type readBack struct {
		*dashboards.Series
		ReadBack past.Back `json:"read_back"`
	}
	back := old.Back(q.From, q.To)
	if old.Board != nil {
		a, err := old.Board.Series(q)
		if err == nil {
			a.AsOf, a.Events = s.cfg.Board.AsOf().UnixMilli(), s.cfg.Board.Events(q.Service, q.Env, q.From, q.To)
			return readBack{a, back}, nil
		}
		if !errors.Is(err, dashboards.ErrNoService) && !errors.Is(err, dashboards.ErrNoMetric) {
			return nil, err
		}
	}
	a, err := s.cfg.Board.Series(q)
	if err != nil {
		return nil, err
	}
	return readBack{a, back}, nil
}

// movedToo is what changed as the Board has it, with the figures that moved by what was read back.
func movedToo(known, old []dashboards.Change) []dashboards.Change {
	for _, c := range old {
		if c.Kind == "metric" && !slices.ContainsFunc(known, func(k dashboards.Change) bool {
			return k.Kind == c.Kind && k.Service == c.Service && k.Env == c.Env && k.Text == c.Text
		}) {
			known = append(known, c)
		}
	}
	slices.SortStableFunc(known, func(a, b dashboards.Change) int { return cmp.Compare(b.Score, a.Score) })
	return known[:min(len(known), mostChanges)]
}
