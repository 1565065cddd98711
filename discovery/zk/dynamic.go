package zk

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// configPath is where an ensemble keeps its own configuration (ZooKeeper 3.5).
const configPath = "/zookeeper/config"

// Peer is one server of an ensemble, as its dynamic configuration has it.
type Peer struct {
	ID       int64
	Host     string // where its peers reach it: an address without brackets, or a DNS name
	Observer bool
	Client   string // host:port for clients; empty where it is not told
	Secure   string // host:port for clients with TLS; empty where it is not told
}

// Limits on an ensemble's configuration.
const (
	maxConfig = 64 << 10
	maxPeers  = 256
)

// ParseEnsemble reads an ensemble's dynamic configuration: lines of server.<id>=<host>:<port>:<port>[:role][|…];[host:]port[;[host:]port]. A wildcard among the
// addresses for clients stands for the server's own host. Lines of another kind are passed over; one that is broken is an error, and the rest is returned with it.
func ParseEnsemble(data []byte) ([]Peer, error) {
	if len(data) > maxConfig {
		return nil, fmt.Errorf("parse configuration of the ensemble: %d bytes, over the limit of %d", len(data), maxConfig)
	}
	var out []Peer
	var errs []error
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxConfig+1)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "server.")
		if !ok {
			continue
		}
		p, err := parsePeer(rest)
		if err != nil {
			errs = append(errs, fmt.Errorf("parse server %.80q of the ensemble: %w", rest, err))
			continue
		}
		if len(out) == maxPeers {
			errs = append(errs, fmt.Errorf("parse configuration of the ensemble: more than %d servers", maxPeers))
			break
		}
		out = append(out, p)
	}
	slices.SortStableFunc(out, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	return out, errors.Join(errs...)
}

func parsePeer(s string) (p Peer, err error) {
	id, spec, ok := strings.Cut(s, "=")
	if p.ID, err = strconv.ParseInt(id, 10, 64); err != nil || !ok {
		return p, errors.New("no number in front of a =")
	}
	parts := strings.Split(spec, ";")
	quorum, _, _ := strings.Cut(parts[0], "|") // of several addresses the first
	for _, role := range strings.Split(parts[0], "|") {
		p.Observer = p.Observer || strings.HasSuffix(role, ":observer")
	}
	host, err := quorumHost(quorum)
	if err != nil {
		return p, err
	}
	p.Host = host
	for i, to := range []*string{&p.Client, &p.Secure} {
		if i+1 < len(parts) && parts[i+1] != "" {
			if *to, err = clientAddr(parts[i+1], host); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// quorumHost is the host of host:port:port, the brackets of an IPv6 address taken off.
func quorumHost(s string) (string, error) {
	host := s
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", errors.New("a bracket is not closed")
		}
		host = s[1:end]
	} else if host, _, _ = strings.Cut(s, ":"); host == "" {
		return "", errors.New("no host")
	}
	return host, checkName(host)
}

// clientAddr reads [host:]port.
func clientAddr(s, own string) (string, error) {
	host, port := own, s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, port = strings.Trim(s[:i], "[]"), s[i+1:]
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = own
	}
	if err := checkName(host); err != nil {
		return "", err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("client port %.20q is not a number in 1..65535", port)
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// checkName takes addresses and DNS names.
func checkName(host string) error {
	if net.ParseIP(host) != nil {
		return nil
	}
	if len(host) == 0 || len(host) > 253 || strings.ContainsFunc(host, func(r rune) bool {
		return !(r == '.' || r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}) {
		return fmt.Errorf("host %.60q is neither an address nor a DNS name", host)
	}
	return nil
}
