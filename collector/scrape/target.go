package scrape

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/stats"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// Target is one instance and how to pull it. All targets of a job share one *Job.
type Target struct {
	discovery.Instance
	Job *Job
	// Every takes the place of the job's interval, for a while in which the target is looked at closely; 0: the job's. The timeout is then at most nine tenths
	// of it, as no target is pulled twice at once.
	Every time.Duration
	// Handed says that another collector pulled it until now: if it is new to the pool, it begins with its next slot, and never at once.
	Handed bool
}

// TargetKey names one target of a pool: an instance, and the job that pulls it.
type TargetKey struct {
	discovery.Key
	Job string // its Name
}

// TargetKey is the target's name in a pool. It has a Job.
func (t *Target) TargetKey() TargetKey { return TargetKey{t.Key, t.Job.Name} }

// spec is everything about a target that only changes when discovery or the configuration does. It is never changed, only replaced.
type spec struct {
	discovery.Instance
	job      *Job
	run      *jobRun
	tags     discovery.Tags
	scheme   string
	host     string // to dial: the instance's own, unless a rule of ours names another
	port     uint16
	path     string // with its query
	period   string // where the distributions of the last period are; "" where they are not asked for
	minute   string // the same for the least period of Ostrich's
	secure   bool
	every    time.Duration // Target.Every
	interval time.Duration
	timeout  time.Duration
	handed   bool
	bad      string // why it cannot be pulled at all, or ""
	link     linkKey
}

// linkKey is what an open connection depends on: it is closed when any of it changes.
type linkKey struct {
	addr, scheme, allow string
	job                 *Job // where TLS, a proxy or HTTP/2 are in play, their settings
}

// newSpec puts a target's attributes and its job's defaults together.
func newSpec(t *Target, run *jobRun, external map[string]string) *spec {
	j := t.Job
	s := &spec{Instance: t.Instance, job: j, run: run, handed: t.Handed, every: t.Every, interval: j.interval(), timeout: j.timeout(),
		scheme: cmp.Or(t.Scheme, j.Scheme, "http"), host: cmp.Or(t.StatsHost, t.Host), port: cmp.Or(t.StatsPort, t.Port)}
	s.secure = s.scheme == "https"
	if t.Every > 0 {
		s.interval, s.timeout = t.Every, min(s.timeout, t.Every*9/10)
	}
	if len(external) > 0 { // the instance's own tags win over the global ones
		missing := map[string]string{}
		for n, v := range external {
			if t.Tags.Get(n) == "" {
				missing[n] = v
			}
		}
		s.tags = t.Tags.With(missing)
	} else {
		s.tags = t.Tags
	}
	path := cmp.Or(t.StatsPath, j.MetricsPath, defaultPath)
	if err := checkPath(path); err != nil { // a member's data is anybody's word
		s.bad = fmt.Sprintf("stats path %.60q of the member: %v", path, err)
	}
	if s.scheme != "http" && s.scheme != "https" {
		s.bad = fmt.Sprintf("scheme %.20q of the member is neither http nor https", s.scheme)
	}
	if t.Scheme == "http" && j.Scheme == "https" && !t.RuledScheme { // nor may it have the job's credentials sent in clear
		s.bad = "the member asks for http where its job says https; only a rule of the job may lower that"
	}
	if !isHost(s.host) {
		s.bad = fmt.Sprintf("host %.60q of the member is neither an address nor a name", s.host)
	}
	if s.bad == "" {
		params := j.Params
		if strings.Contains(t.StatsPath, "?") { // its query takes the place of the job's
			params = nil
		}
		s.path = requestPath(path, params)
		if s.period = periodPath(s.path, j.OstrichPeriod); s.period != "" {
			s.minute = periodPath(s.path, leastPeriod)
		}
	}
	s.link = linkKey{addr: s.ScrapeAddr(), scheme: s.scheme, allow: run.allowed}
	if s.secure || j.netHTTP() {
		s.link.job = j
	}
	return s
}

// url is where the target is pulled from.
func (s *spec) url() string { return s.scheme + "://" + s.ScrapeAddr() + s.path }

// isHost accepts what may stand in a Host header: addresses and names, no blanks, no control characters, nothing that ends a header.
func isHost(h string) bool {
	if _, err := netip.ParseAddr(h); err == nil {
		return true
	}
	for i := range len(h) {
		c := h[i]
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return h != "" && len(h) <= 253
}

// requestPath is path, which checkPath took, with params added to its query, escaped as a request line wants it.
func requestPath(path string, params url.Values) string {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return "/"
	}
	if len(params) > 0 {
		q := u.Query()
		for n, vs := range params {
			q[n] = vs
		}
		u.RawQuery = q.Encode()
	}
	// Without a host, RequestURI would write a path that begins with two slashes as it is, and a server might take the second for the start of a host.
	p := u.EscapedPath()
	if strings.HasPrefix(p, "//") {
		p = "/." + p
	}
	if u.RawQuery != "" {
		p += "?" + strings.NewReplacer(" ", "%20", "\t", "%09").Replace(u.RawQuery)
	}
	return p
}

