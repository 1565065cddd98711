package web

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// share is how many of the instances that answer a collector has pulled last.
type share struct {
	By        string `json:"by"` // as 16 hex digits
	Instances int    `json:"instances"`
}

// account is what a collector says of itself, as far as it was asked and answers.
type account struct {
	asked
	Delivery json.RawMessage `json:"delivery,omitempty"` // how many records are where, and by which lane they went
}

// collectors is who collects: how the fleet is divided, how far each has delivered, and what this server's ledger makes of what came.
func (s *Server) collectors(r *http.Request) (any, error) {
	of := map[string]int{}
	s.cfg.Board.Roster(func(l *dashboards.RosterLine) bool {
		if l.By != "" && l.State != "departed" {
			of[l.By]++
		}
		return false
	})
	shares := []share{}
	for by, n := range of {
		shares = append(shares, share{by, n})
	}
	slices.SortFunc(shares, func(a, b share) int { return cmp.Or(b.Instances-a.Instances, strings.Compare(a.By, b.By)) })
	told := s.ask(r.Context(), "/api/v1/collector", nil)
	k := knownOf(told)
	accounts := []account{}
	for i, t := range told {
		a := account{asked: k.Collectors[i]}
		var said struct{ Delivery json.RawMessage }
		if t.Status == http.StatusOK && json.Unmarshal(t.Body, &said) == nil {
			a.Delivery = said.Delivery
		}
		accounts = append(accounts, a)
	}
	return struct {
		AsOf       int64            `json:"as_of"`
		Known      bool             `json:"known"` // there are collectors that can be asked
		Collectors []account        `json:"collectors"`
		Shares     []share          `json:"shares"`
		Ledger     dashboards.Stats `json:"ledger"`
	}{k.AsOf, k.Known, accounts, shares, s.cfg.Board.Stats()}, nil
}
