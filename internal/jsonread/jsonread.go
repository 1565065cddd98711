// Package jsonread reads JSON of somebody who may lie, such as another collector, a value at a time. encoding/json reads a list whole: three bytes an entry become a
// hundred times as much in memory before anybody can count them. A Reader bounds the bytes of all, the bytes of each value and the entries of a list, and it ends
// when its context does, also while it decodes.
package jsonread

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// Reader walks one JSON document. It is for one goroutine.
type Reader struct {
	ctx context.Context
	src allowance
	max int64
	dec *json.Decoder
}

// New reads from r at most all bytes, of which a name or a value that is read at once has at most each, give or take what is read ahead.
func New(ctx context.Context, r io.Reader, all, each int64) *Reader {
	out := &Reader{ctx: ctx, src: allowance{from: r, all: all}, max: each}
	out.dec = json.NewDecoder(&out.src)
	return out
}

// allowance refuses to read on where more is asked for than may be.
type allowance struct {
	from      io.Reader
	all, each int64 // that are left
}

func (a *allowance) Read(p []byte) (int, error) {
	switch {
	case a.all <= 0:
		// The document may end just here.
		if n, err := a.from.Read(make([]byte, 1)); n == 0 && err == io.EOF {
			return 0, io.EOF
		}
		return 0, fmt.Errorf("the answer is too long")
	case a.each <= 0:
		return 0, fmt.Errorf("a value in the answer is too long")
	}
	n, err := a.from.Read(p[:min(int64(len(p)), a.all, a.each)])
	a.all -= int64(n)
	a.each -= int64(n)
	return n, err
}

func (r *Reader) next() error {
	r.src.each = r.max
	return r.ctx.Err()
}

func (r *Reader) more() (bool, error) {
	if err := r.next(); err != nil {
		return false, err
	}
	return r.dec.More(), nil
}

func (r *Reader) token() (json.Token, error) {
	if err := r.next(); err != nil {
		return nil, err
	}
	t, err := r.dec.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return t, err
}

func (r *Reader) delim(want json.Delim) error {
	t, err := r.token()
	if err == nil && t != want {
		err = fmt.Errorf("%.40q where %s was expected", fmt.Sprint(t), want)
	}
	return err
}

// Object walks the fields of an object. f reads the value of each: by Value, Object or Array, or by Skip.
func (r *Reader) Object(f func(name string) error) error {
	if err := r.delim('{'); err != nil {
		return err
	}
	for {
		switch more, err := r.more(); {
		case err != nil:
			return err
		case !more:
			return r.delim('}')
		}
		name, err := r.token()
		if err != nil {
			return err
		}
		if err := f(name.(string)); err != nil { // of an object's key the decoder makes nothing else
			return err
		}
	}
}

// Array walks a list of at most max entries, each of which f reads. null is a list of none.
func (r *Reader) Array(max int, f func() error) error {
	switch t, err := r.token(); {
	case err != nil:
		return err
	case t == nil:
		return nil
	case t != json.Delim('['):
		return fmt.Errorf("%.40q where [ was expected", fmt.Sprint(t))
	}
	for n := 0; ; n++ {
		switch more, err := r.more(); {
		case err != nil:
			return err
		case !more:
			return r.delim(']')
		case n == max:
			return fmt.Errorf("a list in the answer has more than %d entries", max)
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// Value decodes one value as encoding/json does.
func (r *Reader) Value(into any) error {
	if err := r.next(); err != nil {
		return err
	}
	err := r.dec.Decode(into)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// maxDepth bounds what is skipped: nobody's answers are as deep.
const maxDepth = 100

// Skip passes over one value, however long, as far as the whole may be.
func (r *Reader) Skip() error {
	for depth := 0; ; {
		t, err := r.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('['), json.Delim('{'):
			if depth++; depth > maxDepth {
				return fmt.Errorf("the answer is deeper than %d", maxDepth)
			}
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
