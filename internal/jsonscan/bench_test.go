package jsonscan

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
)

// body is a stats.json of n numbers, as an application serves it.
func body(n int) []byte {
	b := []byte(`{"counters":{`)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `"http/requests/route_%03d/status_200":%d`, i, 1000003*i)
	}
	return append(b, `}}`...)
}

// walkAll takes every value of an object of objects of numbers.
func walkAll(s *Scanner) (numbers, bytes int) {
	s.Object()
	for _, ok := s.Key(); ok; _, ok = s.Key() {
		s.Object()
		for k, ok := s.Key(); ok; k, ok = s.Key() {
			numbers++
			bytes += len(k.Raw) + len(s.Number())
		}
	}
	return numbers, bytes
}

func BenchmarkScan(b *testing.B) {
	doc := body(200)
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
	var s Scanner
	run("walk", func() { s.Reset(doc, Options{}); walkAll(&s) })
	run("skip", func() { s.Reset(doc, Options{}); s.Skip() })
	run("encoding-json-valid", func() { json.Valid(doc) })
	run("encoding-json-any", func() {
		var v any
		if err := json.Unmarshal(doc, &v); err != nil {
			b.Fatal(err)
		}
	})
	run("encoding-json-map", func() {
		var v map[string]map[string]json.Number
		if err := json.Unmarshal(doc, &v); err != nil {
			b.Fatal(err)
		}
	})
	sum := uint64(0)
	run("read-words", func() { // the floor: every byte looked at once
		for i := 0; i+8 <= len(doc); i += 8 {
			sum += binary.LittleEndian.Uint64(doc[i:])
		}
	})
	run("read-bytes", func() {
		for _, c := range doc {
			sum += uint64(c)
		}
	})
	if sum == 1 {
		b.Log(sum)
	}
}
