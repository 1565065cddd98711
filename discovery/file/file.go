// Package file finds instances in files, in the configuration itself, and behind a URL.
//
// It owns four sources: KingPin's local serverset files, Prometheus' file_sd, static_configs, and an http_sd client. Files are polled, by stat first and by
// content then: on purpose, as a watch of the kernel's says nothing on network and overlay file systems. It knows nothing of ZooKeeper.
package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/promtext"
	"github.com/rollcall-metrics/rollcall/internal/textfile"
)

// Config names the files of a Poller. Only Name and Files must be given.
type Config struct {
	Name    string        // of the source: the scrape job's, or `job#2` for its second source
	Files   []string      // glob patterns (path.Match's * ? [] in any part); hidden files and those that end in ~, .tmp, .lock or .swp are passed over
	Every   time.Duration // how often they are looked at; default 5 s
	Log     *slog.Logger  // nil: nothing is logged
	Metrics *metrics.Set  // nil: a private set
}

const (
	maxBytes   = 64 << 20 // of one file or answer
	maxTargets = 1 << 20  // in one
	settle     = 250 * time.Millisecond
	still      = 2 * time.Second // a file that old is not being written
	renew      = time.Minute     // an unchanged set is published again, so that its Verified moves
	emptyLooks = 3               // so many looks must find a set empty that was not, before it is believed
	goneLooks  = 2               // and so many must miss a file
)

func (c *Config) validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("the source has no name"))
	}
	if len(c.Files) == 0 {
		errs = append(errs, errors.New("files is empty; give the pattern of at least one, such as /var/serverset/discovery.*"))
	}
	for _, f := range c.Files {
		if err := checkPattern(f); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Every < 0 {
		errs = append(errs, fmt.Errorf("refresh interval %v is negative", c.Every))
	}
	return errors.Join(errs...)
}

// decoder reads a file's members. They have all but Source and Path. An error means that nothing of the file can be trusted, and names its line.
type decoder func(file string, b []byte) ([]discovery.Member, error)

// Poller is a discovery.Source over files. Each file is a path of its own. A file that is gone takes its members along once two looks in a row have missed it; one
// that cannot be read, does not parse or is still being written keeps what it had, and View.Err says so; a set that turns empty is believed at the third look.
type Poller struct {
	cfg    Config
	log    *slog.Logger
	decode decoder
	seed   maphash.Seed
	files  map[string]*polled
	heard  time.Time

	changes, errs *metrics.Counter
	known         *metrics.Gauge
}

// polled is what is known of a file.
type polled struct {
	info      fs.FileInfo // of what was decoded last, good or bad
	sum       uint64      // of the bytes that members are of
	members   []discovery.Member
	good      bool // a set was published
	published time.Time
	missed    int   // looks in a row
	empty     int   // looks in a row at an empty set where there was one
	unseen    error // why the file could not be looked at, the last time
	bad       error // why what was read last was not taken
}

func (s *polled) err() error {
	if s.unseen != nil {
		return s.unseen
	}
	return s.bad
}

// NewServersets makes a source over KingPin's local serverset files, one serverset a file, called discovery.<service>.<env>.
func NewServersets(cfg Config) (*Poller, error) { return newPoller(cfg, "serverset", decodeServerset) }

// NewTargets makes a source over Prometheus' file_sd files, JSON or YAML.
func NewTargets(cfg Config) (*Poller, error) {
	job := discovery.JobOf(cfg.Name)
	return newPoller(cfg, "file_sd", func(file string, b []byte) ([]discovery.Member, error) {
		groups, err := decodeTargets(file, b)
		if err != nil {
			return nil, err
		}
		return members(groups, origin{file: file, format: "file_sd", job: job, meta: map[string]string{"__meta_filepath": file}})
	})
}

func newPoller(cfg Config, kind string, d decoder) (*Poller, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("%s files: %w", kind, err)
	}
	cfg.Every = cmp.Or(cfg.Every, 5*time.Second)
	p := &Poller{cfg: cfg, log: cfg.Log, decode: d, seed: maphash.MakeSeed(), files: map[string]*polled{}}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	set := cfg.Metrics
	if set == nil {
		set = metrics.NewSet()
	}
	p.changes = set.GetOrCreateCounter(fmt.Sprintf("rollcall_discovery_file_changes_total{source=%s}", promtext.Quote(cfg.Name)))
	p.errs = set.GetOrCreateCounter(fmt.Sprintf("rollcall_discovery_file_errors_total{source=%s}", promtext.Quote(cfg.Name)))
	p.known = set.GetOrCreateGauge(fmt.Sprintf("rollcall_discovery_files{source=%s}", promtext.Quote(cfg.Name)), nil)
	return p, nil
}

// Name implements discovery.Source.
func (p *Poller) Name() string { return p.cfg.Name }

