package main

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// readLabels reads which series there are and what is wrong with them. What cannot be scored is an error.
func readLabels(dir string) (suite, error) {
	b, err := os.ReadFile(filepath.Join(dir, "labels.json"))
	if err != nil {
		return nil, err
	}
	var s suite
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	var errs []error
	for n, l := range s {
		if l == nil || !filepath.IsLocal(n) || strings.Contains(n, "\\") {
			errs = append(errs, fmt.Errorf("read labels: %q is no series", n))
			continue
		}
		last := l.Probation - 1
		for _, w := range l.Windows {
			if w.First <= last || w.Last <= w.First || w.Last >= l.Rows {
				errs = append(errs, fmt.Errorf("read labels of %q: window %d-%d is out of place", n, w.First, w.Last))
			}
			last = w.Last
		}
	}
	if len(errs) == 0 && s.windows() == 0 {
		errs = append(errs, errors.New("read labels: no windows"))
	}
	return s, errors.Join(errs...)
}

// readGzip reads a CSV file and hands each record over but the heading.
func readGzip(name string, each func(rec []string) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	r := csv.NewReader(z)
	r.ReuseRecord = true
	for n := 0; ; n++ {
		rec, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if len(rec) < 2 {
			return fmt.Errorf("read %s, row %d: %d columns", name, n, len(rec))
		}
		if n > 0 {
			if err := each(rec); err != nil {
				return fmt.Errorf("read %s, row %d: %w", name, n, err)
			}
		}
	}
}

// readValues reads the second column of a series.
func readValues(dir, name string) (v []float64, err error) {
	return v, readGzip(filepath.Join(dir, name+".gz"), func(rec []string) error {
		x, err := strconv.ParseFloat(rec[1], 64)
		v = append(v, x)
		return err
	})
}

// readScores reads scores that somebody has published: those of rows not listed are 0.
func readScores(s suite, name string) (map[string][]float64, error) {
	out := map[string][]float64{}
	for n, l := range s {
		out[n] = make([]float64, l.Rows)
	}
	return out, readGzip(name, func(rec []string) error {
		i, err := strconv.Atoi(rec[1])
		if err != nil {
			return err
		}
		if len(rec) < 3 {
			return errors.New("a score is missing")
		}
		if out[rec[0]] == nil || i < 0 || i >= len(out[rec[0]]) {
			return fmt.Errorf("no such row: %v", rec)
		}
		out[rec[0]][i], err = strconv.ParseFloat(rec[2], 64)
		return err
	})
}
