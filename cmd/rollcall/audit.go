package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/config"
	"github.com/rollcall-metrics/rollcall/sink"
	"github.com/rollcall-metrics/rollcall/sink/audit"
	"github.com/rollcall-metrics/rollcall/sink/readback"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

type auditCmd struct {
	topicFlags
	Since     string        `default:"1h" help:"How far back: 1h, 2d, or all for everything that the topics still have."`
	Format    string        `default:"text" enum:"text,json" help:"text or json."`
	Collector []string      `help:"URL,… of collectors whose ledgers explain gaps: what was dropped, and why, and what was keyed anew."`
	URL       string        `name:"url" default:"http://127.0.0.1:7150" env:"ROLLCALL_URL" help:"URL of the page; it or the collector is asked which brokers to read, where nothing names them."`
	User      string        `help:"USER:PASSWORD of their web configuration."`
	Grace     time.Duration `default:"10s" help:"What was scraped so lately may be on its way, and is not missed."`
	List      int           `default:"1000" help:"How many findings of a kind are listed; the others are counted."`
}

const (
	// auditSlack is how much further back is read than is judged: records are not in the order of their scrape times.
	auditSlack  = time.Minute
	auditAtOnce = 3 // partitions that are read at once
	progress    = 2 * time.Second
)

// Run reads both lanes and says what is missing, doubled and out of order.
func (c *auditCmd) Run(e *env) error {
	now := time.Now()
	var since time.Time
	if c.Since != "all" {
		d, err := config.ParseDuration(c.Since)
		if err != nil || d <= 0 {
			return usage("--since=%s: give how far back, such as 1h or 2d, or all", c.Since)
		}
		since = now.Add(-d)
	}
	if c.Grace < 0 || c.List < 1 {
		return usage("--grace and --list are not negative, and --list is at least 1")
	}
	asked := collectorFlags{User: c.User}
	if len(c.Collector) > 0 {
		asked.Collector = c.Collector[0]
	}
	w, err := c.way(askPlaces(e.ctx, asked, c.URL)...)
	if err != nil {
		return err
	}
	client, err := w.readback("audit")
	if err != nil {
		return err
	}
	defer client.Close()
	fmt.Fprintf(e.stderr, "reads the topics %s of %s\n", plain(strings.Join(w.lanes(), " and ")), w.at())
	a := audit.New(audit.Config{Since: since, Now: now, Grace: c.Grace, List: c.List})
	if err := walk(e, client, w.lanes(), since, now, a); err != nil {
		return w.asked(err)
	}
	var ledgers []sink.Report
	for _, url := range c.Collector {
		var l sink.Report
		if err := (&collectorFlags{Collector: url, User: c.User}).get(e.ctx, "/api/v1/ledger", nil, &l); err != nil {
			return err
		}
		ledgers = append(ledgers, l)
	}
	r := a.Report(ledgers...)
	waiting := map[string]uint64{}
	for _, l := range ledgers {
		waiting[l.Collector] = l.Total.Waiting()
	}
	if c.Format == "json" {
		out := json.NewEncoder(e.stdout)
		out.SetIndent("", "  ")
		err = out.Encode(struct {
			Since   int64    `json:"since"` // 0: the beginning
			AsOf    int64    `json:"as_of"`
			Sound   bool     `json:"sound"`
			Brokers []string `json:"brokers"`
			audit.Report
			Waiting map[string]uint64 `json:"waiting,omitempty"` // snapshots that collectors have still to deliver, as their ledgers say
		}{max(0, since.UnixMilli()), now.UnixMilli(), r.Sound(), w.kafka.Brokers, r, waiting})
	} else {
		for _, c := range slices.Sorted(maps.Keys(waiting)) {
			if n := waiting[c]; n > 0 {
				fmt.Fprintf(e.stdout, "collector %s has still to deliver %s: what is missing may be among them\n", plain(c), many(n, "snapshot", "snapshots"))
			}
		}
		err = writeAudit(e.stdout, &r, since)
	}
	if err == nil && !r.Sound() {
		return failure{exitFailure, nil}
	}
	return err
}

