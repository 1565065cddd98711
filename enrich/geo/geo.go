// Package geo says where in the world an address is and which network it belongs to, from MaxMind DB files.
//
// It owns DB, the databases in use and their replacement while running, and Place. It reads the layouts of MaxMind (GeoLite2, GeoIP2 and those that follow
// them, such as DB-IP) and the flat one of the ip-location-db files. It knows nothing of snapshots, tags or rules: enrich/tag uses it.
package geo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/rollcall-metrics/rollcall/internal/promtext"
)

// Place is what the databases say of an address. What they do not say is empty.
type Place struct {
	ASN       uint32 // number of the autonomous system
	ASOrg     string // its organisation
	Country   string // ISO 3166-1 alpha-2, such as US
	Continent string // AF, AN, AS, EU, NA, OC or SA
	Region    string // ISO 3166-2 with the country, such as US-CA
	City      string // name in Config.Language, else in English
}

// over fills what p leaves empty from q.
func (p *Place) over(q *Place) {
	if p.ASN == 0 {
		p.ASN, p.ASOrg = q.ASN, q.ASOrg
	}
	if p.Country == "" {
		p.Country, p.Continent, p.Region, p.City = q.Country, cmp.Or(p.Continent, q.Continent), q.Region, q.City
	}
}

// Config names the files. The zero value knows no place at all, which is not an error.
type Config struct {
	// City are City, Enterprise or Country databases; several when IPv4 and IPv6 stand in files of their own. What the first does not know the next is asked.
	City []string
	ASN  []string // databases with autonomous systems: ASN, ISP or Enterprise
	// Language of the names of cities: de, en, es, fr, ja, pt-BR, ru or zh-CN, as far as the database has it. Default en.
	Language   string
	CheckEvery time.Duration // how often files are looked at for a replacement; default 10 s
	Log        *slog.Logger  // nil: nothing is logged
	Metrics    *metrics.Set  // nil: a private set
}

func (c *Config) validate() error {
	var errs []error
	for _, files := range [][]string{c.City, c.ASN} {
		for i, f := range files {
			if f == "" {
				errs = append(errs, errors.New("geo: an empty file name; give the path of an .mmdb file"))
			} else if slices.Contains(files[:i], f) {
				errs = append(errs, fmt.Errorf("geo: file %q is named twice", f))
			}
		}
	}
	if c.CheckEvery < 0 {
		errs = append(errs, fmt.Errorf("geo: check interval %v is negative", c.CheckEvery))
	}
	if c.Language != "" && !slices.Contains(languages, c.Language) {
		errs = append(errs, fmt.Errorf("geo: language %q is not in the databases; use one of %s", c.Language, strings.Join(languages, ", ")))
	}
	return errors.Join(errs...)
}

// DB looks addresses up in the databases in use. All methods are safe for concurrent use, and on a nil DB, which knows nothing.
type DB struct {
	cfg Config
	log *slog.Logger
	use atomic.Pointer[inUse]

	checking sync.Mutex // one check at a time; it may take seconds
	mu       sync.Mutex // guards what the slots hold; only check changes it
	slots    []*slot

	found, unknown, private, faults *metrics.Counter
	reloads, reloadErrors           *metrics.Counter
}

// inUse is replaced whole, never changed.
type inUse struct {
	generation uint64
	build      string
	databases  []*database
}

// New makes a DB that has opened nothing yet: call Load or Run.
func New(cfg Config) (*DB, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.CheckEvery = cmp.Or(cfg.CheckEvery, 10*time.Second)
	cfg.Language = cmp.Or(cfg.Language, "en")
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.NewSet()
	}
	d := &DB{cfg: cfg, log: cfg.Log}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.use.Store(&inUse{})
	for _, f := range cfg.ASN {
		d.slots = append(d.slots, &slot{file: f, kind: ASN})
	}
	for _, f := range cfg.City {
		d.slots = append(d.slots, &slot{file: f, kind: City})
	}
	m := cfg.Metrics
	d.found = m.GetOrCreateCounter(`rollcall_geo_lookups_total{result="found"}`)
	d.unknown = m.GetOrCreateCounter(`rollcall_geo_lookups_total{result="unknown"}`)
	d.private = m.GetOrCreateCounter(`rollcall_geo_lookups_total{result="private"}`)
	d.faults = m.GetOrCreateCounter(`rollcall_geo_lookup_faults_total`)
	d.reloads = m.GetOrCreateCounter(`rollcall_geo_database_loads_total{result="ok"}`)
	d.reloadErrors = m.GetOrCreateCounter(`rollcall_geo_database_loads_total{result="error"}`)
	for _, s := range d.slots {
		labels := fmt.Sprintf("{kind=%q,file=%s}", s.kind, promtext.Quote(s.file))
		m.GetOrCreateGauge("rollcall_geo_database_ok"+labels, func() float64 { return d.gauge(s, okOf) })
		m.GetOrCreateGauge("rollcall_geo_database_build_timestamp_seconds"+labels, func() float64 { return d.gauge(s, buildOf) })
	}
	return d, nil
}

// Run loads the databases where Load was not called, and follows replaced files until ctx ends. A file that is missing or broken never ends it.
func (d *DB) Run(ctx context.Context) error {
	d.check(ctx, false)
	t := time.NewTicker(d.cfg.CheckEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
			d.check(ctx, false)
		}
	}
}

// Load opens what is configured and not open yet. The error names every file that cannot be used; the others are in use.
func (d *DB) Load() error {
	if d == nil {
		return nil
	}
	return d.check(context.Background(), true)
}

// Lookup says where an address is. A private address, or one that no database knows, has no place: ok is false, and that is no error. It does not allocate
// when the record was met before.
func (d *DB) Lookup(a netip.Addr) (p Place, ok bool) {
	if d == nil {
		return Place{}, false
	}
	use := d.use.Load()
	if len(use.databases) == 0 || !a.IsValid() {
		return Place{}, false
	}
	a = a.Unmap()
	for _, db := range use.databases {
		if e := db.lookup(a, d); e != nil {
			p.over(&e.place)
			ok = true
		}
	}
	switch {
	case ok:
		d.found.Inc()
	case a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast():
		d.private.Inc()
	default:
		d.unknown.Inc()
	}
	return p, ok
}

// Build is when the databases in use were built, as yyyy-mm-dd; several dates are joined with a comma, oldest first. Empty without databases.
func (d *DB) Build() string {
	if d == nil {
		return ""
	}
	return d.use.Load().build
}

// Generation changes with every swap: what was derived from a Place of an older generation is to be derived again.
func (d *DB) Generation() uint64 {
	if d == nil {
		return 0
	}
	return d.use.Load().generation
}
