package share

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// kept is share.json: what a start needs while nobody answers.
type kept struct {
	Version int               `json:"v"`
	Group   string            `json:"group,omitempty"`
	Term    Term              `json:"term"`
	Members []Collector       `json:"members"`
	Orders  []discovery.Order `json:"orders"`                 // those that bind this collector only
	Ordered []discovery.Order `json:"group_orders,omitempty"` // the group's, as far as they were known
}

const (
	keptFile = "share.json"
	maxKept  = 64 << 20
)

// unknownZxid is that of a group's order that is known from the disk.
const unknownZxid = -1

func (m *Membership) load() {
	if m.cfg.Dir == "" {
		return
	}
	k, err := readKept(filepath.Join(m.cfg.Dir, keptFile))
	if err != nil {
		m.log.Warn("the division of the last run cannot be read", "err", err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if k.Term >= maxTerm {
		k.Term = 0
	}
	m.floor = max(m.floor, k.Term)
	if k.Group == "" || k.Group == m.cfg.Group {
		m.known = Division{Members: k.Members, Term: k.Term}
		for _, o := range k.Ordered {
			if checkOrder(&o, time.Time{}) == nil && m.cfg.Session != nil && len(m.orders) < maxOrders {
				m.orders[o.ID] = placed{Order: o, zxid: unknownZxid}
			}
		}
	}
	for _, o := range k.Orders {
		if checkOrder(&o, time.Time{}) == nil {
			m.local[o.ID] = placed{Order: o, doubt: m.cfg.Session != nil} // whether it was the group's, that run may have known
		}
	}
}

func readKept(file string) (k kept, err error) {
	st, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return kept{}, nil
	}
	if err == nil && st.Size() > maxKept {
		err = fmt.Errorf("%q has %d bytes", file, st.Size())
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(file)
	}
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err == nil && k.Version != 1 {
		err = fmt.Errorf("version %d", k.Version)
	}
	if err != nil {
		return kept{}, fmt.Errorf("read division: %w", err)
	}
	var whole []Collector
	for _, c := range k.Members { // the same checks as for a znode
		b, err := json.Marshal(c)
		if err == nil {
			if c, err = DecodeCollector(c.ID, b); err == nil {
				whole = append(whole, c)
			}
		}
	}
	k.Members = whole
	return k, nil
}

// save writes what is in force.
func (m *Membership) save() {
	if m.cfg.Dir == "" {
		return
	}
	k := kept{Version: 1, Group: m.cfg.Group}
	d := m.div.Load()
	m.mu.Lock()
	k.Term, k.Members = m.floor, m.known.Members
	for _, o := range m.local {
		k.Orders = append(k.Orders, o.Order)
	}
	for _, o := range m.orders {
		k.Ordered = append(k.Ordered, o.Order)
	}
	m.mu.Unlock()
	if d != nil && d.From != Alone {
		k.Members = d.Members
	}
	b, err := json.Marshal(k)
	if err == nil {
		err = replace(filepath.Join(m.cfg.Dir, keptFile), b)
	}
	if err != nil {
		m.log.Warn("the division is not kept for the next run", "err", err)
	}
}

// replace writes a file as a whole: a reader, and the next run, see the old one or the new one.
func replace(file string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".share-*")
	if err != nil {
		return fmt.Errorf("write %q: %w", file, err)
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("write %q: %w", file, err)
	}
	return nil
}
