package dashboards

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// replica is a Board whose detector says what the test says, on a topic that is a slice.
type replica struct {
	*fleet
	topic  *[]Note
	judged []Finding
}

func newReplica(t *testing.T, topic *[]Note, owns func(string, string) bool) *replica {
	r := &replica{topic: topic}
	r.fleet = newFleet(t, Options{Judge: func(time.Time, *Board) []Finding { return r.judged }, Owns: owns, Publish: func(n Note) {
		read, err := ParseNote(n.Append(nil))
		if err != nil {
			t.Error(err)
		}
		*topic = append(*topic, read)
	}})
	r.b.SetFeed(Feed{State: FeedLive})
	r.read()
	return r
}

func (r *replica) read() {
	for _, n := range *r.topic {
		r.b.Note(n)
	}
}

// list is the findings in short: id, + for open and - for over, and marks.
func (r *replica) list() string {
	var out []string
	for _, f := range r.b.Findings() {
		s := f.ID + map[bool]string{true: "+", false: "-"}[f.Ended == nil]
		if f.Ack != nil {
			s += "a"
		}
		if f.Silenced != nil {
			s += "s"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func (r *replica) want(what, list string) {
	r.t.Helper()
	if got := r.list(); got != list {
		r.t.Errorf("%s: %q, want %q", what, got, list)
	}
}

func found(id, metric string, since float64) Finding {
	return Finding{ID: id, Level: LevelBad, Service: "checkout", Env: "prod", Metric: metric, Since: t0.UnixMilli() + int64(since*1000), Title: "checkout is failing: 3 %", Cleared: []string{}, Events: []Event{},
		Was: .001, Is: .03}
}

func (f Finding) over(s float64) Finding {
	t := t0.UnixMilli() + int64(s*1000)
	f.Ended = &t
	return f
}

// erring feeds the service so that its error ratio is as given, each second from a to b.
func (r *replica) erring(a, b int, ratio float64) {
	for s := a; s <= b; s++ {
		n := float64(s-a+1) * 100
		r.add("10.0.0.1:80", float64(s), counter("requests", 1e6*float64(a)+n), counter("errors", 1e5*float64(a)+n*ratio))
		r.tick(float64(s))
	}
}

// What was found goes on over a restart under its name and from its time, whatever the detector makes of it anew.
func TestFindingsSurviveRestart(t *testing.T) {
	var topic []Note
	a := newReplica(t, &topic, nil)
	a.judged = []Finding{found("f1", "errors", 0)}
	a.erring(0, 30, .03)
	a.judged = []Finding{found("f1", "errors", 0), found("f0", "errors", -9000).over(-8000)}
	a.tick(31)
	a.want("before", "f1+ f0-")

	b := newReplica(t, &topic, nil)
	b.tick(32)
	b.want("at once", "f1+ f0-")
	b.erring(33, 90, .03)
	b.want("while nobody judges it and it errs on", "f1+ f0-")
	b.judged = []Finding{found("f2", "latency", 85)}
	b.tick(91)
	b.want("found anew", "f1+ f0-")
	if f := b.b.Findings()[0]; f.Since != t0.UnixMilli() || f.Metric != "latency" {
		t.Errorf("it is %+v", f)
	}
	b.judged = []Finding{found("f2", "latency", 85).over(95)}
	b.tick(96)
	b.want("over", "f1- f0-")

	c := newReplica(t, &topic, nil)
	c.tick(97)
	c.want("after another restart", "f1- f0-")
}

// A finding that was open at the end of a run and is over when the next one looks ends when it is calm.
func TestFindingsEndThoughNobodyJudges(t *testing.T) {
	var topic []Note
	a := newReplica(t, &topic, nil)
	a.judged = []Finding{found("f1", "errors", 0)}
	a.tick(1)
	b := newReplica(t, &topic, nil)
	b.erring(2, 15, 0)
	b.want("not at once", "f1+")
	f := b.b.Findings()[0]
	said := fmt.Sprintf("; recovered at %s, closes at %s unless it returns", clock(f.Recovered), clock(f.Closes))
	if f.Recovered == 0 || f.Closes-f.Recovered != overAfter.Milliseconds() || !strings.HasSuffix(f.Title, said) || !strings.Contains(f.Text, " since "+clock(f.Since)+said) {
		t.Errorf("what waits to be over says %+v", f)
	}
	b.erring(16, 40, 0)
	b.want("calm", "f1-")
	if f := b.b.Findings()[0]; f.Recovered != 0 || f.Closes != 0 || strings.Contains(f.Text, "recovered") {
		t.Errorf("what is over says %+v", f)
	}
	if f := b.b.Findings()[0]; *f.Ended > t0.Add(30*time.Second).UnixMilli() {
		t.Errorf("it ended at %s", time.UnixMilli(*f.Ended).UTC())
	}
}

// While the feed is not live nothing ends.
func TestFindingsStayWhileNothingIsKnown(t *testing.T) {
	var topic []Note
	a := newReplica(t, &topic, nil)
	a.judged = []Finding{found("f1", "errors", 0)}
	a.tick(1)
	b := newReplica(t, &topic, nil)
	b.b.SetFeed(Feed{State: FeedConnecting})
	for s := range 100 {
		b.tick(float64(s * 10))
	}
	b.want("after a quarter of an hour", "f1+")
}

// One that another tells is over, and says of whom it is a part.
func TestFindingsMerge(t *testing.T) {
	var topic []Note
	a := newReplica(t, &topic, nil)
	other := found("f2", "errors", 1)
	other.Service = "cart"
	a.judged = []Finding{found("f1", "errors", 0), other}
	a.tick(2)
	a.want("two", "f2+ f1+")
	place := found("f1", "errors", 0)
	place.Services = []string{"cart", "checkout"}
	a.judged = []Finding{place}
	a.tick(3)
	a.want("one", "f1+")
	if last := topic[len(topic)-1].Finding; last.ID != "f2" || last.PartOf != "f1" || last.Ended == nil {
		t.Errorf("told last: %+v", last)
	}
	if n := a.b.Now("prod"); len(n.Findings) != 1 {
		t.Errorf("the page shows %d", len(n.Findings))
	}
}

// Who does not own a service shows what its owner says, and decides nothing.
func TestFindingsOfOthers(t *testing.T) {
	var topic []Note
	a := newReplica(t, &topic, nil)
	b := newReplica(t, &topic, func(string, string) bool { return false })
	a.judged = []Finding{found("f1", "errors", 0)}
	a.tick(1)
	b.read()
	for s := range 60 {
		b.tick(float64(s))
	}
	b.want("shown", "f1+")
	a.judged = []Finding{found("f1", "errors", 0).over(70)}
	a.tick(71)
	b.read()
	b.tick(72)
	b.want("over", "f1-")
}

// What is told of a finding that goes on for long is bounded, and its begin and end are told at once.
func TestFindingsAreToldSparingly(t *testing.T) {
	var topic []Note
	a := newReplica(t, &topic, nil)
	for s := range 3600 {
		f := found("f1", "errors", 0)
		f.News = fmt.Sprint(s) // its figures move all the time
		a.judged = []Finding{f}
		a.tick(float64(s))
	}
	if n := len(topic); n < 30 || n > 150 {
		t.Errorf("%d notes in an hour", n)
	}
	n := len(topic)
	a.judged = []Finding{found("f1", "errors", 0).over(3600)}
	a.tick(3600)
	a.tick(3601)
	if len(topic) != n+1 || topic[n].Finding.Ended == nil {
		t.Errorf("%d notes of its end", len(topic)-n)
	}
}

func TestAckAndSilence(t *testing.T) {
	var topic []Note
	a := newReplica(t, &topic, nil)
	b := newReplica(t, &topic, func(string, string) bool { return false })
	now := time.Now() // people speak now
	f := found("f1", "errors", now.Sub(t0).Seconds())
	a.judged = []Finding{f}
	a.b.Tick(now)
	for _, tc := range []struct {
		name, id string
		ack      Ack
		want     string
	}{
		{"unknown", "f9", Ack{By: "ann"}, "no such finding"},
		{"nobody", "f1", Ack{}, "by is missing"},
		{"too long", "f1", Ack{By: "ann", Why: strings.Repeat("x", 2000)}, "longer than 1000 bytes"},
		{"control", "f1", Ack{By: "ann\x1b[2J"}, "no text"},
	} {
		if _, err := a.b.Acknowledge(tc.id, tc.ack); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	got, err := a.b.Acknowledge("f1", Ack{By: "ann", Why: "on it"})
	if err != nil || got.Ack == nil || got.Ack.By != "ann" {
		t.Fatal(got, err)
	}
	for _, s := range []Silence{{Service: "checkout", By: "ann", Until: now.Add(time.Hour).UnixMilli()}, {Service: "checkout", By: "ann", Why: "x", Until: now.Add(-time.Hour).UnixMilli()},
		{By: "ann", Why: "x", Until: now.Add(time.Hour).UnixMilli()}, {Service: "checkout", By: "ann", Why: "x", Until: now.Add(30 * 24 * time.Hour).UnixMilli()}} {
		if _, err := a.b.Silence(s); err == nil {
			t.Errorf("%+v is taken", s)
		}
	}
	s, err := b.b.Silence(Silence{Service: "checkout", Metric: "errors", By: "bob", Why: "load test", Until: now.Add(time.Hour).UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*replica{"a": a, "b": b, "a new one": newReplica(t, &topic, nil)} {
		r.read()
		r.b.Tick(now.Add(time.Second))
		r.want(name, "f1+as")
		if rows := r.b.Silences(); len(rows) != 1 || rows[0].ID != s.ID {
			t.Errorf("%s: silences %+v", name, rows)
		}
	}
	if _, err := b.b.EndSilence(s.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.b.EndSilence(s.ID, "bob"); err == nil {
		t.Error("ended twice")
	}
	if _, err := b.b.Acknowledge("f1", Ack{By: "ann", Over: true}); err != nil {
		t.Fatal(err)
	}
	a.read()
	a.b.Tick(now.Add(2 * time.Second))
	a.want("taken back", "f1+")
}

// Of findings on the topic no more are kept than the bound; one that is over makes room for another.
func TestBookIsBounded(t *testing.T) {
	k := newBook()
	take := func(id string, ended *int64) bool {
		return k.take(&Note{V: 1, Kind: NoteFinding, ID: id, TS: 2, Finding: &Finding{ID: id, Ended: ended}})
	}
	over := int64(1)
	take("over", &over)
	for i := range maxKept {
		take(fmt.Sprint("f", i), nil)
	}
	if len(k.findings) != maxKept || k.findings["over"] != nil || take("more", nil) || len(k.findings) != maxKept {
		t.Errorf("%d are kept, want %d", len(k.findings), maxKept)
	}
}

// Where as many acknowledgements or silences are known as are kept, those of what is over make room; where none is, whoever says one more is told that it is not taken.
func TestSaidIsBounded(t *testing.T) {
	var topic []Note
	r := newReplica(t, &topic, nil)
	k := r.b.book
	now := time.Now().UnixMilli()
	for i := range maxKept {
		id := fmt.Sprint("f", i)
		k.findings[id] = &kept{Finding: Finding{ID: id, Level: LevelBad, Service: "checkout", Env: "prod", Since: now}}
		k.acks[id] = stamped[Ack]{Ack{By: "ann"}, now + int64(i), time.Time{}}
		sid := fmt.Sprint("s", i)
		k.silences[sid] = stamped[Silence]{Silence{ID: sid, Service: "checkout", At: now, Until: now + 60_000}, now + int64(i), time.Time{}}
		k.told[fmt.Sprint("e", i)] = stamped[ToldEvent]{ToldEvent{At: now}, now, time.Time{}}
	}
	k.findings["one more"] = &kept{Finding: Finding{ID: "one more", Level: LevelBad, Service: "checkout", Env: "prod", Since: now}}
	silence := Silence{Service: "cart", By: "ann", Why: "x", Until: now + 3_600_000}
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "2000") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := r.b.Acknowledge("one more", Ack{By: "ann"})
	refused("an acknowledgement", err)
	_, err = r.b.Tell(ToldEvent{Kind: EventDeploy, Service: "cart", Text: "x", Who: "ann"})
	refused("an event", err)
	r.b.book.mu.Lock()
	for i := range maxKept / 2 {
		s := k.silences[fmt.Sprint("s", i)]
		s.v.Over = true // more would be refused by the bound of those that stand
		k.silences[fmt.Sprint("s", i)] = s
	}
	over := now
	k.findings["f7"].Ended = &over
	k.findings["f9"].Ended = &over
	delete(k.findings, "f11")
	r.b.book.mu.Unlock()
	if len(topic) > 0 {
		t.Errorf("others are told of what was refused: %+v", topic)
	}
	for _, want := range []string{"f11", "f7", "f9"} {
		id := "for " + want
		k.findings[id] = &kept{Finding: Finding{ID: id, Level: LevelBad, Service: "checkout", Env: "prod", Since: now}}
		if f, err := r.b.Acknowledge(id, Ack{By: "ann"}); err != nil || f.Ack == nil {
			t.Errorf("%s: %+v, %v", want, f.Ack, err)
		}
		if _, still := k.acks[want]; still || len(k.acks) != maxKept {
			t.Errorf("%s did not make room; %d are known", want, len(k.acks))
		}
	}
	_, err = r.b.Acknowledge("one more", Ack{By: "ann"})
	refused("one more than there is room for", err)
	delete(k.silences, fmt.Sprint("s", maxKept-1))
	if s, err := r.b.Silence(silence); err != nil || k.silences[s.ID].v.Service != "cart" {
		t.Errorf("a silence: %v", err)
	}
	silence.Service = "search"
	delete(k.silences, fmt.Sprint("s", maxKept-2))
	k.silences["filled"] = stamped[Silence]{Silence{ID: "filled", Over: true}, now, time.Time{}}
	if s, err := r.b.Silence(silence); err != nil || k.silences[s.ID].v.Service != "search" || len(k.silences) != maxKept {
		t.Errorf("a silence for one that is over: %v, %d are known", err, len(k.silences))
	}
	if len(topic) != 5 {
		t.Errorf("others are told of %d things, want 5", len(topic))
	}
}

// A verdict on a canary is told as it turns, once: a restart finds it under its id, though it is judged anew with other figures, and it ends with its canary.
func TestVerdictsAreToldOnce(t *testing.T) {
	var topic []Note
	verdict := func(id, level, is string, since float64, title string) Finding {
		f := found(id, MetricCanary, since)
		f.Level, f.Title, f.Was, f.Is, f.Canary = level, title, 0, 0, &CanaryTold{Version: "1.42.0", Baseline: "1.41.3", Verdict: is}
		return f
	}
	both := func(r *replica, s int, versions ...string) {
		for i, v := range versions {
			x := r.record(fmt.Sprintf("10.0.0.%d:80", i), float64(s), counter("requests", 1))
			x.Tags = []collector.LabelPair{{Name: TagVersion, Value: v}}
			r.b.Add(x)
		}
		r.tick(float64(s))
	}
	a := newReplica(t, &topic, nil)
	a.judged = []Finding{verdict("c1", LevelInfo, "pass", 1, "canary 1.42.0 passes")}
	both(a, 10, "1.41.3", "1.42.0")
	a.judged = []Finding{verdict("c1", LevelBad, "fail", 12, "canary 1.42.0 fails: 3 %")}
	for s := 12; s < 60; s++ {
		both(a, s, "1.41.3", "1.42.0")
	}
	told := func() string {
		var out []string
		for _, n := range topic {
			out = append(out, fmt.Sprintf("%s %s %s %v", n.ID, n.Finding.Level, n.Finding.Canary.Verdict, n.Finding.Ended != nil))
		}
		return strings.Join(out, ", ")
	}
	want := "c1 info pass false, c1 bad fail false"
	if told() != want {
		t.Errorf("told: %s", told())
	}
	if n := a.b.Now("prod"); len(n.Findings) != 1 || n.Findings[0].ID != "c1" || len(n.Rows) != 1 || n.Rows[0].Trouble != 0 {
		t.Errorf("the page has %+v", n.Findings)
	}
	b := newReplica(t, &topic, nil)
	for s := 60; s < 90; s++ { // nothing is decided yet
		both(b, s, "1.41.3", "1.42.0")
	}
	b.want("before anything is judged", "c1+")
	b.judged = []Finding{verdict("c1", LevelInfo, "pass", 65, "canary 1.42.0 passes")}
	both(b, 90, "1.41.3", "1.42.0")
	b.judged = []Finding{verdict("c1", LevelBad, "fail", 70, "canary 1.42.0 fails: 4 %")}
	for s := 91; s < 120; s++ {
		both(b, s, "1.41.3", "1.42.0")
	}
	b.want("judged again", "c1+")
	if told() != want {
		t.Errorf("told after a restart: %s", told())
	}
	b.judged = nil
	both(b, 120, "1.41.3", "1.41.3")
	b.want("taken back", "c1-")
	if told() != want+", c1 bad fail true" {
		t.Errorf("told at the end: %s", told())
	}
	c := newReplica(t, &topic, nil)
	c.b.Note(Note{V: 1, Kind: NoteFinding, ID: "c9", TS: t0.UnixMilli() + 121_000, Finding: func() *Finding { f := verdict("c9", LevelBad, "fail", 121, "x"); return &f }()})
	for s := 130; s < 150; s++ {
		both(c, s, "1.41.3", "1.41.3")
	}
	if !strings.Contains(c.list(), "c9-") {
		t.Errorf("one whose canary went while nobody was there: %s", c.list())
	}
}

// The events of as many services are known as there may be; those that are long quiet make room.
func TestEventsElsewhereAreBounded(t *testing.T) {
	var o elsewhere
	tell := func(service string, at int64) {
		o.hear(&Rollup{Service: service, T: at, Step: 10_000, Events: []Event{{T: at}}}, 2)
	}
	tell("a", 1)
	tell("b", 1)
	tell("c", 2)
	if len(o.told) != 2 {
		t.Errorf("%d services, want 2", len(o.told))
	}
	tell("d", 1+2*toldElsewhere.Milliseconds())
	if len(o.told) != 1 {
		t.Errorf("%d services, want the one that is not quiet", len(o.told))
	}
}
