package zkserve

import (
	"fmt"
	"strings"
	"time"
)

// Version is what srvr, mntr, stat and envi name: the ZooKeeper whose behaviour this is, and that it is this server.
const Version = "3.9.4-zkserve"

const built = ", built on 2025-08-19 19:53 UTC" // the date is 3.9.4's own; clients parse it

// latency sums how long requests took.
type latency struct {
	n             int64
	sum, min, max time.Duration
}

func (l *latency) add(d time.Duration) {
	if l.n == 0 || d < l.min {
		l.min = d
	}
	l.n++
	l.sum += d
	l.max = max(l.max, d)
}

// milliseconds are min, mean and max.
func (l *latency) milliseconds() (low int64, mean float64, high int64) {
	if l.n > 0 {
		mean = float64(l.sum.Microseconds()) / float64(l.n) / 1000
	}
	return l.min.Milliseconds(), mean, l.max.Milliseconds()
}

// fourLetter answers the operators' words; ok is false where the four bytes are none, but the length of a frame.
func (s *Server) fourLetter(word string) (answer string, ok bool) {
	switch word {
	case "ruok":
		return "imok", true
	case "isro":
		return "rw", true
	case "envi":
		return "Environment:\nzookeeper.version=" + Version + built + "\n", true
	case "srvr", "stat", "mntr", "wchs", "conf":
	default:
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch word {
	case "mntr":
		return s.mntr(), true
	case "wchs":
		return fmt.Sprintf("%d connections watching %d paths\nTotal watches:%d\n", len(s.conns), len(s.watches.data.paths)+len(s.watches.child.paths), s.watches.size()), true
	case "conf":
		return fmt.Sprintf("clientPortAddress=%s\ndataDir=%s\ntickTime=%d\nmaxClientCnxns=0\nminSessionTimeout=%d\nmaxSessionTimeout=%d\nserverId=0\n",
			s.addr, s.cfg.Dir, s.cfg.TickTime.Milliseconds(), s.cfg.MinSessionTimeout.Milliseconds(), s.cfg.MaxSessionTimeout.Milliseconds()), true
	case "stat":
		return s.srvr(true), true
	}
	return s.srvr(false), true
}

func (s *Server) srvr(clients bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Zookeeper version: %s%s\n", Version, built)
	if clients {
		b.WriteString("Clients:\n")
		for c := range s.conns {
			fmt.Fprintf(&b, " /%s[1](queued=0,recved=0,sent=0)\n", c.addr)
		}
		b.WriteString("\n")
	}
	low, mean, high := s.latency.milliseconds()
	fmt.Fprintf(&b, "Latency min/avg/max: %d/%.1f/%d\nReceived: %d\nSent: %d\nConnections: %d\nOutstanding: 0\nZxid: %s\nMode: standalone\nNode count: %d\n",
		low, mean, high, s.received.Load(), s.sent.Load(), len(s.conns), hex(s.zxid), len(s.tree.nodes))
	return b.String()
}

func (s *Server) mntr() string {
	var b strings.Builder
	low, mean, high := s.latency.milliseconds()
	for _, v := range []struct {
		name  string
		value any
	}{
		{"version", Version + built}, {"server_state", "standalone"}, {"min_latency", low}, {"avg_latency", fmt.Sprintf("%.4f", mean)}, {"max_latency", high},
		{"packets_received", s.received.Load()}, {"packets_sent", s.sent.Load()}, {"num_alive_connections", len(s.conns)},
		{"outstanding_requests", 0}, {"znode_count", len(s.tree.nodes)}, {"watch_count", s.watches.size()}, {"ephemerals_count", s.tree.ephemerals},
		{"approximate_data_size", s.tree.bytes}, {"global_sessions", len(s.sessions)}, {"stale_sessions_expired", s.expired},
		{"connection_rejected", s.refused.Load()}, {"uptime", time.Since(s.start).Milliseconds()},
	} {
		fmt.Fprintf(&b, "zk_%s\t%v\n", v.name, v.value)
	}
	return b.String()
}
