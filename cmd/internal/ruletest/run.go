package ruletest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/cmd/internal/collect"
	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/stats"
	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/enrich/geo"
	"github.com/rollcall-metrics/rollcall/enrich/tag"
)

// ErrFailed is the error of tests that ran and failed; Run has printed why.
var ErrFailed = errors.New("some tests failed")

// usualBegin is when the first scrape of a test is, where the file says nothing else.
var usualBegin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (f *file) began() time.Time {
	if f.Began.IsZero() {
		return usualBegin
	}
	return f.Began
}

// Run runs the tests of a file and prints what differs: - what was expected and is not there, + what is there and was not expected. The error is ErrFailed if
// some test failed, and else says what is wrong with the file, with the line and the remedy.
func Run(name string, out io.Writer) error {
	f, err := load(name)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rollcall-test-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := f.database(dir)
	if err != nil {
		return err
	}
	failed := 0
	for i := range f.Tests {
		bad, err := f.run(i, db)
		if err != nil {
			return err
		}
		if len(bad) > 0 {
			failed++
			fmt.Fprintf(out, "FAIL %s: %s\n", name, f.Tests[i].Name)
			for _, b := range bad {
				fmt.Fprintf(out, "  %s\n", strings.ReplaceAll(b, "\n", "\n    "))
			}
		}
	}
	fmt.Fprintf(out, "%s: %d of %d tests passed\n", name, len(f.Tests)-failed, len(f.Tests))
	if failed > 0 {
		return ErrFailed
	}
	return nil
}

// run runs one test; each text of bad is something that is not as expected.
func (f *file) run(i int, db *geo.DB) (bad []string, err error) {
	t, at := &f.Tests[i], fmt.Sprintf("$.tests[%d]", i)
	inst, err := f.instance(t)
	if err != nil {
		return nil, err
	}
	targets, err := tag.NewTargets([]tag.Job{collect.RelabelJob(f.scraped, f.job)})
	if err != nil {
		return nil, f.fault("$.relabel_configs", "%w", err)
	}
	reason, keep := targets.Filter(&inst)
	where := fmt.Sprintf("the target, line %d:", f.line(at))
	switch want := t.Expect.Dropped; {
	case keep && want != "":
		return []string{where + "\n- dropped: " + want + "\n+ it is scraped"}, nil
	case !keep && want == "":
		return []string{where + "\n- it is scraped\n+ dropped: " + reason}, nil
	case !keep && !strings.Contains(reason, want):
		return []string{where + "\n- dropped: " + want + "\n+ dropped: " + reason}, nil
	case !keep:
		return nil, nil
	}
	if d := t.Expect.differs(&inst, f.scraped.MetricsPath); len(d) > 0 {
		bad = append(bad, where+"\n"+strings.Join(d, "\n"))
	}
	e, err := tag.New(f.tagConfig(db))
	if err != nil {
		return nil, f.fault("$.rules", "%w", err)
	}
	if err := e.Load(); err != nil {
		return nil, f.fault("$.config", "%w", err)
	}
	var windows stats.Watch
	for j := range t.Scrapes {
		s, at := &t.Scrapes[j], fmt.Sprintf("%s.scrapes[%d]", at, j)
		snap, err := f.snapshot(s, inst, at)
		if err != nil {
			return nil, err
		}
		windows.See(snap.Samples, f.scraped.ReadBy(snap.Time).Window, false)
		e.Enrich(snap)
		if d := s.Expect.differs(snap); len(d) > 0 {
			bad = append(bad, fmt.Sprintf("scrape at %s, line %d:\n%s", s.At, f.line(at), strings.Join(d, "\n")))
		}
	}
	return bad, nil
}

// instance is a test's target, as discovery would find it.
func (f *file) instance(t *test) (i discovery.Instance, err error) {
	host, port, err := discovery.SplitAddr(cmp.Or(t.Target.Address, "10.0.0.1:8080"))
	i.Key = discovery.Key{Service: cmp.Or(t.Target.Service, "app"), Env: cmp.Or(t.Target.Env, "prod"), Host: host, Port: port}
	i.Source, i.Shard = f.job.JobName, discovery.NoShard
	i.Tags, i.Meta = discovery.TagsOf(t.Target.Tags), discovery.TagsOf(t.Target.Meta)
	return i, err
}

// tagConfig is what the collector would enrich with, but for databases and inferred tracks, which one target cannot tell.
func (f *file) tagConfig(db *geo.DB) tag.Config {
	out := collect.TagConfig(f.conf)
	out.Geo, out.Host, out.NoTracks = db, out.Host && db != nil, true
	return out
}

// snapshot is what the pool would make of a body.
func (f *file) snapshot(s *pull, inst discovery.Instance, at string) (*collector.Snapshot, error) {
	snap := &collector.Snapshot{Instance: inst, Time: f.began().Add(time.Duration(s.At)), Interval: f.scraped.Interval, Tags: discovery.TagsOf(f.conf.Global.ExternalLabels).With(inst.Tags.Map())}
	snap.Outcome, _ = collector.ParseOutcome(cmp.Or(s.Outcome, "ok"))
	if snap.Outcome != collector.OK {
		snap.Reason = "the test says so"
		return snap, nil
	}
	body := []byte(s.Body)
	if s.BodyFile != "" {
		var err error
		if body, err = os.ReadFile(f.beside(s.BodyFile)); err != nil {
			return nil, f.fault(at+".body_file", "%w", err)
		}
	}
	if limit := f.scraped.BodyLimit; int64(len(body)) > limit {
		return nil, f.fault(at, "the body has %d bytes, and body_size_limit is %d: the collector would not take it", len(body), limit)
	}
	var p stats.Parser
	if err := p.Parse(snap, body, s.ContentType, f.scraped.ReadBy(snap.Time)); err != nil {
		return nil, f.fault(at, "the body cannot be read: %w; if its format is taken for another, say content_type", err)
	}
	return snap, nil
}

func (e *expectTarget) differs(i *discovery.Instance, path string) (out []string) {
	out = tagsDiffer(e.Tags, i.Tags)
	if got := i.ScrapeAddr(); e.Address != "" && e.Address != got {
		out = append(out, "- pulled from "+e.Address, "+ pulled from "+got)
	}
	if got := cmp.Or(i.StatsPath, path); e.Path != "" && e.Path != got {
		out = append(out, "- path "+e.Path, "+ path "+got)
	}
	return out
}

func (e *expectScrape) differs(s *collector.Snapshot) (out []string) {
	var got []line
	for i := range s.Samples {
		got = append(got, lineOf(&s.Samples[i]))
	}
	for _, list := range e.lists() {
		var want []line
		for _, text := range *list.texts {
			l, _ := parseExpected(text) // it was checked
			want = append(want, l)
		}
		out = append(out, diff(want, got, list.key == "contains")...)
	}
	return append(out, tagsDiffer(e.Tags, s.Tags)...)
}

func tagsDiffer(want map[string]string, got discovery.Tags) (out []string) {
	text := func(n, v string) string {
		if v == "" {
			return "no tag " + n
		}
		return fmt.Sprintf("tag %s=%q", n, v)
	}
	for _, n := range slices.Sorted(maps.Keys(want)) {
		if have := got.Get(n); have != want[n] {
			out = append(out, "- "+text(n, want[n]), "+ "+text(n, have))
		}
	}
	return out
}
