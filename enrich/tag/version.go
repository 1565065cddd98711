package tag

import (
	"cmp"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// source says who told a version or a track. Smaller ones win.
type source uint8

const (
	nobody       source = iota
	byMetadata          // the member's registration
	byLabels            // a label of the application's statistics (Ostrich's `labels`, texts at the top of a JSON body)
	byServerInfo        // /server_info, /admin/server_info
	byBuildInfo         // a label of a *_build_info or target_info series
	byExpvar            // a text inside an expvar body or another nested one
	byInference         // Tracks
)

var sourceNames = [...]string{"", "metadata", "labels", "server_info", "build_info", "expvar", "inferred"}

func (s source) String() string { return sourceNames[s] }

// said is a version or track and who told it.
type said struct {
	text   string
	source source
}

// versionNames are the names under which applications tell their version, better ones first: a version says more than a revision. They are compared in lower
// case, with every separator as _, over the last two parts of a nested name.
var versionNames = []string{"service_version", "version", "app_version", "appversion", "application_version", "build_version", "buildversion", "info_version", "project_version",
	"release_version", "release", "build_tag", "git_tag", "git_describe", "revision", "build_revision", "git_revision", "git_sha", "gitsha", "git_commit", "gitcommit",
	"commit_id", "commit", "git_hash", "build_git_sha", "build_commit", "build_sha", "sha", "build_number", "build_id", "build"}

var trackNames = []string{"rollcall_track", "track", "deployment_track", "release_track"}

func ranks(first, known []string) map[string]int {
	m := map[string]int{}
	for _, n := range append(append([]string(nil), first...), known...) {
		n = string(normalise(nil, n))
		if _, ok := m[n]; !ok && n != "" {
			m[n] = len(m)
		}
	}
	return m
}

// normalise appends the last two parts of a name in lower case with _ between; nothing for a name too long to be one of ours.
func normalise(b []byte, name string) []byte {
	if i := strings.LastIndexByte(name, '/'); i > 0 {
		if j := strings.LastIndexByte(name[:i], '/'); j >= 0 {
			name = name[j+1:]
		}
	}
	if len(name) > 48 {
		return b
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'A' && c <= 'Z':
			b = append(b, c+'a'-'A')
		case c == '.' || c == '-' || c == '/' || c == ' ' || c == ':':
			b = append(b, '_')
		default:
			b = append(b, c)
		}
	}
	return b
}

// found is the best that was found so far.
type found struct {
	said
	rank int
}

func (f *found) offer(text string, src source, rank int) {
	if f.source == nobody || src < f.source || src == f.source && rank < f.rank {
		f.said, f.rank = said{text, src}, rank
	}
}

// teller looks for versions and tracks in one snapshot.
type teller struct {
	c              *compiled
	service        string
	version, track found
	texts          [2]found // of the top of the body: labels, unless the body turns out to be expvar's
	told           source
	started        time.Time
}

// offer takes a name and a text from somewhere; base ranks the place among those of the same source.
func (t *teller) offer(name, text string, src source, base int) {
	version, track := &t.version, &t.track
	if src == byLabels {
		version, track = &t.texts[0], &t.texts[1]
	}
	var buf [48]byte
	n := normalise(buf[:0], name)
	if r, ok := t.c.versions[string(n)]; ok {
		if v := plausible(text); v != "" {
			version.offer(v, src, base+r)
		}
	}
	if r, ok := t.c.trackNames[string(n)]; ok {
		if v := trackOf(text); v != "" {
			track.offer(v, src, base+r)
		}
	}
}

// read finds out what the snapshot says of version, track and start of the process, but for its samples: those that tells are to be given to the teller,
// and then told. What the registration says is known of failed scrapes, too; what the application said last stands until its next good scrape, so that a
// failing version is still told apart. Without a teller nobody needs to be asked.
func (e *Enricher) read(c *compiled, st *state, s *collector.Snapshot) (t teller, ask bool) {
	if m := (registration{s.Instance.Tags, s.Tags}); m != st.meta.of || st.meta.generation != c.generation {
		st.meta = c.registered(m)
	}
	st.version, st.track = standing(st.version, st.meta.version), standing(st.track, st.meta.track)
	if s.Outcome != collector.OK || st.meta.version.text != "" && st.meta.track.text != "" {
		return t, false
	}
	t = teller{c: c, service: s.Instance.Service, told: byLabels}
	for n, v := range s.Info.All() {
		t.offer(n, v, byServerInfo, 0)
	}
	return t, true
}

// told takes what the teller has found.
func (st *state) told(t *teller) {
	t.end()
	if st.meta.version.text == "" {
		st.version = t.version.own(st.version)
	}
	if st.meta.track.text == "" {
		st.track = t.track.own(st.track)
	}
	st.started = t.started
}

// standing is what is registered, or what was told before by another than the registration.
func standing(was, registered said) said {
	if registered.text != "" {
		return registered
	}
	if was.source == byMetadata {
		return said{}
	}
	return was
}

// own is what was found, as a text that outlives the snapshot.
func (f *found) own(was said) said {
	if f.said == was {
		return was
	}
	return said{strings.Clone(f.text), f.source}
}

