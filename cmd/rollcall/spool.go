package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/kafka"
	"github.com/rollcall-metrics/rollcall/sink/spool"
)

type spoolCmd struct {
	Ls    spoolLsCmd    `cmd:"" help:"What waits on disk for Kafka, and what is set aside. The collector may be running."`
	Cat   spoolCatCmd   `cmd:"" help:"The records of batches, a line each. The collector may be running."`
	Retry spoolRetryCmd `cmd:"" help:"Have batches that were set aside wait again: the next start sends them. The collector must be stopped."`
	Drop  spoolDropCmd  `cmd:"" help:"Throw batches away for good. The collector must be stopped."`
	Send  spoolSendCmd  `cmd:"" help:"Deliver all that waits in a folder to Kafka: for a collector whose host is lost. Nobody else must have the folder."`
}

// spoolFlags say where the spool is.
type spoolFlags struct {
	Path    string `type:"path" help:"The spool's folder; default: spool in the storage folder."`
	Storage string `name:"storage.path" default:"data" type:"path" help:"The storage folder of the collector."`
}

func (f *spoolFlags) path() string { return cmp.Or(f.Path, filepath.Join(f.Storage, "spool")) }

// kinds are what an entry's kind is called.
var kinds = []string{"snapshots", "roster", "rollups", "findings"}

func kindOf(n uint8) string {
	if int(n) < len(kinds) {
		return kinds[n]
	}
	return fmt.Sprint("kind ", n)
}

type spoolLsCmd struct {
	spoolFlags
	Batches bool `help:"List each batch that waits, and not only their sums."`
	JSON    bool `name:"json" help:"For programs."`
}

// waiting is one batch that waits, or the sum of several, or one that is set aside.
type waiting struct {
	Name      string `json:"name,omitempty"`
	Kind      string `json:"kind"`
	Partition int32  `json:"partition"`
	State     string `json:"state"` // waits, attempted, aside
	Topic     string `json:"topic,omitempty"`
	Reason    string `json:"reason,omitempty"`
	At        int64  `json:"at,omitempty"` // when it was attempted or set aside
	Batches   int    `json:"batches,omitempty"`
	Records   int    `json:"records"`
	Bytes     int64  `json:"bytes"`
	Start     uint64 `json:"start,omitempty"`
	First     uint64 `json:"first,omitempty"`
	Last      uint64 `json:"last,omitempty"`
	Oldest    int64  `json:"oldest"`
	Newest    int64  `json:"newest"`
}

func (w *waiting) add(e *spool.Entry) {
	w.Batches++
	w.Records += e.Records
	w.Bytes += int64(e.Size)
	if w.Oldest == 0 || e.Oldest < w.Oldest {
		w.Oldest = e.Oldest
	}
	w.Newest = max(w.Newest, e.Newest)
}

// Run lists.
func (c *spoolLsCmd) Run(e *env) error {
	v, err := spool.Look(c.path())
	if err != nil {
		return err
	}
	var list []waiting
	type place struct {
		kind  string
		part  int32
		state string
	}
	sums := map[place]*waiting{}
	v.Each(func(e spool.Entry, a *spool.Attempt) bool {
		w := waiting{Kind: kindOf(e.Kind), Partition: e.Partition, State: "waits"}
		if a != nil {
			w.State, w.Topic, w.At = "attempted", a.Topic, a.At
		}
		if c.Batches {
			w.add(&e)
			w.Name, w.Batches, w.Start, w.First, w.Last = e.Pos.String(), 0, e.Start, e.First, e.Last
			list = append(list, w)
			return true
		}
		p := place{w.Kind, w.Partition, w.State}
		if sums[p] == nil {
			sums[p] = &waiting{Kind: w.Kind, Partition: w.Partition, State: w.State}
		}
		sums[p].add(&e)
		return true
	})
	for _, p := range slices.SortedFunc(maps.Keys(sums), func(a, b place) int {
		return cmp.Or(slices.Index(kinds, a.kind)-slices.Index(kinds, b.kind), cmp.Compare(a.part, b.part), strings.Compare(a.state, b.state))
	}) {
		list = append(list, *sums[p])
	}
	var broken []error
	if err := spool.Asides(c.path(), func(a spool.Aside, err error) {
		if err != nil {
			broken = append(broken, err)
			return
		}
		list = append(list, waiting{Name: a.Name, Kind: kindOf(a.Kind), Partition: a.Partition, State: "aside", Topic: a.Topic, Reason: a.Reason, At: a.At, Records: a.Records,
			Bytes: int64(a.Size), Start: a.Start, First: a.First, Last: a.Last, Oldest: a.Oldest, Newest: a.Newest})
	}); err != nil {
		return err
	}
	st := v.Status()
	if c.JSON {
		out := json.NewEncoder(e.stdout)
		out.SetIndent("", "  ")
		return errors.Join(append(broken, out.Encode(struct {
			Bytes   int64     `json:"bytes"`
			Batches int       `json:"batches"`
			Damaged int64     `json:"damaged_bytes"`
			List    []waiting `json:"list"`
		}{st.Bytes, st.Batches, st.Damage.Bytes, list}))...)
	}
	fmt.Fprintf(e.stdout, "%s batches wait, %s bytes in %d segments", thousands(st.Batches), thousands(st.Bytes), st.Segments)
	if st.Damage.Bytes > 0 {
		fmt.Fprintf(e.stdout, "; %s bytes are damaged", thousands(st.Damage.Bytes))
	}
	fmt.Fprintln(e.stdout)
	return errors.Join(append(broken, writeWaiting(e.stdout, list))...)
}

