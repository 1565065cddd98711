// Package yamltext looks at a text of YAML before a library does. To read one that nests a hundred thousand deep, or is a gigabyte by mistake, takes a YAML library as many
// gigabytes, and whoever reads it with a reload is a daemon that has other things to do.
package yamltext

import (
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	// MaxBytes is the longest file that is read: the configuration of some 15,000 targets, which takes 160 MB to be parsed; it may take four times of that.
	MaxBytes = 1 << 20
	// MaxDepth is how many lists and maps may stand within each other. No file of ours needs more than a dozen.
	MaxDepth = 64
)

// Read is what stands in a file, if it may be given to a library. The error names file, line and remedy.
func Read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if err := Check(b); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return b, nil
}

// Check reports a text that is longer than MaxBytes or nests deeper than MaxDepth.
func Check(text []byte) error {
	if len(text) > MaxBytes {
		line := 1 + strings.Count(string(text[:MaxBytes]), "\n")
		return fmt.Errorf("line %d: the text is longer than %d bytes; is it the right file? Move lists of targets to files of file_sd_configs", line, MaxBytes)
	}
	return CheckDepth(text)
}

// CheckDepth is Check for a text whose length is bounded elsewhere.
func CheckDepth(text []byte) error {
	var r reader
	n := 0
	for line := range strings.Lines(string(text)) {
		if n++; r.line(strings.TrimRight(line, "\r\n")) {
			return fmt.Errorf("line %d: lists and maps are more than %d deep in each other; close or remove what is opened too often", n, MaxDepth)
		}
	}
	return nil
}

// reader follows how deep the lines of a text are. It knows as much of YAML as that takes: where texts are, in which brackets and dashes are none.
type reader struct {
	columns []int  // where the lists and maps begin that are told by how far their lines are indented
	flow    int    // brackets that are open
	quote   byte   // that is open
	text    bool   // a text of the lines to come, by | or >
	within  int    // column of what that is in: it ends with the first line that is not further in
	pairs   int    // keys on this line, each the value of the one before; nobody writes such, and a library may take it
	marks   int    // anchors and tags before one value
	start   bool   // a value may begin here
	s       string // the line
	at      int
}

// line takes one line, and reports whether it is too deep.
func (r *reader) line(s string) (deep bool) {
	indent := len(s) - len(strings.TrimLeft(s, " "))
	blank := strings.TrimSpace(s) == ""
	if r.text && (blank || indent > r.within) {
		return false
	}
	r.text = false
	if blank {
		return false
	}
	r.s, r.at, r.pairs, r.marks = s, indent, 0, 0
	if r.quote == 0 {
		r.start = true
		if strings.HasPrefix(s, "---") {
			r.at = 3
		}
		if r.flow == 0 {
			for len(r.columns) > 0 && r.columns[len(r.columns)-1] >= indent {
				r.columns = r.columns[:len(r.columns)-1]
			}
			r.columns = append(r.columns, indent)
		}
	}
	for ; r.at < len(r.s) && !r.text; r.at++ {
		if r.quote != 0 {
			r.quoted()
			continue
		}
		if r.ends() {
			return false
		}
		r.next()
		if len(r.columns)+r.flow+max(0, r.pairs-1)+r.marks > MaxDepth {
			return true
		}
	}
	return false
}

// ends reports a comment.
func (r *reader) ends() bool {
	return r.s[r.at] == '#' && (r.at == 0 || isBlank(r.s[r.at-1]))
}

// quoted takes one byte of a text in quotes.
func (r *reader) quoted() {
	switch c := r.s[r.at]; {
	case c == '\\' && r.quote == '"', c == r.quote && c == '\'' && r.follows("'"):
		r.at++
	case c == r.quote:
		r.quote = 0
	}
}

// next takes one byte of what is no text in quotes.
func (r *reader) next() {
	c := r.s[r.at]
	switch {
	case isBlank(c):
	case (c == '"' || c == '\'') && r.start:
		r.quote, r.start = c, false
	case (c == '[' || c == '{') && (r.start || r.flow > 0):
		r.flow++
		r.start, r.marks = true, 0
	case (c == ']' || c == '}') && r.flow > 0:
		r.flow--
		r.start, r.pairs = false, 0
	case c == ',' && r.flow > 0:
		r.start, r.pairs, r.marks = true, 0, 0
	case c == ':' && (r.parted() || r.flow > 0 && (!r.start || r.follows("[") || r.follows("{"))):
		r.pairs++
		r.start, r.marks = true, 0
	case (c == '-' || c == '?') && r.start && r.flow == 0 && r.parted():
		rest := r.s[r.at+1:]
		r.columns = append(r.columns, r.at+1+len(rest)-len(strings.TrimLeft(rest, " ")))
	case (c == '|' || c == '>') && r.start && r.flow == 0 && isHeader(r.s[r.at+1:]):
		r.text, r.within = true, -1
		if n := len(r.columns); r.pairs > 0 {
			r.within = r.columns[n-1]
		} else if n > 1 {
			r.within = r.columns[n-2]
		}
	case (c == '&' || c == '!') && r.start:
		r.marks++
		for r.at+1 < len(r.s) && !isBlank(r.s[r.at+1]) && !strings.ContainsRune("[]{},", rune(r.s[r.at+1])) {
			r.at++
		}
	default:
		r.start = false
	}
}

func (r *reader) follows(s string) bool { return strings.HasPrefix(r.s[r.at+1:], s) }

// parted reports that a blank follows, or nothing.
func (r *reader) parted() bool { return r.at+1 == len(r.s) || isBlank(r.s[r.at+1]) }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isHeader reports what may stand behind | and > where a text of the following lines begins.
func isHeader(s string) bool {
	s = strings.TrimLeft(s, "+-0123456789")
	rest := strings.TrimLeft(s, " \t")
	return rest == "" || len(rest) < len(s) && rest[0] == '#'
}