// head is the request, whole.
func (s *spec) head(path string, c credentials, agent, encodings string) []byte {
	b := make([]byte, 0, 320+len(path)+len(c.auth)+len(c.more))
	b = append(b, "GET "...)
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, s.hostHeader()...)
	b = append(b, "\r\nUser-Agent: "...)
	b = append(b, agent...)
	b = append(b, "\r\nAccept: "...)
	b = append(b, s.job.accept()...)
	if !s.job.DisableCompression {
		b = append(append(b, "\r\nAccept-Encoding: "...), encodings...)
	}
	b = append(b, "\r\nX-Prometheus-Scrape-Timeout-Seconds: "...)
	b = strconv.AppendFloat(b, s.timeout.Seconds(), 'f', -1, 64)
	if c.auth != "" {
		b = append(append(b, "\r\nAuthorization: "...), c.auth...)
	}
	b = append(b, c.more...)
	return append(b, "\r\n\r\n"...)
}

func (s *spec) hostHeader() string {
	if s.port == 80 && !s.secure || s.port == 443 && s.secure {
		if strings.Contains(s.host, ":") {
			return "[" + s.host + "]"
		}
		return s.host
	}
	return s.ScrapeAddr()
}

// target is one instance in the pool.
type target struct {
	key   TargetKey
	phase time.Duration // of its slots in every interval, by hash
	spec  atomic.Pointer[spec]

	// The scheduler's, under the pool's lock.
	due     time.Time
	at      int32  // in the heap, -1 outside
	running bool   // a worker has it
	queued  bool   // it waits for a worker
	gone    bool   // not in the set any more
	last    bool   // it is to be pulled a last time
	lasting bool   // it is pulled a last time now
	retired bool   // Config.Retired is to hear of its end
	wanted  slot   // that it waits for, or is pulled for
	place   uint64 // in the line of those who wait: smaller ones came before
	started time.Time
	counted int     // where Outcomes counts it
	bad     badness // of its last pull
	was     badness // of the one before, while it is pulled
	missed  []miss  // slots that were skipped and not told yet

	// The worker's that runs it. conn and stop also under mu, for abort.
	mu      sync.Mutex
	conn    net.Conn
	stop    func() // ends what is under way
	aborted bool
	leaves  bool // it is not in the set any more: nobody waits for a snapshot that is not good

	link     linkKey         // of conn
	raw      syscall.RawConn // of conn, if it has one
	opened   time.Time
	request  []byte
	reqSpec  *spec
	reqAuth  credentials
	lastBody int // bytes of the last body
	proven   int // the same, if it was good
	scale    scale
	info     infoState
	windows  stats.Watch
	period   periodState

	status lastResult
}

// lastResult is how the last pull ended, for whoever asks meanwhile.
type lastResult struct {
	mu   sync.Mutex
	some bool
	last result
}

func (l *lastResult) store(r result) {
	l.mu.Lock()
	l.some, l.last = true, r
	l.mu.Unlock()
}

// load reports false where there was no pull yet.
func (l *lastResult) load() (result, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, l.some
}

// result is how the last pull ended.
type result struct {
	time    time.Time
	took    time.Duration
	outcome collector.Outcome
	reason  string
	samples int
	bytes   int
	skew    time.Duration
	period  string // why the distributions are not those of the job's period
}

// phaseOf spreads targets over their intervals: the same target has the same phase in every process and after every restart.
func phaseOf(k TargetKey, seed uint64) time.Duration {
	h := fnv.New64a()
	var b [8]byte
	for i := range b {
		b[i] = byte(seed >> (8 * i))
	}
	_, _ = h.Write(b[:])
	_, _ = h.Write([]byte(k.String()))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(k.Job))
	// FNV's low bits of like keys are alike; a multiplication spreads them.
	return time.Duration((h.Sum64() * 0x9e3779b97f4a7c15) >> 1)
}

// abort ends what a worker is doing with the target, and its result is not wanted any more.
func (t *target) abort(leaves bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.aborted, t.leaves = true, t.leaves || leaves
	if t.stop != nil {
		t.stop()
	}
	if t.conn != nil {
		_ = t.conn.SetDeadline(time.Unix(1, 0))
	}
}

// begin makes stop the way to end what comes; it reports false if it was ended already.
func (t *target) begin(stop func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop = stop
	return !t.aborted
}

// leavesInOrder lets the worker go on: what it brings is wanted if it is good. stays takes it back.
func (t *target) leavesInOrder() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaves = true
}

func (t *target) stays() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaves = t.aborted
}

// left reports that t left the set while it was pulled: nobody waits for a snapshot that is not good.
func (t *target) left() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leaves
}

func (t *target) isAborted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.aborted
}

// keep makes conn the target's connection, or closes it if the target was ended meanwhile. drop closes it.
func (t *target) keep(conn net.Conn, link linkKey, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.aborted {
		_ = conn.Close()
		return false
	}
	t.conn, t.raw, t.link, t.opened = conn, rawOf(conn), link, now
	return true
}

func (t *target) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn != nil {
		_ = t.conn.Close()
		t.conn, t.raw = nil, nil
	}
}

// deadline bounds everything that comes on the open connection. An abort that came first stays in force.
func (t *target) deadline(end time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.aborted || t.conn == nil {
		return net.ErrClosed
	}
	return t.conn.SetDeadline(end)
}
