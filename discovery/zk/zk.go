// Package zk holds one ZooKeeper session done right, and the Source that follows serversets over it.
//
// It owns the connection (Session: what the client library lacks, built around it; Sessions shares them), watching (Source for serversets, Follower for small
// trees) and looking around an unknown tree (Explore). Calls go through the library; a Source's reads and every watch go through the link, the connection that
// the library talks through, many in one write, and are not seen by it.
//
// A Source is one goroutine (run.loop) over one queue: what is wanted (request.go), as fast as the server bears it (pace.go), set by set (set.go, member.go,
// vector.go), published when what belongs together has come together (publish.go).
// The formats of members are discovery/serverset's; who registers what is discovery/register's, which uses a Session of its own.
package zk

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	gozk "github.com/go-zookeeper/zk"
)

// Errors that callers branch on; each is wrapped with the operation and the path.
var (
	ErrNoNode         = gozk.ErrNoNode
	ErrNodeExists     = gozk.ErrNodeExists
	ErrBadVersion     = gozk.ErrBadVersion
	ErrNoAuth         = gozk.ErrNoAuth
	ErrNotEmpty       = gozk.ErrNotEmpty
	ErrSessionExpired = gozk.ErrSessionExpired
	// ErrConnectionLost: the connection broke while the call was under way; it may have been carried out.
	ErrConnectionLost = gozk.ErrConnectionClosed
	// ErrNotConnected: no server answered before the call's time was up; it was never sent.
	ErrNotConnected = errors.New("zk: no server answers")
	// ErrTooBig: the answer is larger than Config.MaxPacket. The session goes on.
	ErrTooBig = errors.New("zk: the answer is larger than the packet limit")
	// ErrThrottled: the server sheds load and has not carried the call out; ask less.
	ErrThrottled = errors.New("zk: the server throttles requests")
)

// Config says which ensemble to talk to and how. Only Servers has no default.
type Config struct {
	// Name tells sessions of one process apart in metrics and logs; default "zk".
	Name string
	// Servers are host:port; the port defaults to 2181. Names are resolved again at each round of attempts; all their addresses are tried.
	Servers []string
	// Prefer are servers to be tried before the others, such as the observers of the own zone; they need not stand in Servers, too. While none of them answers, the
	// others serve; once one does again, steadily, the session goes back.
	Prefer []string
	// Dynamic follows the ensemble's own configuration (/zookeeper/config, ZooKeeper 3.5): the servers in it are tried after those that are named here.
	Dynamic bool
	// PreferObservers takes the observers in that configuration for preferred servers.
	PreferObservers bool
	// SessionTimeout is what we ask for; the server may give less or more. Default 16 s, as KingPin's. At least 1 s.
	SessionTimeout time.Duration
	// ReadOnly accepts a server that has lost its quorum (readonlymode.enabled): what it says may be old. Only for sessions that only read.
	ReadOnly bool
	// Digest is user:password, or empty.
	Digest string
	// TLS, if not nil, is used for every connection; ServerName is the name in Servers unless it is set.
	TLS *tls.Config
	// ACL of the nodes that Create and Multi make; default open to all, as KingPin's are.
	ACL []gozk.ACL
	// MaxPacket is the largest answer taken, in bytes: default 8 MiB (some 140,000 names). What is larger costs its own call, not the session. It is also the
	// size of the receive buffer where it is below 1.5 MiB: an agent sets it low.
	MaxPacket int
	// MaxRequest is the largest request sent, in bytes, and the size of the send buffer: default 1 MiB, the servers' own limit.
	MaxRequest int
	// CallTimeout bounds a call whose context has no deadline; default 10 s.
	CallTimeout time.Duration
	Log         *slog.Logger
	Metrics     *metrics.Set
}

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, "zk")
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 16*time.Second)
	c.MaxPacket = cmp.Or(c.MaxPacket, 8<<20)
	c.MaxRequest = cmp.Or(c.MaxRequest, 1<<20)
	c.CallTimeout = cmp.Or(c.CallTimeout, 10*time.Second)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.ACL == nil {
		c.ACL = gozk.WorldACL(gozk.PermAll)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
	c.Servers, c.Prefer = withPorts(c.Servers), withPorts(c.Prefer)
	return c
}

func withPorts(in []string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = withPort(strings.TrimSpace(s))
	}
	return out
}

// withPort adds ZooKeeper's port to a host that has none.
func withPort(s string) string {
	if _, _, err := net.SplitHostPort(s); err == nil {
		return s
	}
	if host := strings.Trim(s, "[]"); !strings.Contains(s, ":") || net.ParseIP(host) != nil {
		return net.JoinHostPort(host, "2181")
	}
	return s
}

func (c Config) validate() error {
	var errs []error
	if len(c.Servers) == 0 {
		errs = append(errs, errors.New("servers: none given; name at least one host:port"))
	}
	if c.PreferObservers && !c.Dynamic {
		errs = append(errs, errors.New("prefer observers: only the ensemble's own configuration tells which they are; set dynamic as well"))
	}
	for _, s := range slices.Concat(c.Servers, c.Prefer) {
		switch host, _, err := net.SplitHostPort(s); {
		case strings.Contains(s, "/"):
			errs = append(errs, fmt.Errorf("servers: %q holds a path; put it in front of the paths to watch instead", s))
		case strings.Contains(s, ","):
			errs = append(errs, fmt.Errorf("servers: %q holds a comma; give each server an entry of its own", s))
		case err != nil:
			errs = append(errs, fmt.Errorf("servers: %w", err))
		case host == "":
			errs = append(errs, fmt.Errorf("servers: %q has no host", s))
		}
	}
	if c.SessionTimeout < time.Second {
		errs = append(errs, fmt.Errorf("session timeout %v: below 1 s every pause of a program ends its session", c.SessionTimeout))
	}
	if c.Digest != "" && !strings.Contains(c.Digest, ":") {
		errs = append(errs, errors.New("digest: not of the form user:password"))
	}
	if c.MaxPacket < 4<<10 || c.MaxRequest < 4<<10 {
		errs = append(errs, fmt.Errorf("packet limits of %d and %d bytes: below 4096 nothing works", c.MaxPacket, c.MaxRequest))
	}
	if c.CallTimeout < 0 {
		errs = append(errs, fmt.Errorf("call timeout %v is negative", c.CallTimeout))
	}
	return errors.Join(errs...)
}