// tells reports whether a sample may say something of a version, a track or a start. On most that is one comparison.
func tells(s *collector.Sample) bool {
	n := s.Name
	switch {
	case s.Kind == collector.Label:
		return true
	case len(s.Labels) > 0:
		return strings.HasSuffix(n, "build_info") || n == "target_info"
	case len(n) < 10:
		return false
	case n[0] == 'm':
		return n[:9] == "memstats/"
	}
	return n[0] == 'p' && n == processStart || n[0] == 'j' && (n == "jvm_start_time" || n == "jvm/start_time" || n == "jvm_uptime" || n == "jvm/uptime")
}

const processStart = "process_start_time_seconds"

// samples looks at every sample.
func (t *teller) samples(s *collector.Snapshot) {
	for i := range s.Samples {
		if tells(&s.Samples[i]) {
			t.sample(&s.Samples[i], s.Time)
		}
	}
}

// sample takes what one of those that tells has to say.
func (t *teller) sample(s *collector.Sample, now time.Time) {
	switch {
	case s.Kind == collector.Label:
		src := byLabels
		if strings.IndexByte(s.Name, '/') >= 0 {
			src = byExpvar
		}
		t.offer(s.Name, s.Value, src, 0)
	case len(s.Labels) > 0:
		t.buildInfo(s)
	case s.Name[0] == 'm':
		t.told = byExpvar // every expvar body has it: its texts are not Ostrich's labels
	default:
		t.start(s, now)
	}
}

// end weighs what the texts at the top of the body said: only now it is known whose they are.
func (t *teller) end() {
	for n, f := range []*found{&t.version, &t.track} {
		if x := t.texts[n]; x.text != "" {
			f.offer(x.text, t.told, x.rank)
		}
	}
}

// buildInfo takes the labels of an info series. A program may hold several, of its libraries and agents: the one that is called like the service is best.
func (t *teller) buildInfo(s *collector.Sample) {
	prefix := strings.TrimSuffix(strings.TrimSuffix(s.Name, "build_info"), "_")
	base := 1000
	switch {
	case prefix == "jmx_exporter" || prefix == "jmx_prometheus_javaagent":
		return // an agent inside somebody else's program
	case prefix != "" && sameName(prefix, t.service):
		base = 0
	case prefix == "go":
		base = 3000
	case strings.HasSuffix(prefix, "_exporter"):
		base = 2000
	}
	for _, l := range s.Labels {
		t.offer(l.Name, l.Value, byBuildInfo, base)
	}
}

// sameName compares a metric's prefix with a service's name, in which there may be other separators.
func sameName(prefix, service string) bool {
	var a, b [48]byte
	p, s := normalise(a[:0], prefix), normalise(b[:0], service)
	return len(s) > 0 && string(p) == string(s)
}

// start takes when the process began, from the series that tell it.
func (t *teller) start(s *collector.Sample, now time.Time) {
	var at time.Time
	switch s.Name {
	case processStart:
		f, err := s.Float()
		if err != nil || !(f > 0 && f < math.MaxInt32*4) {
			return
		}
		at = time.Unix(int64(f), 0)
	case "jvm_start_time", "jvm/start_time":
		f, err := s.Float()
		if err != nil || !(f > 0 && f < math.MaxInt32*4e3) {
			return
		}
		at = time.UnixMilli(int64(f))
	case "jvm_uptime", "jvm/uptime":
		f, err := s.Float()
		if err != nil || !(f >= 0 && f < 1e12) {
			return
		}
		at = now.Add(-time.Duration(f) * time.Millisecond)
	default:
		return
	}
	if !at.After(now) {
		t.started = at
	}
}

// plausible is a text that may be a version, trimmed; empty for what builds leave behind when nobody filled the version in.
func plausible(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 128 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	switch strings.ToLower(s) {
	case "unknown", "(devel)", "devel", "dev", "none", "null", "nil", "n/a", "undefined", "unspecified", "unset", "-", "?":
		return ""
	}
	if strings.HasPrefix(s, "${") || strings.HasPrefix(s, "@") && strings.HasSuffix(s, "@") || strings.HasPrefix(s, "{{") {
		return ""
	}
	return s
}

// trackOf is one of our words for a track, or empty.
func trackOf(s string) string {
	for _, t := range []string{"canary", "baseline", "production"} {
		if strings.EqualFold(strings.TrimSpace(s), t) {
			return t
		}
	}
	if strings.EqualFold(strings.TrimSpace(s), "prod") || strings.EqualFold(strings.TrimSpace(s), "stable") {
		return "production"
	}
	return ""
}

type registration struct{ own, all discovery.Tags }

// registered is what a registration says, remembered until it changes.
type registered struct {
	of             registration
	generation     uint64
	version, track said
}

func (c *compiled) registered(of registration) registered {
	r := registered{of: of, generation: c.generation}
	t := teller{c: c}
	for i, tags := range []discovery.Tags{of.own, of.all} {
		for n, v := range tags.All() {
			switch n {
			case Version:
				t.version.offer(v, byMetadata, -1+1000*i)
			case Track:
				t.track.offer(cmp.Or(trackOf(v), v), byMetadata, -1+1000*i)
			default:
				t.offer(n, v, byMetadata, 1000*i)
			}
		}
	}
	r.version, r.track = t.version.said, t.track.said
	return r
}
