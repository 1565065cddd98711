package tag

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// networks gives hosts the tags of the network they stand in, from CSV files that are followed.
type networks struct {
	files []string
	log   *slog.Logger
	table atomic.Pointer[table]
	fault atomic.Pointer[error]

	mu   sync.Mutex // one check at a time
	last []networksFile
}

type networksFile struct {
	info os.FileInfo // at the last look; nil: it was not there
	rows []network   // the last good ones
	err  error       // why the newest are not in use
}

func newNetworks(files []string, log *slog.Logger) *networks {
	n := &networks{files: files, log: log, last: make([]networksFile, len(files))}
	n.table.Store(&table{})
	n.fault.Store(new(error))
	return n
}

// lookup is the tags of the network that a stands in; empty where it stands in none.
func (n *networks) lookup(a netip.Addr) discovery.Tags { return n.table.Load().lookup(a.Unmap()) }

// generation changes with every table.
func (n *networks) generation() uint64 { return n.table.Load().generation }

func (n *networks) len() int { return n.table.Load().len }

// err is what is wrong with the files as of the last check.
func (n *networks) err() error { return *n.fault.Load() }

// check reads the files that changed. A bad one keeps its last good rows in use. The error joins what is wrong with all of them, new or not.
func (n *networks) check() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	changed := false
	var errs []error
	for i, f := range n.files {
		changed = n.checkFile(f, &n.last[i]) || changed
		errs = append(errs, n.last[i].err)
	}
	if changed {
		var all [][]network
		for _, l := range n.last {
			all = append(all, l.rows)
		}
		n.table.Store(newTable(n.generation()+1, all))
	}
	err := errors.Join(errs...)
	n.fault.Store(&err)
	return err
}

func (n *networks) checkFile(file string, l *networksFile) (changed bool) {
	info, err := os.Stat(file)
	if err == nil && l.info != nil && os.SameFile(info, l.info) && info.Size() == l.info.Size() && info.ModTime().Equal(l.info.ModTime()) {
		return false
	}
	var rows []network
	if err == nil {
		rows, err = readNetworks(file)
	} else {
		info, err = nil, fmt.Errorf("read networks %q: %w", file, err)
	}
	was := l.err
	l.info, l.err = info, err
	if err != nil {
		if was == nil || was.Error() != err.Error() {
			n.log.Error("networks not usable, keeping the last good ones", "file", file, "networks", len(l.rows), "err", err)
		}
		return false
	}
	l.rows = rows
	n.log.Info("networks in use", "file", file, "networks", len(rows))
	return true
}

// table finds the longest prefix. Each prefix holds the tags of those around it, too, so one find is enough.
type table struct {
	generation uint64
	len        int
	v4, v6     []int // lengths of prefixes that occur, longest first
	tags       map[netip.Prefix]discovery.Tags
}

// newTable builds a table; where two files speak of one prefix, the later one wins tag by tag.
func newTable(generation uint64, files [][]network) *table {
	own := map[netip.Prefix]map[string]string{}
	for _, rows := range files {
		for _, r := range rows {
			if own[r.prefix] == nil {
				own[r.prefix] = make(map[string]string, len(r.tags))
			}
			for n, v := range r.tags {
				own[r.prefix][n] = v
			}
		}
	}
	prefixes := make([]netip.Prefix, 0, len(own))
	for p := range own {
		prefixes = append(prefixes, p)
	}
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int { return a.Bits() - b.Bits() })
	t := &table{generation: generation, len: len(own), tags: make(map[netip.Prefix]discovery.Tags, len(own))}
	for _, p := range prefixes { // short ones first: those around p are there already
		t.tags[p] = t.lookup(p.Addr()).With(own[p])
		lengths := &t.v6
		if p.Addr().Is4() {
			lengths = &t.v4
		}
		if len(*lengths) == 0 || (*lengths)[0] != p.Bits() {
			*lengths = slices.Insert(*lengths, 0, p.Bits())
		}
	}
	return t
}

func (t *table) lookup(a netip.Addr) discovery.Tags {
	lengths := t.v6
	if a.Is4() {
		lengths = t.v4
	}
	for _, n := range lengths {
		p, err := a.WithZone("").Prefix(n)
		if err != nil {
			continue
		}
		if tags, ok := t.tags[p]; ok {
			return tags
		}
	}
	return discovery.Tags{}
}
