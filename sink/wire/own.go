package wire

import (
	"encoding/json"
	"fmt"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
	"github.com/rollcall-metrics/rollcall/sink"
)

// MaxOwnGuards bounds the guards of one Own: a record holds them.
const MaxOwnGuards = 100

// Own is a collector's word about itself, for those who read the topics and cannot ask it. It stands on the roster's topic in a record without a service.
type Own struct {
	Sources  []discovery.View        `json:"sources"`
	Guards   []discovery.Guard       `json:"guards"` // at most MaxOwnGuards
	Roster   map[discovery.State]int `json:"roster"` // instances by state
	Outcomes map[string]int          `json:"outcomes"`
	Delivery sink.Sums               `json:"delivery"`
	Kafka    string                  `json:"kafka,omitempty"` // what is wrong with it
	ConfigOK bool                    `json:"config_ok"`       // false: the file on disk is not what runs
}

// append appends the word as JSON; one that is none as null.
func (o *Own) append(dst []byte) []byte {
	b, err := json.Marshal(o)
	if err != nil {
		return append(dst, "null"...)
	}
	return append(dst, b...)
}

// own reads an Own; nil of null.
func own(s *jsonscan.Scanner) (o *Own, err error) {
	b := s.Value()
	if s.Err() != nil { // which End tells
		return nil, nil
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, fmt.Errorf("read collector: %w", err)
	}
	return o, nil
}