func writeWaiting(out io.Writer, list []waiting) error {
	if len(list) == 0 {
		return nil
	}
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "KIND\tPARTITION\tSTATE\tBATCHES\tRECORDS\tBYTES\tOLDEST\tNEWEST\tNAME\tREASON")
	at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format("01-02 15:04:05") }
	for _, w := range list {
		fmt.Fprintf(tab, "%s\t%d\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", w.Kind, w.Partition, w.State, max(1, w.Batches), w.Records, w.Bytes, at(w.Oldest), at(w.Newest), w.Name, plain(w.Reason))
	}
	return tab.Flush()
}

type spoolCatCmd struct {
	spoolFlags
	Name []string `arg:"" help:"Names as ls gives them, with --batches for those that wait; or all."`
}

// Run prints the records, one a line.
func (c *spoolCatCmd) Run(e *env) error {
	v, err := spool.Look(c.path())
	if err != nil {
		return err
	}
	show := func(batch []byte) error {
		var failed error
		err := kafka.Records(batch, func(_ string, _ time.Time, value []byte) {
			if _, err := e.stdout.Write(append(value[:len(value):len(value)], '\n')); err != nil {
				failed = err
			}
		})
		return errors.Join(err, failed)
	}
	one := func(en spool.Entry) error {
		b, err := v.Read(en)
		if err != nil {
			return err
		}
		return show(b)
	}
	if slices.Equal(c.Name, []string{"all"}) {
		var errs []error
		v.Each(func(en spool.Entry, _ *spool.Attempt) bool {
			if err := one(en); err != nil {
				errs = append(errs, err)
			}
			return e.ctx.Err() == nil
		})
		return errors.Join(errs...)
	}
	for _, name := range c.Name {
		if en, ok := v.Find(name); ok {
			if err := one(en); err != nil {
				return err
			}
			continue
		}
		a, err := spool.ReadAside(c.path(), name)
		if err != nil {
			return fmt.Errorf("%q neither waits nor is set aside: %w", name, err)
		}
		if err := show(a.Batch()); err != nil {
			return err
		}
	}
	return nil
}

// change opens the folder for changes and names the batches that are meant; all are those that are set aside.
func (f *spoolFlags) change(e *env, names []string, what func(sp *spool.Spool, name string) error) (err error) {
	if _, err := spool.Look(f.path()); err != nil {
		return err
	}
	sp, err := spool.Open(spool.Config{Path: f.path(), MaxBytes: 1 << 50, SegmentBytes: 64 << 20, Logger: e.log})
	if errors.Is(err, spool.ErrLocked) {
		return fmt.Errorf("%w: stop the collector first", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sp.Close()) }()
	if slices.Equal(names, []string{"all"}) {
		names = nil
		if err := spool.Asides(f.path(), func(a spool.Aside, err error) { names = append(names, a.Name) }); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := what(sp, name); err != nil {
			return err
		}
	}
	return nil
}

type spoolRetryCmd struct {
	spoolFlags
	Name []string `arg:"" help:"Names of batches that are set aside, as ls gives them; or all."`
}

// Run has batches that were set aside wait again.
func (c *spoolRetryCmd) Run(e *env) error {
	return c.change(e, c.Name, func(sp *spool.Spool, name string) error {
		if err := sp.Retry(name); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s waits again\n", name)
		return nil
	})
}

type spoolDropCmd struct {
	spoolFlags
	Name []string `arg:"" help:"Names as ls gives them, with --batches for those that wait; or all: all that are set aside."`
}

// Run throws batches away.
func (c *spoolDropCmd) Run(e *env) error {
	return c.change(e, c.Name, func(sp *spool.Spool, name string) error {
		if p, ok := spool.ParsePos(name); ok {
			en, ok := sp.Hold(p, func(spool.Entry) {})
			if !ok {
				return fmt.Errorf("drop %q: no such batch waits", name)
			}
			sp.Done(p)
			fmt.Fprintf(e.stdout, "%s is gone, with %d records\n", name, en.Records)
			return nil
		}
		if err := sp.DropAside(name); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s is gone\n", name)
		return nil
	})
}

type spoolSendCmd struct {
	spoolFlags
	topicFlags
}

// Run delivers what is in the folder, and ends when nothing is left.
func (c *spoolSendCmd) Run(e *env) error {
	if _, err := spool.Look(c.path()); err != nil {
		return err
	}
	w, err := c.way()
	if err != nil {
		return err
	}
	ledger := sink.NewLedger(sink.Identity{Collector: rand.Uint64() | 1, Start: 1}, time.Now()) // of records that have to be keyed again
	kc, err := collect.SendConfig(w.conf, c.path(), ledger, e.log)
	if err != nil {
		return err
	}
	s, err := kafka.New(kc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for said := time.Now(); ; {
		select {
		case err = <-done:
			st := ledger.Report(time.Now()).Total
			fmt.Fprintf(e.stdout, "%s delivered, %s set aside, %s dropped%s, %s left\n", thousands(st.Acknowledged), thousands(st.SetAside), thousands(st.Dropped), reasons(st.Reasons, ""), thousands(st.Waiting()))
			if err == nil && st.Waiting()+st.Dropped > 0 {
				err = failure{exitFailure, nil}
			}
			return err
		case <-tick.C:
		}
		st := s.Status()
		if st.Spool.Budget > 0 && st.Spool.Batches == 0 && ledger.Report(time.Now()).Total.Waiting() == 0 {
			cancel()
		} else if time.Since(said) > progress {
			said = time.Now()
			text := ""
			if st.Trouble != "" {
				text = "; " + st.Trouble
			}
			fmt.Fprintf(e.stderr, "%s batches are left%s\n", thousands(st.Spool.Batches), plain(text))
		}
	}
}
