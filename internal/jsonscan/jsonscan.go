// Package jsonscan pulls JSON apart without building anything: no tree, no copies, no allocation.
//
// It owns the grammar of RFC 8259 and byte offsets in errors. It gives the verdict that encoding/json gives, byte for byte (but for a limit on depth and
// the option to take bare NaN and Infinity), and hands out views into the caller's bytes. What the values mean is the caller's affair.
//
// The caller walks the document in its own order:
//
//	s.Reset(body, jsonscan.Options{})
//	if s.Object() {
//		for key, ok := s.Key(); ok; key, ok = s.Key() {
//			switch s.Peek() {
//			case jsonscan.Number:
//				use(key, s.Number())
//			default:
//				s.Skip()
//			}
//		}
//	}
//	return s.End()
//
// After each key and each true More exactly one value must be taken: by String, Number, Bool, Value or Skip, or by Object or Array and everything in
// it. The first fault sticks: from then on every method says "no more", so that loops end by themselves and one look at End or Err is enough.
package jsonscan

import "fmt"

// Kind is what a value is, told by its first byte.
type Kind uint8

// The kinds of values.
const (
	None      Kind = iota // no value: a fault, which Err describes
	Object                // {
	Array                 // [
	String                // "
	Number                // - or a digit
	True                  // true
	False                 // false
	Null                  // null
	Nonfinite             // NaN, Infinity or -Infinity, where Options.Nonfinite takes them
)

// Options shape a Scanner; the zero value is JSON as RFC 8259 has it, 64 levels deep.
type Options struct {
	Nonfinite bool // take the bare words NaN, Infinity and -Infinity as values
	MaxDepth  int  // objects and arrays within each other; 0 means 64, the most is 1,024
}

// maxDepth is the size of the bit stack that Skip keeps.
const maxDepth = 1024

// SyntaxError says what is wrong with the document, and at which byte.
type SyntaxError struct {
	Offset  int    // of the byte that cannot stand where it does; the document's length where it ends too early
	Msg     string // what was wanted
	Found   string // what stands there instead, quoted; empty at the end of the document
	TooDeep bool   // the document may be well-formed, but is nested deeper than Options.MaxDepth
}

func (e *SyntaxError) Error() string {
	switch {
	case e.TooDeep:
		return fmt.Sprintf("nested too deep at byte %d: %s", e.Offset, e.Msg)
	case e.Found == "":
		return fmt.Sprintf("ends early at byte %d: want %s", e.Offset, e.Msg)
	}
	return fmt.Sprintf("byte %d is %s: want %s", e.Offset, e.Found, e.Msg)
}

// Scanner walks one document. The zero Scanner has an empty document; Reset gives it another. It is not safe for concurrent use.
type Scanner struct {
	b         []byte
	i         int  // the next byte to look at
	depth     int  // containers open
	max       int  // how many may be
	first     bool // the innermost container was opened by the last call: no comma is due
	nonfinite bool

	msg   string // of the first fault; empty while there is none
	at    int
	found string
	deep  bool

	nest [maxDepth / 64]uint64 // of Skip: a set bit for an object, at the depth within it
}

// Reset starts over with a document. Nothing of it is copied: what the methods return are views into b.
func (s *Scanner) Reset(b []byte, o Options) {
	s.b, s.i, s.depth, s.first = b, 0, 0, false
	s.max = o.MaxDepth
	if s.max <= 0 {
		s.max = 64
	}
	s.max = min(s.max, maxDepth)
	s.nonfinite = o.Nonfinite
	s.msg, s.at, s.found, s.deep = "", 0, "", false
}

// Err is the first fault, a *SyntaxError, or nil.
func (s *Scanner) Err() error {
	if s.msg == "" {
		return nil
	}
	return &SyntaxError{Offset: s.at, Msg: s.msg, Found: s.found, TooDeep: s.deep}
}

// End is Err after the whole document was read: anything but white space behind the value is a fault, and so is a container left open.
func (s *Scanner) End() error {
	if s.msg == "" {
		if s.space(); s.i < len(s.b) {
			s.fault(s.i, "the end of the document")
		} else if s.depth > 0 {
			s.fault(s.i, "the rest of the document")
		}
	}
	return s.Err()
}

// Offset is the position of the next byte that was not read yet. After a fault it is the fault's.
func (s *Scanner) Offset() int {
	if s.msg != "" {
		return s.at
	}
	return s.i
}

// Depth is the number of objects and arrays that are open.
func (s *Scanner) Depth() int { return s.depth }

// Mark is a place in the document to come back to.
type Mark struct {
	i, depth int
	first    bool
}

// Mark is the place where the scanner stands.
func (s *Scanner) Mark() Mark { return Mark{s.i, s.depth, s.first} }

// Rewind goes back to a place of the same document, to read it in another way. After a fault it does nothing.
func (s *Scanner) Rewind(m Mark) {
	if s.msg == "" {
		s.i, s.depth, s.first = m.i, m.depth, m.first
	}
}

// fault keeps the first fault and takes the document away, so that every later call finds its end.
func (s *Scanner) fault(at int, want string) {
	if s.msg != "" {
		return
	}
	s.msg, s.at = want, min(at, len(s.b))
	if s.at < len(s.b) {
		s.found = fmt.Sprintf("%q", s.b[s.at:s.at+1])
		if c := s.b[s.at]; c >= 0x80 {
			s.found = fmt.Sprintf("0x%02x", c)
		}
	}
	s.b, s.i = nil, 0
}

func (s *Scanner) space() {
	for s.i < len(s.b) && s.b[s.i] <= ' ' {
		switch s.b[s.i] {
		case ' ', '\n', '\t', '\r':
			s.i++
		default:
			return
		}
	}
}
