package dashboards

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Note is a record of the topic rollcall.findings: what one `serve` tells all others, and itself after a restart. It holds the state of one thing as of TS; of
// several of one kind and id the newest counts.
type Note struct {
	V    int    `json:"v"`
	Kind string `json:"kind"`
	ID   string `json:"id"`
	TS   int64  `json:"ts"` // Unix ms
	From string `json:"from,omitempty"`

	Finding *Finding   `json:"finding,omitempty"`
	Ack     *Ack       `json:"ack,omitempty"`
	Silence *Silence   `json:"silence,omitempty"`
	Event   *ToldEvent `json:"event,omitempty"`
	Alert   *Alert     `json:"alert,omitempty"`
}

// The kinds of notes.
const (
	NoteFinding = "finding"
	NoteAck     = "ack" // of the finding of that id
	NoteSilence = "silence"
	NoteEvent   = "event"
	NoteAlert   = "alert" // of a rule that people have written
)

// Ack says that somebody looks after a finding: it stays, and is quiet.
type Ack struct {
	By   string `json:"by"`
	Why  string `json:"why,omitempty"`
	At   int64  `json:"at"`             // Unix ms
	Over bool   `json:"over,omitempty"` // it was taken back
}

// Silence makes the findings of a service quiet for a while, and, where it names no metric, the alerts of rules about it: they stay visible, and call nobody.
type Silence struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	Env     string `json:"env,omitempty"`    // empty: every one
	Metric  string `json:"metric,omitempty"` // empty: every one
	Place   string `json:"place,omitempty"`  // only what a finding about this place tells (Finding.Place), of whatever services; empty: every one of the service
	By      string `json:"by"`
	Why     string `json:"why"`
	At      int64  `json:"at"`             // Unix ms
	Until   int64  `json:"until"`          // Unix ms
	Over    bool   `json:"over,omitempty"` // ended before its time
}

// Covers reports whether the silence is about a finding, now. One about a place says nothing of what else is wrong with the services there.
func (s *Silence) Covers(f *Finding, now int64) bool {
	if s.Over || now < s.At || now >= s.Until || s.Env != "" && s.Env != f.Env {
		return false
	}
	if s.Place != "" {
		return s.Place == f.Place
	}
	return (s.Metric == "" || s.Metric == f.Metric) && (s.Service == f.Service || contains(f.Services, s.Service))
}

// CoversAlert reports whether the silence is about an alert of a rule, now: by the labels job and env that it has.
func (s *Silence) CoversAlert(a *Alert, now int64) bool {
	return !s.Over && now >= s.At && now < s.Until && s.Metric == "" && s.Place == "" && (s.Env == "" || s.Env == a.Labels["env"]) && s.Service == a.Labels["job"]
}

func contains(all []string, s string) bool {
	for _, x := range all {
		if x == s {
			return true
		}
	}
	return false
}

// ToldEvent is something that people, or their tools, say has happened to a service.
type ToldEvent struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"` // deploy, flag, config or note
	Service string `json:"service"`
	Env     string `json:"env,omitempty"` // empty: every one
	Text    string `json:"text"`
	Old     string `json:"old,omitempty"`
	New     string `json:"new,omitempty"`
	Who     string `json:"who"`
	At      int64  `json:"at"` // Unix ms
}

// Bounds of what people say.
const (
	MaxWords      = 1000 // bytes of a text
	MaxName       = 256  // bytes of a name
	MaxSilence    = 7 * 24 * time.Hour
	maxNote       = 256 << 10
	maxNoteEvents = 100
)

