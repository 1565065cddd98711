package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/dashboards/localize"
)

// incident is one labelled case: leaves at a minute, with the minutes before it, and the conjunctions that are its cause.
type incident struct {
	name   string
	dims   []string
	leaves []incidentLeaf
	truth  []string // elements by elementName, sorted
}

type incidentLeaf struct {
	elements []string
	now      localize.Figure
	past     []localize.Figure
}

// incidentLabel is an entry of labels.json; what it has besides is told by the CSV, too.
type incidentLabel struct {
	Timestamp int64                 `json:"timestamp"`
	Causes    [][]map[string]string `json:"causes"`
}

const (
	maxCaseBytes = 64 << 20 // of one CSV, unpacked
	maxCaseRows  = 1 << 20
	maxCaseDims  = 16
)

// readIncidents reads the folder's labels and every CSV that they name, in the order of their names.
func readIncidents(dir string) ([]incident, error) {
	b, err := os.ReadFile(filepath.Join(dir, "labels.json"))
	if err != nil {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	labels, err := parseIncidentLabels(b)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(labels))
	for name := range labels {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []incident
	for _, name := range names {
		if !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) {
			return nil, fmt.Errorf("read case %q: that is no name of a file", name)
		}
		in, err := readIncident(filepath.Join(dir, name+".csv.gz"), labels[name].Timestamp)
		if err != nil {
			return nil, fmt.Errorf("read case %q: %w", name, err)
		}
		in.name = name
		for _, cause := range labels[name].Causes {
			in.truth = append(in.truth, elementName(cause))
		}
		slices.Sort(in.truth)
		in.truth = slices.Compact(in.truth)
		out = append(out, in)
	}
	return out, nil
}

func parseIncidentLabels(b []byte) (map[string]incidentLabel, error) {
	var labels map[string]incidentLabel
	if err := json.Unmarshal(b, &labels); err != nil {
		return nil, fmt.Errorf("parse labels: %w", err)
	}
	for name, l := range labels {
		if len(l.Causes) == 0 {
			return nil, fmt.Errorf("parse labels: case %q has no cause", name)
		}
		for _, cause := range l.Causes {
			for _, pair := range cause {
				if len(pair) != 1 {
					return nil, fmt.Errorf("parse labels: case %q: %v is not one dimension at one element", name, pair)
				}
			}
			if len(cause) == 0 {
				return nil, fmt.Errorf("parse labels: case %q has an empty cause", name)
			}
		}
	}
	return labels, nil
}

// elementName is a conjunction as one text that does not depend on the order of its parts.
func elementName(cause []map[string]string) string {
	var parts []string
	for _, pair := range cause {
		for dim, value := range pair {
			parts = append(parts, strconv.Quote(dim)+"="+strconv.Quote(value))
		}
	}
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), " & ")
}

func readIncident(path string, at int64) (incident, error) {
	f, err := os.Open(path)
	if err != nil {
		return incident{}, err
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return incident{}, err
	}
	return parseIncident(io.LimitReader(z, maxCaseBytes+1), at)
}

// parseIncident reads the rows of the minute `at` and of those before it; later ones are the future and are not looked at.
func parseIncident(r io.Reader, at int64) (in incident, err error) {
	all, err := io.ReadAll(r)
	if err != nil {
		return in, fmt.Errorf("read rows: %w", err)
	}
	if len(all) > maxCaseBytes {
		return in, fmt.Errorf("read rows: more than %d bytes", maxCaseBytes)
	}
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(all), "\r\n", "\n"), "\n"), "\n")
	if len(lines) > maxCaseRows {
		return in, fmt.Errorf("read rows: more than %d", maxCaseRows)
	}
	head := strings.Split(strings.TrimPrefix(lines[0], "\ufeff"), ",")
	minute, value, count := slices.Index(head, "min"), slices.Index(head, "value"), slices.Index(head, "cnt")
	if minute < 0 || value < 0 || count < 0 {
		return in, fmt.Errorf("read header %q: it has no min, value and cnt", lines[0])
	}
	var columns []int
	for i, name := range head {
		if i == minute || i == value || i == count {
			continue
		}
		if slices.Contains(head[:i], name) || len(columns) == maxCaseDims {
			return in, fmt.Errorf("read header %q: a dimension occurs twice, or there are more than %d", lines[0], maxCaseDims)
		}
		columns, in.dims = append(columns, i), append(in.dims, name)
	}
	index := map[string]int{}
	type key struct {
		leaf int
		at   int64
	}
	seen := map[key]bool{}
	for n, line := range lines[1:] {
		fields := strings.Split(line, ",")
		if len(fields) != len(head) {
			return in, fmt.Errorf("read row %d: %d columns, not %d", n+1, len(fields), len(head))
		}
		t, err := strconv.ParseInt(fields[minute], 10, 64)
		if err != nil {
			return in, fmt.Errorf("read row %d: minute: %w", n+1, err)
		}
		if t > at {
			continue
		}
		x, errX := strconv.ParseFloat(fields[value], 64)
		c, errC := strconv.ParseFloat(fields[count], 64)
		if err := errors.Join(errX, errC); err != nil {
			return in, fmt.Errorf("read row %d: %w", n+1, err)
		}
		if !(x >= 0 && x <= c && c > 0 && c < 1e15) {
			return in, fmt.Errorf("read row %d: %g of %g", n+1, x, c)
		}
		elements := make([]string, len(columns))
		for k, column := range columns {
			elements[k] = fields[column]
		}
		name := strings.Join(elements, ",")
		i, ok := index[name]
		if !ok {
			i = len(in.leaves)
			index[name] = i
			in.leaves = append(in.leaves, incidentLeaf{elements: elements})
		}
		if seen[key{i, t}] {
			return in, fmt.Errorf("read row %d: this leaf has two rows of minute %d", n+1, t)
		}
		seen[key{i, t}] = true
		if t == at {
			in.leaves[i].now = localize.Figure{X: x, N: c}
		} else {
			in.leaves[i].past = append(in.leaves[i].past, localize.Figure{X: x, N: c})
		}
	}
	return in, nil
}
