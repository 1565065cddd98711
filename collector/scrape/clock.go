package scrape

import (
	"net/http"
	"time"
)

// clock compares the target's clock, as the Date of its answer says it, with ours. A Date says whole seconds and the way takes time, so that all that is known is
// a range: there is a skew, its middle, where no part of it is within a second of ours.
func (e *exchange) clock(date []byte) {
	e.skew = 0
	if len(date) == 0 {
		return
	}
	said, err := time.Parse(http.TimeFormat, view(date)) // GMT is of the layout: a zone to look up would be memory for each answer
	if err != nil {
		return
	}
	e.skew = skewOf(said, e.sent, time.Now())
}

// skewOf is how far a clock is ahead of ours that said a whole second between two moments.
func skewOf(said, sent, received time.Time) time.Duration {
	least, most := said.Sub(received), said.Add(time.Second).Sub(sent)
	if least <= time.Second && most >= -time.Second {
		return 0
	}
	return (least + (most-least)/2).Round(time.Millisecond)
}
