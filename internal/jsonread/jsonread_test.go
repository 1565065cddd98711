package jsonread

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
)

// endless repeats a text for ever.
type endless struct {
	text string
	at   int
	n    int64
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.text[e.at]
		e.at = (e.at + 1) % len(e.text)
	}
	e.n += int64(len(p))
	return len(p), nil
}

// read takes a document of this form: a number, a list of strings, and what else there may be.
func read(ctx context.Context, from io.Reader) (n int, list []string, err error) {
	r := New(ctx, from, 1000, 100)
	err = r.Object(func(name string) error {
		switch name {
		case "n":
			return r.Value(&n)
		case "list":
			return r.Array(3, func() error {
				var s string
				err := r.Value(&s)
				list = append(list, s)
				return err
			})
		}
		return r.Skip()
	})
	return n, list, err
}

func TestReader(t *testing.T) {
	for _, tc := range []struct{ doc, want string }{
		{`{"n":5,"list":["a","b"]}`, "5 [a b]"},
		{`{"x":{"list":[1,{"y":[]}]},"n":5,"z":[[[]]],"u":null}`, "5 []"},
		{`{"n":5,"list":["a","b","c","d"]}`, "more than 3 entries"},
		{`{"n":5,"list":["` + strings.Repeat("a", 200) + `"]}`, "value in the answer is too long"},
		{`{"x":"` + strings.Repeat("a", 200) + `"}`, "value in the answer is too long"},
		{`{"` + strings.Repeat("a", 200) + `":1}`, "value in the answer is too long"},
		{`{"x":[` + strings.Repeat("1,", 600) + `1]}`, "answer is too long"},
		{`{"x":[` + strings.Repeat("1,", 400) + `1],"n":7}`, "7 []"},
		{`{"n":5,"list":null}`, "5 []"},
		{`{"n":"5"}`, "cannot unmarshal"},
		{`{"n":5`, "unexpected EOF"},
		{`{"n"`, "unexpected EOF"},
		{``, "unexpected EOF"},
		{`[]`, "where { was expected"},
		{`{"list":{}}`, "where [ was expected"},
		{`{"list":["a",]}`, "invalid character"},
	} {
		n, list, err := read(t.Context(), strings.NewReader(tc.doc))
		if got := fmt.Sprint(n, " ", list); err == nil && got != tc.want || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.60s: %s, %v; want %s", tc.doc, got, err, tc.want)
		}
	}
	doc := `{"n":5,"x":"` + strings.Repeat("a", 80) + `"}`
	r := New(t.Context(), strings.NewReader(doc), int64(len(doc)), 100)
	if err := r.Object(func(string) error { return r.Skip() }); err != nil {
		t.Errorf("of just as many bytes as may be: %v", err)
	}
}

// It ends with its context while there is more to decode, and never reads more than it may.
func TestReaderEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e := &endless{text: `[{},{},{}],`}
	r := New(ctx, io.MultiReader(strings.NewReader("["), e), 1<<40, 1<<20)
	n := 0
	err := r.Array(1<<40, func() error {
		if n++; n == 1000 {
			cancel()
		}
		return r.Skip()
	})
	if err != context.Canceled || n != 1000 {
		t.Errorf("%d entries, %v", n, err)
	}
	for _, text := range []string{`[[`, `{"a":`, `a`, `1`, ` `} {
		e := &endless{text: text}
		first := ""
		if text == "a" {
			first = `"`
		}
		r := New(t.Context(), io.MultiReader(strings.NewReader(first), e), 1<<20, 1<<16)
		if err := r.Skip(); err == nil || e.n > 1<<20+1 {
			t.Errorf("%s for ever: %d bytes, %v", text, e.n, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(`{"n":5,"list":["a","b"],"x":[{"y":null}]}`)
	f.Add(`{"n":5,"n":6,"list":[]}`)
	f.Fuzz(func(t *testing.T, doc string) {
		n, list, err := read(t.Context(), strings.NewReader(doc))
		if len(list) > 3 {
			t.Fatalf("%d entries", len(list))
		}
		var all struct {
			N    int      `json:"n"`
			List []string `json:"list"`
		}
		if err == nil && json.Valid([]byte(doc)) && json.Unmarshal([]byte(doc), &all) == nil && strings.Count(doc, `"`) <= 6 && !strings.ContainsAny(doc, `\`) && strings.ToLower(doc) == doc &&
			strings.Count(doc, `"n"`) < 2 && strings.Count(doc, `"list"`) < 2 && (n != all.N || fmt.Sprint(list) != fmt.Sprint(all.List)) {
			t.Errorf("%q is read as %d %q, not %d %q", doc, n, list, all.N, all.List)
		}
	})
}
