// Package ensemble shows ZooKeeper itself as a service: its servers are instances like any other, with their roles as tags, and what they say of themselves
// is scraped like any other's statistics.
//
// It owns the list of servers (those of the configuration, and what the ensemble's own configuration adds), the questions that they understand, and the
// /stats.json made of the answers. It asks nobody but servers on that list. It holds no session; watching serversets is discovery/zk's affair.
package ensemble

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// Service is the service that the servers are instances of, Format the format of its instances, and StatsPath what to pull from them.
const (
	Service   = "zookeeper"
	Format    = "ensemble"
	StatsPath = "/stats.json"
)

// TagRole is the tag with a server's role: leader, follower, observer, standalone, read-only or not serving. TagID is its number in the ensemble's configuration.
const (
	TagRole = "zookeeper.role"
	TagID   = "zookeeper.id"
)

// Path is where the servers stand on the roster.
const Path = "zookeeper.servers"

// Config says which ensemble. Only Name and Servers have no default.
type Config struct {
	Name    string   // of the source
	Servers []string // host:port of client ports
	Env     string   // default "default"
	// AdminPort is where AdminServer listens, for servers that do not answer mntr; default 8080. Below 0: it is not asked.
	AdminPort int
	// Configuration reads /zookeeper/config, for servers that Servers does not name; nil: nobody looks. Such a server is asked only at a private or loopback
	// address: who may write that node must not choose where we connect.
	Configuration func(ctx context.Context) ([]byte, error)
	// Secure says that Dial speaks TLS: a server that the ensemble's own configuration adds is asked at its port for that.
	Secure bool
	// Dial connects to a client port; nil means TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Lookup resolves a name; nil means the system's resolver.
	Lookup  func(ctx context.Context, host string) ([]net.IPAddr, error)
	Every   time.Duration // how often the ensemble's own configuration is read; default 1 min
	Timeout time.Duration // of a whole answer; default 4 s
	Log     *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Env = cmp.Or(c.Env, "default")
	c.AdminPort = cmp.Or(c.AdminPort, 8080)
	c.Every = cmp.Or(c.Every, time.Minute)
	c.Timeout = cmp.Or(c.Timeout, 4*time.Second)
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}
	}
	if c.Lookup == nil {
		c.Lookup = net.DefaultResolver.LookupIPAddr
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("the source has no name"))
	}
	if len(c.Servers) == 0 {
		errs = append(errs, errors.New("servers: none given; name at least one host:port"))
	}
	for _, s := range c.Servers {
		if _, _, err := discovery.SplitAddr(s); err != nil {
			errs = append(errs, fmt.Errorf("servers: %w", err))
		}
	}
	if c.AdminPort > 65535 {
		errs = append(errs, fmt.Errorf("admin port %d is not within 1..65535", c.AdminPort))
	}
	if c.Every < 0 || c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("every %v, timeout %v: neither can be negative", c.Every, c.Timeout))
	}
	return errors.Join(errs...)
}

// maxServers bounds how many servers an ensemble's own configuration may add.
const maxServers = 200

// Source is a discovery.Source over the servers of one ensemble, and answers for them: see Dial.
type Source struct {
	cfg     Config
	learned chan struct{} // one slot: a role or a release is news

	mu      sync.Mutex
	servers []*server          // in the order of the configuration, then by address
	by      map[string]*server // by address
}

// server is one of them. The Source's mu guards what is below known.
type server struct {
	host  string
	port  uint16
	found bool // by the ensemble's own configuration
	id    string

	role, version string
	asked, tried  time.Time // when it last said something; when we last asked without a scrape
	way           way       // that gave the last answer
	wayAt         time.Time // when all ways were last tried
	admin         bool      // AdminServer on its host was seen to be its own
	member        *discovery.Member
}

func (s *server) addr() string { return (&discovery.Key{Host: s.host, Port: s.port}).Addr() }

