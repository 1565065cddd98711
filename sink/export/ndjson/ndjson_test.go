package ndjson

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
	"github.com/rollcall-metrics/rollcall/sink/export"
	"github.com/rollcall-metrics/rollcall/sink/export/exporttest"
	"github.com/rollcall-metrics/rollcall/sink/export/flat"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.Runner{M: m}) }

type line struct {
	ID, Instance, Name string
	Counters           map[string]json.Number
}

// lines are those of all files of a folder, of unfinished ones as far as they can be read.
func lines(t testing.TB, dir string) (out []line) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.ndjson*"))
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			continue // it has just been renamed
		}
		r, end, err := unzip(f, name)
		if err == nil {
			s := bufio.NewScanner(r)
			s.Buffer(nil, 1<<20)
			for s.Scan() {
				var l line
				if json.Unmarshal(s.Bytes(), &l) == nil {
					out = append(out, l)
				}
			}
			end()
		}
		f.Close()
	}
	return out
}

func TestContract(t *testing.T) {
	for _, tc := range []struct {
		name, zip string
		flat      bool
	}{{"lines", "", false}, {"zstd, flat", "zstd", true}} {
		t.Run(tc.name, func(t *testing.T) {
			exporttest.Check(t, func(t *testing.T, _ string) exporttest.Subject {
				dir := filepath.Join(t.TempDir(), "out")
				return exporttest.Subject{
					Output: func(t testing.TB) export.Output {
						c := Config{Dir: dir, Zip: tc.zip, Bytes: 2000}
						if tc.flat {
							c.Flat = flat.NewMemory(0, "test", nil, nil)
						}
						o, err := New(c)
						if err != nil {
							t.Fatal(err)
						}
						return o
					},
					Break: func(broken bool) { // a file where the folder should be
						if broken {
							if err := os.WriteFile(dir, nil, 0o600); err != nil {
								t.Fatal(err)
							}
						} else if err := os.Remove(dir); err != nil {
							t.Fatal(err)
						}
					},
					Delivered: func(t testing.TB) map[string]int {
						out := map[string]int{}
						for _, l := range lines(t, dir) {
							if l.Name == "" && l.Counters["requests"] != "" || l.Name == "heap" {
								out[l.Instance]++
							}
						}
						return out
					},
				}
			})
		})
	}
}

// record is the n-th, as it stands in the topic and decoded.
func record(t testing.TB, n int) export.Record {
	t.Helper()
	raw := wire.AppendSnapshot(nil, exporttest.Snapshot(n), wire.ID{Collector: 1, Start: 1, Partition: 2, Sequence: uint64(n + 1)}, wire.Provenance{})
	r := export.Record{Record: new(wire.Record), Raw: raw}
	if err := wire.Decode(raw, r.Record); err != nil {
		t.Fatal(err)
	}
	return r
}