// walk reads the lanes of every partition into the audit.
func walk(e *env, client *readback.Client, lanes []string, since, now time.Time, a *audit.Audit) error {
	from := since
	if !since.IsZero() {
		from = since.Add(-auditSlack)
	}
	spans, err := client.Spans(e.ctx, from, lanes...)
	if errors.Is(err, readback.ErrNoTopic) {
		return fmt.Errorf("%w: has a collector delivered here, and are these its topics?", err)
	}
	if err != nil {
		return unread(err)
	}
	keep := map[string]time.Duration{}
	for _, lane := range lanes {
		keep[lane], _ = client.Retention(e.ctx, lane)
	}
	var total int64
	for _, s := range spans {
		total += s.Len()
	}
	ctx, cancel := context.WithCancelCause(e.ctx)
	defer cancel(nil)
	var read atomic.Int64
	var shown, wg sync.WaitGroup
	done := make(chan struct{})
	shown.Go(func() { tellProgress(e.stderr, &read, total, done) })
	next := make(chan readback.Span)
	for range auditAtOnce {
		wg.Go(func() {
			for s := range next {
				if err := walkOne(ctx, client, s, now, keep[s.Topic], a, &read); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, s := range spans {
		next <- s
	}
	close(next)
	wg.Wait()
	close(done)
	shown.Wait()
	return context.Cause(ctx)
}

// walkOne reads one partition of one lane.
func walkOne(ctx context.Context, client *readback.Client, s readback.Span, now time.Time, keep time.Duration, a *audit.Audit, read *atomic.Int64) error {
	trimmed := s.First > 0
	before := time.Time{}
	if trimmed && keep > 0 {
		before = now.Add(-keep)
	}
	a.Edge(int32(s.Partition), !trimmed && s.From == 0, before)
	var r wire.Record
	first := true
	return client.Read(ctx, s, func(m readback.Message) error {
		read.Add(1)
		p := audit.Place{Topic: s.Topic, Partition: int32(s.Partition), Offset: m.Offset}
		err := wire.Decode(m.Value, &r)
		if err != nil {
			a.Unreadable(p, err)
			return nil
		}
		if first && trimmed && s.From == s.First { // the oldest there is: what was before it is gone
			a.Edge(int32(s.Partition), false, time.UnixMilli(r.TS).Add(auditSlack))
		}
		first = false
		return a.Add(p, &r)
	})
}

func tellProgress(to io.Writer, read *atomic.Int64, total int64, done <-chan struct{}) {
	t := time.NewTicker(progress)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
			n := read.Load()
			fmt.Fprintf(to, "read %s of %s records (%d %%)\n", thousands(n), thousands(total), n*100/max(total, 1))
		}
	}
}

// clock is a scrape time for people.
func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000") }

func writeAudit(to io.Writer, r *audit.Report, since time.Time) error {
	say := func(format string, args ...any) { fmt.Fprintf(to, format+"\n", args...) }
	if r.Records == 0 {
		say("nothing was read: the topics have no record since then")
		return nil
	}
	say("read %s of %s, scraped %s to %s UTC", many(r.Records, "record", "records"), many(r.Starts, "start of a collector", "starts of collectors"), clock(r.Oldest), clock(r.Newest))
	for _, g := range r.Gaps {
		what := fmt.Sprintf("MISSING  %s/%d/%d/%d", g.Collector, g.Start, g.Partition, g.First)
		if g.N() > 1 {
			what += fmt.Sprintf(" to %d, %s", g.Last, many(g.N(), "record", "records"))
		}
		switch {
		case g.Kind == "tail":
			what += "; the start after it says that they were given"
		case g.Kind == "head":
			what += "; the start begins with them"
		}
		if g.After != 0 && g.Before != 0 {
			what += fmt.Sprintf("; scraped between %s and %s", clock(g.After), clock(g.Before))
		} else if g.Before != 0 {
			what += fmt.Sprintf("; scraped before %s", clock(g.Before))
		}
		if g.Why != "" {
			what += "; the collector dropped them: " + g.Why
		}
		say("%s", what)
	}
	if r.Unlisted > 0 {
		say("MISSING  … and %s", many(r.Unlisted, "more gap", "more gaps"))
	}
	for _, i := range r.Incomplete {
		say("MISSING  parts %v of %d of %s, the first of which stands at %s/%d offset %d", i.Missing, i.Parts, i.ID, i.Topic, i.Partition, i.Offset)
	}
	tell := func(word string, n uint64, listed int) {
		if more := n - uint64(listed); more > 0 {
			say("%s  … and %s more", word, thousands(more))
		}
	}
	for _, d := range r.Doubled.List {
		say("DOUBLED  %s stands a second time at %s/%d offset %d", d.ID, d.Topic, d.Partition, d.Offset)
	}
	tell("DOUBLED", r.Doubled.N, len(r.Doubled.List))
	for _, d := range r.PulledTwice.List {
		say("DOUBLED  %s was pulled twice in the slot of %s: %s and %s, which stands at %s/%d offset %d", plain(d.Instance), clock(d.Slot), d.With, d.ID, d.Topic, d.Partition, d.Offset)
	}
	tell("DOUBLED", r.PulledTwice.N, len(r.PulledTwice.List))
	for _, d := range r.OutOfOrder.List {
		say("order    %s stands behind %s, at %s/%d offset %d", d.ID, d.After, d.Topic, d.Partition, d.Offset)
	}
	tell("order  ", r.OutOfOrder.N, len(r.OutOfOrder.List))
	for _, d := range r.Misplaced.List {
		say("place    %s stands in another partition, at %s/%d offset %d", d.ID, d.Topic, d.Partition, d.Offset)
	}
	tell("place  ", r.Misplaced.N, len(r.Misplaced.List))
	for _, d := range r.Unreadable.List {
		say("unread   %s/%d offset %d: %s", d.Topic, d.Partition, d.Offset, plain(d.Error))
	}
	tell("unread ", r.Unreadable.N, len(r.Unreadable.List))
	if r.Shared > 0 {
		say("%s pulled by two collectors or two starts of one: readers count one of them", many(r.Shared, "slot was", "slots were"))
	}
	if r.Rekeyed > 0 {
		say("%s never used: their snapshots were keyed anew and have others", many(r.Rekeyed, "sequence was", "sequences were"))
	}
	if r.OnTheWay > 0 {
		say("%s not there yet and may be on the way: younger than the grace", many(r.OnTheWay, "record is", "records are"))
	}
	if r.Unproven > 0 {
		say("%s where retention has removed records, or before --since: nothing can be said of them", many(r.Unproven, "sequence is missing", "sequences are missing"))
	}
	verdict := "nothing lost, nothing doubled"
	if !r.Sound() {
		verdict = fmt.Sprintf("%s lost, %s doubled", thousands(r.Lost), thousands(r.Doubled.N+r.PulledTwice.N))
	}
	if since.IsZero() {
		say("%s, of all that the topics have", verdict)
	} else {
		say("%s, since %s UTC", verdict, since.UTC().Format("2006-01-02 15:04:05"))
	}
	return nil
}