// New checks the configuration.
func New(cfg Config) (*Source, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("zookeeper as a service: %w", err)
	}
	s := &Source{cfg: cfg, learned: make(chan struct{}, 1), by: map[string]*server{}}
	for _, addr := range cfg.Servers {
		host, port, err := discovery.SplitAddr(addr)
		if err != nil {
			return nil, err
		}
		n := &server{host: host, port: port}
		if s.by[n.addr()] == nil {
			s.by[n.addr()] = n
			s.servers = append(s.servers, n)
		}
	}
	return s, nil
}

// Name implements discovery.Source.
func (s *Source) Name() string { return s.cfg.Name }

// lookAgain is how soon the ensemble's own configuration is asked for again that could not be read: whoever reads it may not be connected yet.
const lookAgain = 2 * time.Second

// renew is how often the set is verified: the configuration is true as long as it is in force.
const renew = 10 * time.Second

// Run implements discovery.Source.
func (s *Source) Run(ctx context.Context, out *discovery.Latest) error {
	verify, look := time.NewTicker(renew), time.NewTimer(0)
	defer verify.Stop()
	defer look.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		s.publish(out)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-verify.C:
		case <-s.learned:
		case <-look.C:
			next := s.cfg.Every
			if !s.look(ctx) {
				next = min(next, lookAgain)
			}
			look.Reset(next)
			asking.Wait() // it is bounded by Timeout
			asking.Go(func() { s.askAround(ctx) })
		}
	}
}

// publish puts every server into the letter box.
func (s *Source) publish(out *discovery.Latest) {
	s.mu.Lock()
	members := make([]*discovery.Member, 0, len(s.servers))
	for _, n := range s.servers {
		if n.member == nil {
			tags := map[string]string{}
			for name, value := range map[string]string{TagRole: n.role, serverset.TagVersion: n.version, TagID: n.id} {
				if value != "" {
					tags[name] = value
				}
			}
			n.member = &discovery.Member{Instance: discovery.Instance{
				Key: discovery.Key{Service: Service, Env: s.cfg.Env, Host: n.host, Port: n.port}, Source: s.cfg.Name, Path: Path, Member: n.addr(), Format: Format,
				Shard: discovery.NoShard, Tags: discovery.TagsOf(tags)}}
		}
		members = append(members, n.member)
	}
	s.mu.Unlock()
	out.PutSet(discovery.Set{Source: s.cfg.Name, Path: Path, Members: members, Verified: time.Now()})
	out.PutView(discovery.View{Source: s.cfg.Name, Complete: true, Paths: []string{Path}, Connected: true, Server: "the configuration", LastHeard: time.Now()})
}

// learn notes what a server said of itself.
func (s *Source) learn(n *server, r *reading) {
	s.mu.Lock()
	n.asked = time.Now()
	news := n.role != r.role || r.version != "" && n.version != r.version
	if news {
		n.role, n.version, n.member = r.role, cmp.Or(r.version, n.version), nil
	}
	s.mu.Unlock()
	if news {
		select {
		case s.learned <- struct{}{}:
		default:
		}
	}
}

// forgetRole is how long a role is believed that nobody scraped meanwhile.
const forgetRole = 5 * time.Minute

// askAround asks the servers that no scrape of this collector's has heard lately, a few at a time, so that their roles are known here too.
func (s *Source) askAround(ctx context.Context) {
	s.mu.Lock()
	silent := slices.Clone(s.servers)
	silent = slices.DeleteFunc(silent, func(n *server) bool { return time.Since(n.asked) < forgetRole || time.Since(n.tried) < s.cfg.Every })
	for _, n := range silent {
		n.tried = time.Now()
	}
	s.mu.Unlock()
	slots := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for _, n := range silent {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if _, err := s.read(ctx, n); err != nil && ctx.Err() == nil {
				s.cfg.Log.Debug("a ZooKeeper server does not say what it is", "server", n.addr(), "err", err)
			}
		})
	}
	wg.Wait()
}
