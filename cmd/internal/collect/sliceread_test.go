package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

const oneOfSlice = `{"key":{"service":"svc","env":"prod","host":"h%d","port":80}}`

// What another collector says of a slice is taken as far as it may be true.
func TestDecodeSlice(t *testing.T) {
	key := func(i int) string { return fmt.Sprintf(oneOfSlice, i) }
	for name, tc := range map[string]struct{ body, want string }{
		"as it is":                {`{"taken":2,"of":5,"slow":1,"full":2,"longest_ms":10000,"first":[` + key(1) + `,` + key(2) + `]}`, ""},
		"nobody":                  {`{"taken":0,"of":0,"longest_ms":0}`, ""},
		"of a newer collector":    {`{"taken":0,"of":1,"more":{"a":[1,2,{}]},"longest_ms":0}`, ""},
		"more than it was asked":  {`{"of":9,"first":[` + key(1) + `,` + key(2) + `,` + key(3) + `,` + key(4) + `]}`, "more than 3 entries"},
		"in two parts":            {`{"of":9,"first":[` + key(1) + `,` + key(2) + `],"first":[` + key(3) + `,` + key(4) + `]}`, "more than 1 entries"},
		"nobody at all":           {`{"of":9,"first":[{},{}]}`, "is not of svc/prod"},
		"of another service":      {`{"of":9,"first":[{"key":{"service":"other","env":"prod","host":"h","port":80}}]}`, "is not of svc/prod"},
		"less than none":          {`{"taken":-1000000,"of":5}`, "cannot be"},
		"of less than none":       {`{"taken":0,"of":-186}`, "cannot be"},
		"slow beyond all":         {`{"taken":0,"of":5,"slow":1099511627776}`, "cannot be"},
		"more than all":           {`{"taken":3,"of":5,"slow":3}`, "cannot be"},
		"nobody of a place":       {`{"of":9,"places":[{"n":1},{"zone":"a"}]}`, "0 instances of one version"},
		"too many places":         {`{"of":9,"places":[{"n":1},{"n":1},{"n":1},{"n":1}]}`, "more than 3 entries"},
		"overflowing":             {`{"taken":9223372036854775807,"of":9223372036854775807,"slow":9223372036854775807}`, "cannot be"},
		"more to choose than are": {`{"taken":0,"of":0,"first":[` + key(1) + `]}`, "cannot be"},
		"an interval of ages":     {`{"taken":0,"of":5,"longest_ms":4611686018427387904}`, "longer than one may be"},
		"more places than it has": {`{"taken":0,"of":5,"places":[{"version":"1","n":3},{"version":"2","n":3}]}`, "that cannot be"},
		"less than none of one":   {`{"taken":0,"of":5,"places":[{"version":"1","n":-3},{"version":"2","n":3}]}`, "that cannot be"},
		"a long name":             {`{"of":9,"first":[{"key":{"service":"svc","env":"prod","host":"` + strings.Repeat("h", 90<<10) + `","port":80}}]}`, "too long"},
		"cut off":                 {`{"taken":0,"of":5,`, "EOF"},
		"no object":               {`[]`, "expected"},
	} {
		w, err := decodeSlice(t.Context(), strings.NewReader(tc.body), &discovery.Burst{Service: "svc", Env: "prod", Instances: 3, EveryMS: 1000})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || w.First != nil || w.covered.Of != 0) {
			t.Errorf("%s: %+v, %v", name, w, err)
		}
	}
	// What it says itself it reads.
	is := sliceWord{covered{Taken: 2, Of: 3}, 10_000, offerOf(sliceOf(2), sliceOf(3))}
	b, err := json.Marshal(is)
	if err != nil {
		t.Fatal(err)
	}
	of := is.First[0].Key
	if w, err := decodeSlice(t.Context(), bytes.NewReader(b), &discovery.Burst{Service: of.Service, Env: of.Env, Instances: 2}); err != nil || w.covered != is.covered || len(w.First) != 2 || w.First[1].Key != is.First[1].Key || w.Longest != is.Longest || !slices.Equal(w.Places, is.Places) {
		t.Errorf("%+v, %v", w, err)
	}
}

// A peer that lies costs neither memory nor time: its answers of 30 MB took 3 GB, and 10 s beyond the deadline.
func TestLyingSlice(t *testing.T) {
	for name, entry := range map[string]string{"nobody": "{}", "one over and over": fmt.Sprintf(oneOfSlice, 1), "nothing": "null", "deep": "[[[[[[", "numbers": "1"} {
		text := `{"taken":0,"of":5,"first":[` + strings.Repeat(entry+",", (30<<20)/len(entry)) + entry + `]}`
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := decodeSlice(t.Context(), strings.NewReader(text), &discovery.Burst{Service: "svc", Env: "prod", Instances: 5, EveryMS: 1000})
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; err == nil || took > 1<<20 {
			t.Errorf("%s: %d bytes were made of it, %v", name, took, err)
		}
	}
	// The deadline covers the decoding of what is there already.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	n := 0
	body := readerFunc(func(p []byte) (int, error) {
		if n++; n == 20 {
			cancel()
		}
		return copy(p, strings.Repeat(`{"x":[`+strings.Repeat("1,", 100)+`1]},`, 1+len(p)/210)), nil
	})
	_, err := decodeSlice(ctx, io.MultiReader(strings.NewReader(`{"first":1,"a":[`), body), &discovery.Burst{Service: "svc", Env: "prod", Instances: 100_000, EveryMS: 1000})
	if err == nil || n > 25 {
		t.Errorf("after %d reads: %v", n, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
