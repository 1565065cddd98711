package ensemble

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// reading is what a server said of itself.
type reading struct {
	role    string // leader, follower, observer, standalone, read-only, not serving
	version string // 3.9.4
	numbers map[string]string
	texts   map[string]string
}

// notServing is the role of a server that answers and has no quorum.
const notServing = "not serving"

func newReading() *reading {
	return &reading{numbers: map[string]string{}, texts: map[string]string{}}
}

// maxValues bounds what is taken of an answer: a leader of 3.9 says 550.
const maxValues = 5000

// add takes one value, without the zk_ that mntr puts in front of each.
func (r *reading) add(name, value string) {
	name, value = strings.TrimPrefix(strings.TrimSpace(name), "zk_"), strings.TrimSpace(value)
	switch {
	case name == "" || len(name) > 200 || len(r.numbers)+len(r.texts) >= maxValues:
	case name == "version":
		r.version = release(value)
	case name == "server_state":
		r.role = strings.ToLower(value)
	case isNumber(value):
		r.numbers[name] = value
	case len(value) <= 200 && value != "":
		r.texts[name] = value
	}
}

// isNumber reports a number that JSON has, which is most of what Java writes: 1, 0.5, 1.0E-4; not NaN.
func isNumber(s string) bool {
	v, err := strconv.ParseFloat(s, 64)
	return err == nil && !math.IsInf(v, 0) && !math.IsNaN(v) && json.Valid([]byte(s))
}

// release is the number in "3.9.4-7246445…, built on …".
func release(s string) string {
	v, _, _ := strings.Cut(s, ",")
	if i := strings.LastIndexByte(v, '-'); i > 0 && len(v)-i > 30 { // the commit
		v = v[:i]
	}
	if len(v) > 60 {
		return ""
	}
	return v
}

func (r *reading) done() (*reading, error) {
	if len(r.numbers) == 0 {
		return nil, errors.New("the answer holds no numbers")
	}
	if r.role == "" {
		r.role = "unknown"
	}
	r.numbers["serving"] = "1"
	return r, nil
}

// isNotServing reports what a server says that has lost its quorum.
func isNotServing(text []byte) bool {
	return bytes.Contains(text[:min(len(text), 200)], []byte("not currently serving requests"))
}

func silent() *reading {
	r := newReading()
	r.role, r.numbers["serving"] = notServing, "0"
	return r
}

// readMntr reads lines of name, tab, value.
func readMntr(text []byte) (*reading, error) {
	if isNotServing(text) {
		return silent(), nil
	}
	r := newReading()
	for line := range bytes.Lines(text) {
		if name, value, ok := strings.Cut(string(line), "\t"); ok {
			r.add(name, value)
		}
	}
	return r.done()
}

// readMonitor reads AdminServer's /commands/monitor: a flat object, with an error beside the values.
func readMonitor(text []byte) (*reading, error) {
	var all map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		return nil, fmt.Errorf("read AdminServer's answer: %w", err)
	}
	if e, ok := all["error"].(string); ok && e != "" {
		if isNotServing([]byte(e)) {
			return silent(), nil
		}
		return nil, fmt.Errorf("AdminServer says: %.200s", e)
	}
	r := newReading()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch v := all[name].(type) {
		case json.Number:
			r.add(name, v.String())
		case string:
			if name != "command" {
				r.add(name, v)
			}
		}
	}
	return r.done()
}

// readSrvr reads what every server tells unless it was forbidden to, under mntr's names.
func readSrvr(text []byte) (*reading, error) {
	if isNotServing(text) {
		return silent(), nil
	}
	r := newReading()
	for line := range bytes.Lines(text) {
		name, value, ok := strings.Cut(string(line), ":")
		if !ok {
			continue
		}
		switch value = strings.TrimSpace(value); name {
		case "Zookeeper version":
			r.add("version", value)
		case "Mode":
			r.add("server_state", value)
		case "Latency min/avg/max":
			for i, v := range strings.SplitN(value, "/", 3) {
				r.add([]string{"min_latency", "avg_latency", "max_latency"}[i], v)
			}
		case "Received":
			r.add("packets_received", value)
		case "Sent":
			r.add("packets_sent", value)
		case "Connections":
			r.add("num_alive_connections", value)
		case "Outstanding":
			r.add("outstanding_requests", value)
		case "Node count":
			r.add("znode_count", value)
		}
	}
	return r.done()
}
