package collect

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// speaker is a source that says one set.
type speaker struct{ discovery.Set }

func (s speaker) Name() string { return s.Source }

func (s speaker) Run(ctx context.Context, out *discovery.Latest) error {
	out.PutSet(s.Set)
	out.PutView(discovery.View{Source: s.Source, Complete: true, Paths: []string{s.Path}})
	<-ctx.Done()
	return ctx.Err()
}

func TestListed(t *testing.T) {
	one, two := member("cart", "u", "10.0.0.1:80"), member("cart", "u", "10.0.0.2:80")
	set := func(ms ...*discovery.Member) []discovery.Set {
		return []discovery.Set{{Source: "web", Path: "u", Members: ms}}
	}
	begin := time.Unix(1e9, 0)
	at := func(d time.Duration) time.Time { return begin.Add(d) }
	a, b := newListed(nil, time.Minute, make(chan struct{}, 1)), newListed(nil, time.Minute, make(chan struct{}, 1))
	if a.digest(begin) != "" {
		t.Error("told before there was a list")
	}
	a.note(set(one, two), nil, begin)
	b.note(set(two, one), nil, begin)
	first := a.digest(begin)
	if first == "" || first != b.digest(begin) || len(a.news) != 1 {
		t.Errorf("one list in two orders: %q, %q", first, b.digest(begin))
	}
	a.note(set(one), nil, at(time.Second))
	if a.digest(at(time.Minute)) != first {
		t.Error("a change that the others cannot have heard of parts them")
	}
	if second := a.digest(at(3 * time.Minute)); second == first || second == "" {
		t.Error("a list that stands is not told")
	}
	b.digest(at(0))
	for d := time.Duration(0); d <= movesAfter+time.Minute; d += time.Minute {
		b.note(set(member("cart", "u", fmt.Sprintf("10.0.1.%d:80", int(d/time.Minute)))), nil, at(d))
		b.digest(at(d))
	}
	if got := b.digest(at(movesAfter + time.Minute)); got != moves {
		t.Errorf("a list that never stands: %q", got)
	}
	other := newListed(nil, time.Minute, make(chan struct{}, 1))
	other.note(set(two), nil, begin)
	if other.digest(begin) == first {
		t.Error("two lists are taken for one")
	}

	l := newListed(speaker{set(one)[0]}, time.Minute, make(chan struct{}, 1))
	ctx, cancel := context.WithCancel(t.Context())
	box, done := discovery.NewLatest(), make(chan error, 1)
	go func() { done <- l.Run(ctx, box) }()
	<-l.news
	eventually(t, "what it says is passed on", func() bool {
		sets, views := box.Take()
		return len(sets) == 1 && len(views) == 1
	})
	cancel()
	<-done
}

// A collector's digest of an http_sd job has its list in it.
func TestDigestOfList(t *testing.T) {
	c := parse(t, "kafka: {brokers: ['127.0.0.1:1']}\nscrape_configs:\n- {job_name: web, http_sd_configs: [{url: 'http://127.0.0.1:1/'}]}\n")
	digest := func(ms ...*discovery.Member) string {
		d, err := New(c, Options{Storage: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		(*d.lists.Load())["web"][0].note([]discovery.Set{{Source: "web", Path: "u", Members: ms}}, nil, time.Now())
		return d.digests(c)["web"]
	}
	one, two := member("cart", "u", "10.0.0.1:80"), member("cart", "u", "10.0.0.2:80")
	first, again := digest(one), digest(one)
	if first != again || first == digest(one, two) {
		t.Error("the list does not make the digest")
	}
}

func TestOldAfter(t *testing.T) {
	c := parse(t, `
kafka: {brokers: ['127.0.0.1:1']}
scrape_configs:
- {job_name: web, http_sd_configs: [{url: 'http://127.0.0.1:1/', refresh_interval: 5m}]}
- {job_name: usual, http_sd_configs: [{url: 'http://127.0.0.1:1/'}]}
- {job_name: fixed, static_configs: [{targets: ['127.0.0.1:1']}]}
- {job_name: files, file_sd_configs: [{files: ['/x/*.json']}]}
`)
	old := oldAfter(c)
	for _, tc := range []struct {
		source string
		limit  time.Duration
		ages   bool
	}{{"web", 15 * time.Minute, true}, {"usual#2", 3 * time.Minute, true}, {"fixed", oldPath, false}, {"files", oldPath, true}, {"gone", oldPath, true}} {
		if limit, ages := old(tc.source); limit != tc.limit || ages != tc.ages {
			t.Errorf("%s: %v, %v", tc.source, limit, ages)
		}
	}
}
