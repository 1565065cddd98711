package jsonscan

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

// tree builds what encoding/json builds, by the scanner's hand; entries says that names and numbers are taken at once where they can be.
func tree(s *Scanner, entries bool) any {
	switch s.Peek() {
	case Object:
		m := map[string]any{}
		for s.Object(); ; {
			if entries {
				if k, n, ok := s.Entry(); ok {
					m[string(k)] = json.Number(n)
					continue
				}
			}
			k, ok := s.Key()
			if !ok {
				return m
			}
			name, _ := k.Append(nil)
			m[string(name)] = tree(s, entries)
		}
	case Array:
		a := []any{}
		for s.Array(); s.More(); {
			a = append(a, tree(s, entries))
		}
		return a
	case String:
		b, _ := s.String().Append(nil)
		return string(b)
	case Number:
		return json.Number(s.Number())
	case True, False:
		return s.Bool()
	}
	s.Skip()
	return nil
}

func FuzzScan(f *testing.F) {
	for _, doc := range []string{
		`{"counters":{"kangaroos":1},"gauges":{"jvm_uptime":12.5},"labels":{"boiler":"online"},"metrics":{"m":{"count":1,"p99":3}}}`,
		`[1,-0,0.5e-7,1E400,true,false,null,"\u00e9\ud83d\ude00\ud800","é",[[[]]],{"":{}}]`,
		"{\"a\xff\":\"\xc3\x28\"}", `{"a":1,"a":2}`, `[1,]`, `{"a":01}`, "\"tab\there\"", " \n\r\t1 ", `-`, `"\u12`,
		`{"a":NaN}`, `[-Infinity]`, `nulll`, `{"long key of more than eight bytes \" with an escape":1}`,
		`{"a":1,"bcdefghij":-12345678.90,"c":0.5,"d":00,"e":-,"f":1.,"g":12e3 }`, `{"abcdefgh":123456789012345678901234567890,"é":1,"":2,"x":7:8,"y":1,"z":{"q":1}}          `,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		before := bytes.Clone(doc)
		var s Scanner
		s.Reset(doc, Options{MaxDepth: 1024})
		s.Skip()
		err := s.End()
		var e *SyntaxError
		if errors.As(err, &e) && e.TooDeep {
			return // encoding/json goes deeper
		}
		if json.Valid(doc) != (err == nil) {
			t.Fatalf("encoding/json says %v, we say %v", json.Valid(doc), err)
		}
		if e != nil && (e.Offset < 0 || e.Offset > len(doc)) {
			t.Fatalf("offset %d of %d", e.Offset, len(doc))
		}
		s.Reset(doc, Options{MaxDepth: 1024})
		got := tree(&s, false)
		if again := s.End(); (again == nil) != (err == nil) || again != nil && again.Error() != err.Error() {
			t.Fatalf("skipping says %v, walking says %v", err, again)
		}
		s.Reset(doc, Options{MaxDepth: 1024})
		quick := tree(&s, true)
		if again := s.End(); (again == nil) != (err == nil) || again != nil && again.Error() != err.Error() {
			t.Fatalf("skipping says %v, walking by entries says %v", err, again)
		}
		if !reflect.DeepEqual(got, quick) {
			t.Fatalf("walking gives %#v, by entries %#v", got, quick)
		}
		if !bytes.Equal(doc, before) {
			t.Fatal("the document was changed")
		}
		if err != nil {
			return
		}
		d := json.NewDecoder(bytes.NewReader(doc))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, want %#v", got, want)
		}
		s.Reset(doc, Options{MaxDepth: 1024, Nonfinite: true})
		s.Skip()
		if s.End() != nil {
			t.Fatalf("with nonfinite words: %v", s.Err())
		}
	})
}
