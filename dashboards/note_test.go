package dashboards

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNoteBothWays(t *testing.T) {
	f := found("f1", "errors", 0)
	f.Before = []Change{{T: 1, Kind: EventDeploy, Service: "cart", Text: "x", Score: 3}}
	for _, n := range []Note{
		{V: 1, Kind: NoteFinding, ID: "f1", TS: f.Since + 5, Finding: &f},
		{V: 1, Kind: NoteAck, ID: "f1", TS: 5, Ack: &Ack{By: "ann", At: 4}},
		{V: 1, Kind: NoteSilence, ID: "s1", TS: 5, Silence: &Silence{ID: "s1", Service: "a", By: "b", Why: "c", At: 1, Until: 2}},
		{V: 1, Kind: NoteEvent, ID: "e1", TS: 5, Event: &ToldEvent{ID: "e1", Kind: "flag", Service: "a", Text: "x", Who: "ann", At: 3}},
	} {
		got, err := ParseNote(n.Append(nil))
		if err != nil || !cmp.Equal(got, n) {
			t.Errorf("%+v, %v: %s", got, err, cmp.Diff(n, got))
		}
	}
	for _, bad := range []string{"", "{}", `{"v":1,"kind":"x","id":"1","ts":1}`, `{"v":1,"kind":"ack","id":"1","ts":1}`, `{"v":2,"kind":"ack","id":"1","ts":1,"ack":{}}`, `{"v":1,"kind":"silence","id":"1","ts":1,"silence":{"id":"2"}}`} {
		if _, err := ParseNote([]byte(bad)); err == nil {
			t.Errorf("%s is a note", bad)
		}
	}
}

// Whoever may write to the topic is held to what our own API holds people to: one note must not stop alerts for all, silence for years, or reach a terminal.
func TestForgedNotes(t *testing.T) {
	now := time.Now().UnixMilli()
	never := int64(math.MaxInt64)
	good := found("f1", "errors", 0)
	forge := func(change func(f *Finding)) Note {
		f := good
		f.Since = now
		change(&f)
		return Note{V: 1, Kind: NoteFinding, ID: f.ID, TS: now, Finding: &f}
	}
	silence := func(change func(s *Silence)) Note {
		s := Silence{ID: "s1", Service: "a", By: "b", Why: "c", At: now, Until: now + 1000}
		change(&s)
		return Note{V: 1, Kind: NoteSilence, ID: s.ID, TS: now, Silence: &s}
	}
	event := func(change func(e *ToldEvent)) Note {
		e := ToldEvent{ID: "e1", Kind: EventFlag, Service: "a", Text: "x", Who: "ann", At: now}
		change(&e)
		return Note{V: 1, Kind: NoteEvent, ID: e.ID, TS: now, Event: &e}
	}
	for name, n := range map[string]Note{
		"a finding":    forge(func(*Finding) {}),
		"a silence":    silence(func(*Silence) {}),
		"an event":     event(func(*ToldEvent) {}),
		"another hour": forge(func(f *Finding) { f.Since = now + 30*60*1000 }),
	} {
		if _, err := ParseNote(n.Append(nil)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, n := range map[string]Note{
		"ended never":     forge(func(f *Finding) { f.Ended = &never }),
		"began never":     forge(func(f *Finding) { f.Since = never }),
		"a level":         forge(func(f *Finding) { f.Level = "\x1b]0;x\a" }),
		"an id":           forge(func(f *Finding) { f.ID = "\x1b[2J" }),
		"a service":       forge(func(f *Finding) { f.Service = strings.Repeat("x", MaxName+1) }),
		"a line":          forge(func(f *Finding) { f.Signals = map[string][]string{"checkout": {"\x1b[2J"}} }),
		"95 years":        silence(func(s *Silence) { s.Until = now + 95*365*24*3600*1000 }),
		"for good":        silence(func(s *Silence) { s.Until = never }),
		"of nobody":       silence(func(s *Silence) { s.Service = "" }),
		"a kind":          event(func(e *ToldEvent) { e.Kind = "\x1b[2J" }),
		"a long text":     event(func(e *ToldEvent) { e.Text = strings.Repeat("x", 200<<10) }),
		"yet to come":     event(func(e *ToldEvent) { e.At = never }),
		"told in 2099":    {V: 1, Kind: NoteAck, ID: "f1", TS: 4070908800000, Ack: &Ack{By: "ann"}},
		"an ack of lines": {V: 1, Kind: NoteAck, ID: "f1", TS: now, Ack: &Ack{By: "a\nb"}},
	} {
		if _, err := ParseNote(n.Append(nil)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzParseNote(f *testing.F) {
	fd := found("f1", "errors", 0)
	for _, n := range []Note{{V: 1, Kind: NoteFinding, ID: "f1", TS: fd.Since + 5, Finding: &fd}, {V: 1, Kind: NoteAck, ID: "f1", TS: 5, Ack: &Ack{By: "ann"}}, {V: 1, Kind: NoteSilence, ID: "s1", TS: 5, Silence: &Silence{ID: "s1", Service: "checkout"}},
		{V: 1, Kind: NoteEvent, ID: "e1", TS: 5, Event: &ToldEvent{ID: "e1", Kind: "flag", At: 5}}} {
		f.Add(n.Append(nil))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		n, err := ParseNote(in)
		if err != nil {
			return
		}
		b, err := NewBoard(Options{})
		if err != nil {
			t.Fatal(err)
		}
		b.SetFeed(Feed{State: FeedLive})
		b.Note(n)
		b.Tick(t0)
		b.Tick(t0.Add(time.Second))
		b.Timeline("", "", time.UnixMilli(0), t0.Add(time.Hour))
		if again, err := ParseNote(n.Append(nil)); err != nil || again.ID != n.ID {
			t.Errorf("%s comes back as %+v, %v", in, again, err)
		}
	})
}
