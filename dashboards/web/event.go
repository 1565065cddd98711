package web

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// partSize is how much of an event a page that takes parts reads at once: what it takes to parse this is no time that a reader would feel.
const partSize = 32 << 10

// seen is what a page has been sent of a row: of its figures, of all else, and of its spark. number is how many rows it was sent before this one for the first time.
type seen struct {
	figure, word, spark, past, tip uint64
	number                         int
}

func seenOf(r *dashboards.Row) seen {
	return seen{figure: r.FigureSeq, word: r.WordSeq, spark: r.SparkSeq, past: r.PastSeq, tip: r.TipSeq}
}

// client is what one page has been sent.
type client struct {
	parts    bool // it takes events in parts, and of a row only what is new of it
	stream   string
	again    time.Duration // when it may come again, for this event is all that it gets; 0: it is told on
	events   int
	asOf     time.Time
	sent     map[string]seen
	numbered int
	findings []byte

	news          []piece
	buf           bytes.Buffer
	rows, figures bytes.Buffer // of the part that is being written
}

// piece is a row that is news to a page: its place in the frame, how much of it, and its number.
type piece struct {
	row    int
	form   form
	number int
}

// event writes the difference between what the page has and what is, as one event; or, for a page that takes parts, as several of which the last has all but rows. The
// empty line that ends the last is left to who sends it.
func (c *client) event(n *frame) []byte {
	full := c.events == 0
	c.events++
	c.asOf = n.AsOf
	b := &c.buf
	b.Reset()
	c.news = c.news[:0]
	for i, r := range n.Rows {
		g := r.Group()
		had, known := c.sent[g]
		is := seenOf(r)
		if is.number = had.number; !known {
			is.number = c.numbered
			c.numbered++
		}
		if known && had == is {
			continue
		}
		c.sent[g] = is
		c.news = append(c.news, piece{i, c.formOf(r, had, is, known), is.number})
	}
	dashboards.Split(len(c.news), func(_, k int) { n.text(c.news[k].row, c.news[k].form) }) // on all processors, where nobody has asked for them yet
	for _, p := range c.news {
		to := &c.rows
		if p.form == figures {
			to = &c.figures
		}
		if to.Len() > 0 {
			to.WriteByte(',')
		}
		if p.form == figures {
			to.Write(strconv.AppendInt(to.AvailableBuffer(), int64(p.number), 10))
		}
		to.Write(n.text(p.row, p.form))
		if c.parts && c.rows.Len()+c.figures.Len() > partSize {
			b.WriteString("event: rows\ndata: {")
			field(b, "as_of", n.AsOf.UnixMilli())
			c.put(b)
			b.WriteString("}\n\n")
		}
	}
	b.WriteString("event: now\ndata: {")
	if full {
		b.WriteString(`"full":true,`)
	}
	b.Write(n.head)
	if c.again > 0 {
		field(b, "again_ms", c.again.Milliseconds())
	} else if full {
		field(b, "stream", c.stream)
	}
	if full || !bytes.Equal(n.findings, c.findings) {
		c.findings = n.findings
		b.WriteString(`"findings":`)
		b.Write(n.findings)
		b.WriteByte(',')
	}
	c.put(b)
	b.WriteString(`,"gone":[`)
	for i, g := range c.gone(n) {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(g) // a string
		b.Write(name)
	}
	b.WriteString("]}\n")
	return b.Bytes()
}

// gone forgets the rows that the page has and that are no more, and names them.
func (c *client) gone(n *frame) (names []string) {
	if len(c.sent) == len(n.Rows) {
		return nil
	}
	there := make(map[string]bool, len(n.Rows))
	for _, r := range n.Rows {
		there[r.Group()] = true
	}
	for g := range c.sent {
		if !there[g] {
			delete(c.sent, g)
			names = append(names, g)
		}
	}
	return names
}

// rest lets go of memory that only a large event needs.
func (c *client) rest() {
	for _, b := range []*bytes.Buffer{&c.buf, &c.rows, &c.figures} {
		if b.Cap() > keepBuffer {
			*b = bytes.Buffer{}
		}
	}
}

// put writes the rows and figures that have come together as members of an object, and begins anew.
func (c *client) put(b *bytes.Buffer) {
	b.WriteString(`"services":[`)
	c.rows.WriteTo(b)
	b.WriteByte(']')
	if c.figures.Len() > 0 {
		b.WriteString(`,"figures":[`)
		c.figures.WriteTo(b)
		b.WriteByte(']')
	}
}

// form is how much of a row goes out.
type form int

const (
	whole     form = iota // all of it
	bare                  // no spark
	tip                   // of the spark only its last points
	tipAndOne             // and the one before them
	figures               // its figures alone, after its number
	forms
)

// formOf is the least that brings a page that has had something of a row up to date.
func (c *client) formOf(r *dashboards.Row, had, is seen, known bool) form {
	sparkIs := had.spark == is.spark && had.tip == is.tip
	switch {
	case !known || had.past != is.past:
		return whole
	case sparkIs && had.word == is.word && c.parts:
		return figures
	case sparkIs:
		return bare
	case !c.parts || r.Spark == nil || len(r.Spark.Rate) <= tipPoints+1:
		return whole
	case had.spark == is.spark, had.spark+1 == is.spark && had.tip == is.tip:
		return tip
	case had.spark+1 == is.spark: // what came late may have been of the step before: a page that is told seldom has not heard of it
		return tipAndOne
	}
	return whole
}

// tipPoints is how much of a spark goes where only its end is news: the point that is complete now, and the one that has begun.
const tipPoints = 2

// figureDigits is more than anybody is shown of a figure that is another a second later.
const figureDigits = 6

func rowJSON(r *dashboards.Row, f form) []byte {
	switch f {
	case whole:
		return r.AppendJSON(nil)
	case figures:
		var b []byte
		for _, n := range r.Figures() {
			if b = append(b, ','); n.Known() {
				b = strconv.AppendFloat(b, float64(n), 'g', figureDigits, 64)
			} else {
				b = append(b, "null"...)
			}
		}
		return b
	}
	part := *r
	part.Spark = nil
	b := part.AppendJSON(make([]byte, 0, 1024))
	if f == bare {
		return b
	}
	points := tipPoints
	if f == tipAndOne {
		points++
	}
	b = append(b[:len(b)-1], `,"tip":`...)
	b = append(r.Spark.AppendJSON(b, points), '}')
	return b
}