// Of a file that was cut anywhere behind what was acknowledged, all that was is there again, whole, and nothing else.
func TestCutAnywhere(t *testing.T) {
	for _, zip := range []string{"", "gzip", "zstd"} {
		for _, asFlat := range []bool{false, true} {
			dir := t.TempDir()
			c := Config{Dir: dir, Zip: zip}
			if asFlat {
				c.Flat = flat.NewMemory(0, "test", nil, nil)
			}
			c.fill()
			o := &Output{cfg: c}
			p, _, err := o.Open(t.Context(), 2, "")
			if err != nil {
				t.Fatal(err)
			}
			var marks []string
			var sizes []int64
			for n := range 3 {
				mark, err := p.Write(t.Context(), []export.Record{record(t, 2*n), record(t, 2*n+1)})
				if err != nil {
					t.Fatal(err)
				}
				marks, sizes = append(marks, mark), append(sizes, p.(*part).dir.size)
			}
			part := p.(*part).dir.name + unfinished
			all, err := os.ReadFile(filepath.Join(dir, part))
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			for known, mark := range marks {
				step := 1 + int64(len(all))/40
				for cut := sizes[known]; cut <= int64(len(all)); cut += step {
					dir := t.TempDir()
					if err := os.WriteFile(filepath.Join(dir, part), all[:cut], 0o600); err != nil {
						t.Fatal(err)
					}
					c.Dir = dir
					again := &Output{cfg: c}
					q, recall, err := again.Open(t.Context(), 2, mark)
					if err != nil {
						t.Fatalf("%s %v cut at %d: %v", zip, asFlat, cut, err)
					}
					got := map[string]int{}
					for _, l := range lines(t, dir) {
						got[l.ID]++
					}
					if len(got) != 2*(known+1) || recall.Delivered.Len() != 0 {
						t.Errorf("%s %v cut at %d: %d records stand there, %d were acknowledged; %d are told", zip, asFlat, cut, len(got), 2*(known+1), recall.Delivered.Len())
					}
					if left, _ := filepath.Glob(filepath.Join(dir, "*"+unfinished)); len(left) > 0 {
						t.Errorf("left over: %v", left)
					}
					if err := q.Close(); err != nil {
						t.Error(err)
					}
				}
			}
			// Finished, it does not change: what stands behind the mark is told.
			q, recall, err := (&Output{cfg: Config{Dir: dir, Name: c.Name, Zip: zip, Flat: c.Flat, Logger: c.Logger}}).Open(t.Context(), 2, marks[0])
			if err != nil || recall.Delivered.Len() != 4 || len(lines(t, dir)) == 0 {
				t.Errorf("%v: %v", err, recall.Delivered)
			}
			if err := q.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	o, err := New(Config{Dir: dir, Bytes: 1500, Every: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := o.Open(t.Context(), 2, "")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for n := range 12 {
		mark, err := p.Write(t.Context(), []export.Record{record(t, n)})
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(mark, "@")
		names[name] = true
	}
	p.(*part).dir.began = time.Now().Add(-2 * time.Hour) // it grows old, and nothing comes
	if _, err := p.Write(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	done, _ := filepath.Glob(filepath.Join(dir, "snapshots-2-*.ndjson"))
	open, _ := filepath.Glob(filepath.Join(dir, "*"+unfinished))
	if len(done) != len(names) || len(done) < 2 || len(open) != 0 || len(lines(t, dir)) != 12 {
		t.Errorf("%d files of %d, %d unfinished, %d lines", len(done), len(names), len(open), len(lines(t, dir)))
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// A full disk loses nothing and writes nothing twice: what was written half is cut off.
func TestFailedWrite(t *testing.T) {
	dir := t.TempDir()
	o, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := o.Open(t.Context(), 2, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(t.Context(), []export.Record{record(t, 0)}); err != nil {
		t.Fatal(err)
	}
	f := p.(*part).dir
	name := f.file.Name()
	if _, err := f.file.WriteString(`{"v":1,"id":"0000`); err != nil { // half of a line, and then
		t.Fatal(err)
	}
	f.file.Close() // no write goes through
	if _, err := p.Write(t.Context(), []export.Record{record(t, 1)}); err == nil || !strings.Contains(err.Error(), filepath.Base(name)) {
		t.Errorf("%v", err)
	}
	if _, err := p.Write(t.Context(), []export.Record{record(t, 1)}); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if got := lines(t, dir); len(got) != 2 || got[0].ID == got[1].ID {
		t.Errorf("%+v", got)
	}
}

func TestWriter(t *testing.T) {
	var to safe
	o, err := New(Config{To: &to})
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := o.Open(t.Context(), 0, "")
	if err != nil {
		t.Fatal(err)
	}
	first, odd := record(t, 0), record(t, 1)
	odd.Raw = bytes.Replace(odd.Raw, []byte(`,"ts"`), []byte(",\r\n \"ts\""), 1)
	if _, err := p.Write(t.Context(), []export.Record{first, odd, {Record: odd.Record, Raw: odd.Raw, Known: true}}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSuffix(to.String(), "\n"), "\n"); len(got) != 2 || got[0] != string(first.Raw) || !json.Valid([]byte(got[1])) {
		t.Errorf("%q", got)
	}
}

type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Whatever stands in an unfinished file, plain or zipped: it is read as far as it goes, and what is kept of it are whole lines of its beginning.
func FuzzRepair(f *testing.F) {
	whole := `{"v":1,"id":"0000000000000001/1/2/1"}` + "\n" + `{"v":1,"id":"0000000000000001/1/2/2"}` + "\n"
	var zip bytes.Buffer
	z := gzip.NewWriter(&zip)
	if _, err := z.Write([]byte(whole)); err != nil || z.Flush() != nil {
		f.Fatal(err)
	}
	f.Add([]byte(whole+`{"v":1`), "")
	f.Add(zip.Bytes(), ".gz")
	f.Add([]byte("\x28\xb5\x2f\xfd"), ".zst")
	f.Fuzz(func(t *testing.T, b []byte, ending string) {
		if ending != "" && ending != ".gz" && ending != ".zst" {
			return
		}
		dir := t.TempDir()
		name := "x-2-20260101T000000.000000.ndjson" + ending
		if err := os.WriteFile(filepath.Join(dir, name+unfinished), b, 0o600); err != nil {
			t.Fatal(err)
		}
		d := folder{cfg: &Config{Dir: dir, Name: "x"}, partition: 2}
		if _, err := d.recover(""); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && ending == "" && (!bytes.HasPrefix(b, got) || len(got) == 0 || got[len(got)-1] != '\n') {
			t.Errorf("%q of %q", got, b)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 1 {
			t.Errorf("%v", left)
		}
	})
}
