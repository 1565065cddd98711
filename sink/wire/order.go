package wire

import (
	"encoding/json"
	"fmt"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// OrderWord tells what became of an operator's order: its place in the audit. It stands on the roster's topic in a record without a service, as some orders are of
// several. Several collectors may tell the same; the order's ID says that it is.
type OrderWord struct {
	Event string          `json:"event"` // one of those below; a reader passes over others
	Order discovery.Order `json:"order"`
	Scope string          `json:"scope"`           // group, or collector: the one that tells is the only one that obeys
	By    string          `json:"by,omitempty"`    // who ended it; empty: it ended by itself, or nobody knows
	Taken int             `json:"taken,omitempty"` // of a burst that begins: how many instances are pulled so often
	Of    int             `json:"of,omitempty"`    // of how many of its slice
}

// What becomes of orders.
const (
	OrderBegun  = "begun"
	OrderStands = "stands" // said again and again, for readers who came later
	OrderEnded  = "ended"
)

// append appends the word as JSON; one that is none as null.
func (o *OrderWord) append(dst []byte) []byte {
	b, err := json.Marshal(o)
	if err != nil {
		return append(dst, "null"...)
	}
	return append(dst, b...)
}

// order reads an OrderWord; nil of null.
func order(s *jsonscan.Scanner) (o *OrderWord, err error) {
	b := s.Value()
	if s.Err() != nil { // which End tells
		return nil, nil
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, fmt.Errorf("read order: %w", err)
	}
	return o, nil
}