// Check gives every reason why the event cannot be taken.
func (e *ToldEvent) Check(now time.Time) error {
	var errs []error
	switch e.Kind {
	case EventDeploy, EventFlag, EventConfig, EventRemark:
	default:
		errs = append(errs, fmt.Errorf("kind %q is not deploy, flag, config or note", e.Kind))
	}
	errs = append(errs, named("service", e.Service, true), named("env", e.Env, false), seen("text", e.Text, MaxWords), seen("old", e.Old, MaxName), seen("new", e.New, MaxName), who("who", e.Who))
	if strings.TrimSpace(e.Text) == "" && e.New == "" {
		errs = append(errs, errors.New("say what has happened: text, or old and new"))
	}
	if at := time.UnixMilli(e.At); e.At != 0 && (at.After(now.Add(5*time.Minute)) || now.Sub(at) > eventsFor) {
		errs = append(errs, fmt.Errorf("at is %s; give a time within the last %s", at.UTC().Format(time.RFC3339), eventsFor))
	}
	return errors.Join(errs...)
}

func (s *Silence) validate(now time.Time) error {
	errs := []error{named("service", s.Service, true), named("env", s.Env, false), named("metric", s.Metric, false), worded("place", s.Place, MaxWords), who("by", s.By), seen("why", s.Why, MaxWords)}
	if strings.TrimSpace(s.Why) == "" {
		errs = append(errs, errors.New("say why, for those who wonder"))
	}
	switch until := time.UnixMilli(s.Until); {
	case !until.After(now):
		errs = append(errs, errors.New("it would be over already; give a time to come"))
	case until.Sub(now) > MaxSilence:
		errs = append(errs, fmt.Errorf("a silence lasts at most %s; give it again then", MaxSilence))
	}
	return errors.Join(errs...)
}

func named(what, s string, needed bool) error {
	if needed && strings.TrimSpace(s) == "" {
		return fmt.Errorf("%s is missing", what)
	}
	return worded(what, s, MaxName)
}

// who is who says something: a name that people can see, and that looks like no other.
func who(what, s string) error {
	if err := named(what, s, true); err != nil {
		return err
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Cf, r) }) {
		return fmt.Errorf("%s holds signs that nobody sees", what)
	}
	if !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && !strings.ContainsRune(blank, r)
	}) {
		return fmt.Errorf("%s shows nothing", what)
	}
	return nil
}

// blank is what counts as letters and signs, and shows nothing.
const blank = "\u115f\u1160\u2800\u3164\uffa0"

// seen is a text of people that reads as it is written: nothing turns it around or hides in it, but for what joins letters.
func seen(what, s string, most int) error {
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' }) {
		return fmt.Errorf("%s holds signs that nobody sees", what)
	}
	return worded(what, s, most)
}

func worded(what, s string, most int) error {
	switch {
	case len(s) > most:
		return fmt.Errorf("%s is longer than %d bytes", what, most)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%s holds what is no text", what)
	}
	return nil
}

// Append appends the note as JSON.
func (n *Note) Append(dst []byte) []byte {
	b, err := json.Marshal(n)
	if err != nil { // texts and figures only
		return dst
	}
	return append(dst, b...)
}

// ParseNote reads a record of the topic. Of a version or kind that is not known the error says so; fields that are not known are passed over.
func ParseNote(b []byte) (n Note, err error) {
	if len(b) > maxNote {
		return n, fmt.Errorf("read note: %d bytes are more than a note has", len(b))
	}
	if err := json.Unmarshal(b, &n); err != nil {
		return n, fmt.Errorf("read note: %w", err)
	}
	whole := n.ID != "" && n.TS > 0
	switch n.Kind {
	case NoteFinding:
		whole = whole && n.Finding != nil && n.Finding.ID == n.ID && len(n.Finding.Events) <= maxNoteEvents && len(n.Finding.Where) <= maxNoteEvents
	case NoteAck:
		whole = whole && n.Ack != nil
	case NoteSilence:
		whole = whole && n.Silence != nil && n.Silence.ID == n.ID
	case NoteEvent:
		whole = whole && n.Event != nil && n.Event.ID == n.ID
	case NoteAlert:
		whole = whole && n.Alert != nil && n.Alert.ID == n.ID
	default:
		return n, fmt.Errorf("read note: kind %q is not known here", n.Kind[:min(len(n.Kind), 40)])
	}
	if n.V != 1 || !whole {
		return n, fmt.Errorf("read note: a %s of version %d that is not whole", n.Kind, n.V)
	}
	if err := n.check(time.Now()); err != nil {
		return n, fmt.Errorf("read note: a %s that nobody of ours can have told: %w", n.Kind, err)
	}
	return n, nil
}

