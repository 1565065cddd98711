package past

import (
	"fmt"
	"strings"
	"time"
)

// covered is what of a stretch was there and within the bounds.
type covered struct {
	from, to           time.Time
	older, newer, late string // why it begins and ends there, and that not all late ones were read
}

// Back is what an answer says of where its values are from. Times are Unix ms.
type Back struct {
	From  int64  `json:"from"` // what of the while was read back; both 0: nothing
	To    int64  `json:"to"`
	Whole bool   `json:"whole"` // it is all of it
	Text  string `json:"text"`  // in words, times in UTC
}

// Back says what of a while was read back.
func (w *Window) Back(from, to time.Time) Back {
	if w.Board == nil {
		return Back{Text: "not read back from Kafka, " + w.why}
	}
	c := &w.of.covered
	is, end := from, to
	if c.from.After(is) {
		is = c.from
	}
	if c.to.Before(end) {
		end = c.to
	}
	var why []string
	if is.After(from) && c.older != "" {
		why = append(why, c.older)
	}
	if end.Before(to) && c.newer != "" {
		why = append(why, c.newer)
	}
	if c.late != "" {
		why = append(why, "not all that came late was read, as "+c.late)
	}
	asked := clock(from) + "–" + clock(to) + " UTC"
	switch {
	case !is.Before(end):
		return Back{Text: strings.Join(append([]string{"read back from Kafka: nothing of " + asked}, why...), ": ")}
	case is.Equal(from) && end.Equal(to):
		return Back{is.UnixMilli(), end.UnixMilli(), c.late == "", strings.Join(append([]string{"read back from Kafka: " + asked}, why...), ": ")}
	}
	return Back{is.UnixMilli(), end.UnixMilli(), false, strings.Join(append([]string{"read back from Kafka: " + clock(is) + "–" + clock(end) + " of " + asked}, why...), ": ")}
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

func size(n int) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

// words is a duration as it is spoken.
func words(d time.Duration) string {
	if d >= time.Minute && d%time.Minute == 0 {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", (d+time.Second-1)/time.Second)
}