// Run implements discovery.Source.
func (p *Poller) Run(ctx context.Context, out *discovery.Latest) error {
	// What was published before belongs to another run; it is published anew.
	p.files = map[string]*polled{}
	t := time.NewTicker(p.cfg.Every)
	defer t.Stop()
	for {
		p.look(ctx, out)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// look goes over all files once and publishes what changed.
func (p *Poller) look(ctx context.Context, out *discovery.Latest) {
	found, err := list(p.cfg.Files)
	complete := err == nil
	var young []reading
	for _, f := range found {
		st := p.files[f]
		if st == nil {
			st = &polled{}
			p.files[f] = st
		}
		st.missed = 0
		r, err := p.read(f, st)
		p.note(f, st, &st.unseen, err)
		switch {
		case r.info == nil:
		case r.young:
			young = append(young, r)
		default:
			p.take(r, st, out)
		}
	}
	if len(young) > 0 && wait(ctx, settle) {
		for _, r := range young {
			if now, err := os.Stat(r.file); err == nil && same(now, r.info) {
				p.take(r, p.files[r.file], out)
			} // else it is being written: the next look takes it
		}
	}
	if ctx.Err() != nil {
		return
	}
	if complete {
		p.heard = time.Now()
		for f, st := range p.files {
			if !slices.Contains(found, f) {
				if st.missed++; st.missed >= goneLooks {
					delete(p.files, f)
					p.log.Info("file is gone", "source", p.cfg.Name, "file", f, "members", len(st.members))
				}
			}
		}
	}
	p.say(out, complete, err)
}

// say publishes the source's word about itself.
func (p *Poller) say(out *discovery.Latest, complete bool, err error) {
	v := discovery.View{Source: p.cfg.Name, Complete: complete, Connected: complete, Server: strings.Join(p.cfg.Files, ", "), LastHeard: p.heard}
	errs := []error{err}
	for f, st := range p.files {
		v.Paths = append(v.Paths, f)
		errs = append(errs, st.err())
	}
	slices.Sort(v.Paths)
	p.known.Set(float64(len(v.Paths)))
	if err := errors.Join(sorted(errs)...); err != nil {
		v.Err = err.Error()
	}
	out.PutView(v)
}

func sorted(errs []error) []error {
	errs = slices.DeleteFunc(errs, func(e error) bool { return e == nil })
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if len(errs) > 20 {
		errs = append(errs[:20], fmt.Errorf("and %d more", len(errs)-20))
	}
	return errs
}

// reading is a file's content as it was at one moment.
type reading struct {
	file  string
	info  fs.FileInfo
	body  []byte
	young bool // written a moment ago: perhaps not whole
}

// read reads a file that is not the one decoded last; the reading is empty where there is nothing to do or nothing to be had.
func (p *Poller) read(file string, st *polled) (reading, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) { // it went since it was listed
		return reading{}, nil
	}
	if err != nil {
		return reading{}, fmt.Errorf("read members: %w", err)
	}
	if st.info != nil && same(info, st.info) && st.empty == 0 && time.Since(st.published) < renew {
		return reading{}, nil
	}
	b, err := textfile.Read(file, maxBytes)
	if err != nil {
		return reading{}, fmt.Errorf("read members: %w", err)
	}
	return reading{file, info, b, time.Since(info.ModTime()).Abs() < still}, nil
}

func same(a, b fs.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

// take decodes what was read, where it is not what stands already, and publishes it.
func (p *Poller) take(r reading, st *polled, out *discovery.Latest) {
	st.info, st.published = r.info, time.Now()
	sum := maphash.Bytes(p.seed, r.body)
	if !st.good || sum != st.sum {
		ms, err := p.decode(r.file, r.body)
		if err == nil && len(ms) == 0 && len(st.members) > 0 {
			if st.empty++; st.empty < emptyLooks {
				err = fmt.Errorf("%s: empty, where there were %d members; believed if it stays so", r.file, len(st.members))
			}
		}
		if p.note(r.file, st, &st.bad, err); err != nil {
			return
		}
		for i := range ms {
			ms[i].Source, ms[i].Path = p.cfg.Name, r.file
		}
		st.sum, st.members, st.good = sum, ms, true
		p.changes.Inc()
		p.log.Debug("file read", "source", p.cfg.Name, "file", r.file, "members", len(ms))
	}
	st.empty, st.bad = 0, nil
	out.PutSet(discovery.Set{Source: p.cfg.Name, Path: r.file, Members: of(p.cfg.Name, r.file, st.members), Verified: st.published})
}

// note keeps an error, and tells of one that is new. What the file had stays.
func (p *Poller) note(file string, st *polled, to *error, err error) {
	if err != nil && (*to == nil || (*to).Error() != err.Error()) {
		p.errs.Inc()
		p.log.Warn("file not usable, keeping what it had", "source", p.cfg.Name, "file", file, "members", len(st.members), "err", err)
	}
	*to = err
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// of makes members those of a set.
func of(source, path string, members []discovery.Member) []*discovery.Member {
	out := make([]*discovery.Member, len(members))
	for i, m := range members {
		m.Source, m.Path = source, path
		out[i] = &m
	}
	return out
}