// ahead is by how much the clock of whoever told may be before ours.
const ahead = time.Hour

// check holds a note from the topic to what those are held to who tell one: whoever may write there is no more trusted than they are.
func (n *Note) check(now time.Time) error {
	told := time.UnixMilli(n.TS)
	past := func(what string, ms int64) error {
		if ms < 0 || ms > now.Add(ahead).UnixMilli() || ms > told.Add(ahead).UnixMilli() {
			return fmt.Errorf("%s is %d, which is yet to come, or no time", what, ms)
		}
		return nil
	}
	errs := []error{worded("id", n.ID, MaxName), past("ts", n.TS)}
	switch n.Kind {
	case NoteFinding:
		f := n.Finding
		if f.Level != LevelBad && f.Level != LevelWarn && f.Level != LevelInfo {
			errs = append(errs, fmt.Errorf("level %q is none of %s, %s and %s", f.Level[:min(len(f.Level), 40)], LevelBad, LevelWarn, LevelInfo))
		}
		if c := f.Canary; c != nil {
			errs = append(errs, c.check(past))
		}
		errs = append(errs, past("recovered", f.Recovered))
		if f.Closes < 0 || f.Closes > now.Add(24*time.Hour).UnixMilli() {
			errs = append(errs, fmt.Errorf("closes is %d, which is no time of the next day", f.Closes))
		}
		errs = append(errs, named("service", f.Service, true), named("env", f.Env, false), named("metric", f.Metric, false), worded("place", f.Place, MaxWords), past("since", f.Since), worded("owner", f.Owner, MaxWords), worded("chat", f.Chat, MaxWords))
		if f.Runbook != "" && !WebAddress(f.Runbook) {
			errs = append(errs, errors.New("the runbook is no web address"))
		}
		for _, w := range f.Where {
			errs = append(errs, worded("where", w, MaxWords))
		}
		for _, signals := range f.Signals {
			for _, signal := range signals {
				errs = append(errs, named("signal", signal, true))
			}
		}
		if f.Ended != nil {
			errs = append(errs, past("ended", *f.Ended))
		}
	case NoteAck:
		errs = append(errs, named("by", n.Ack.By, false), worded("why", n.Ack.Why, MaxWords), past("at", n.Ack.At))
	case NoteSilence:
		s := n.Silence
		errs = append(errs, named("service", s.Service, true), named("env", s.Env, false), named("metric", s.Metric, false), worded("place", s.Place, MaxWords), named("by", s.By, false), worded("why", s.Why, MaxWords), past("at", s.At))
		if s.Until < 0 || s.Until > told.Add(MaxSilence+ahead).UnixMilli() {
			errs = append(errs, fmt.Errorf("it lasts longer than %s", MaxSilence))
		}
	case NoteEvent:
		e := *n.Event
		if e.Kind != EventDeploy && e.Kind != EventFlag && e.Kind != EventConfig && e.Kind != EventRemark {
			errs = append(errs, fmt.Errorf("kind %q is not deploy, flag, config or note", e.Kind[:min(len(e.Kind), 40)]))
		}
		errs = append(errs, named("service", e.Service, true), named("env", e.Env, false), worded("text", e.Text, MaxWords), worded("old", e.Old, MaxName), worded("new", e.New, MaxName), named("who", e.Who, false), past("at", e.At))
	case NoteAlert:
		errs = append(errs, n.Alert.check(past))
	}
	return errors.Join(errs...)
}

// Key is the record's key: what is known of one thing stands in one partition, in its order.
func (n *Note) Key() string {
	if n.Kind == NoteAck {
		return "ack/" + n.ID
	}
	return n.ID
}
