package ensemble

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// way is how a server is asked, the one that tells most first.
type way int

const (
	byMntr  way = iota // the four-letter word, if the server's whitelist has it
	byAdmin            // AdminServer's /commands/monitor
	bySrvr             // the one word that is on the whitelist unless it was taken off
	ways
)

// tryBetter is how long a lesser way is kept before the better ones are tried again.
const tryBetter = time.Minute

// maxAnswer bounds an answer: a leader of 3.9 says 20 KB.
const maxAnswer = 1 << 20

// errRefusedWord: the server is well and does not answer this question.
var errRefusedWord = errors.New("it does not answer this question")

// read asks a server in the best way that it understands. The error of a server that cannot be reached is that of the connection.
func (s *Source) read(ctx context.Context, n *server) (*reading, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	s.mu.Lock()
	first := n.way
	if time.Since(n.wayAt) > tryBetter {
		first = byMntr
	}
	s.mu.Unlock()
	for try := range ways {
		w := (first + try) % ways
		r, err := s.ask(ctx, n, w)
		if errors.Is(err, errRefusedWord) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		if w != n.way || first == byMntr {
			n.way, n.wayAt = w, time.Now()
		}
		s.mu.Unlock()
		s.learn(n, r)
		return r, nil
	}
	return nil, fmt.Errorf("ask %s: it answers none of mntr, AdminServer's /commands/monitor and srvr; put srvr or mntr into its 4lw.commands.whitelist", n.addr())
}

func (s *Source) ask(ctx context.Context, n *server, w way) (*reading, error) {
	switch w {
	case byAdmin:
		return s.askAdmin(ctx, n)
	case bySrvr:
		text, err := s.word(ctx, n, "srvr")
		if err != nil {
			return nil, err
		}
		return readSrvr(text)
	}
	text, err := s.word(ctx, n, "mntr")
	if err != nil {
		return nil, err
	}
	return readMntr(text)
}

// word sends a four-letter word to a server's client port.
func (s *Source) word(ctx context.Context, n *server, word string) ([]byte, error) {
	c, err := s.connect(ctx, n, n.port, s.cfg.Dial)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	_, err = io.WriteString(c, word)
	var b []byte
	if err == nil {
		b, err = io.ReadAll(io.LimitReader(c, maxAnswer))
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("ask %s of %s: %w", word, n.addr(), ctx.Err())
	case bytes.Contains(b[:min(len(b), 200)], []byte("is not executed because it is not in the whitelist")):
		return nil, errRefusedWord
	case len(b) == 0 && err == nil:
		return nil, errRefusedWord // a server that is not ZooKeeper's own may just hang up
	case len(b) == 0:
		return nil, fmt.Errorf("ask %s of %s: %w", word, n.addr(), err)
	}
	return b, nil
}

// connect opens a connection to a port of the server's host. Where only the ensemble's own configuration names the server, the address that is dialled was
// resolved here and is a private or loopback one.
func (s *Source) connect(ctx context.Context, n *server, port uint16, dial func(context.Context, string) (net.Conn, error)) (net.Conn, error) {
	host := n.host
	if n.found {
		host = ""
		for _, a := range s.addresses(ctx, n.host) {
			ip, err := netip.ParseAddr(a)
			if ip = ip.Unmap(); err == nil && (ip.IsPrivate() || ip.IsLoopback()) && !metadata(ip) {
				host = ip.String()
				break
			}
		}
		if host == "" {
			return nil, fmt.Errorf("connect to %s: it has no private address; name it under zookeeper.servers to have it asked", n.addr())
		}
	}
	return dial(ctx, discovery.Key{Host: host, Port: port}.Addr())
}

// metadata reports the addresses within private networks at which clouds serve credentials.
func metadata(ip netip.Addr) bool {
	return netip.MustParsePrefix("fd00:ec2::/32").Contains(ip) || netip.MustParsePrefix("fd20:ce::/32").Contains(ip)
}

// askAdmin asks AdminServer. Servers of one host (on loopback, say) cannot all have the port: the first time it has to say that it is the server meant.
func (s *Source) askAdmin(ctx context.Context, n *server) (*reading, error) {
	if s.cfg.AdminPort < 0 {
		return nil, errRefusedWord
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout/2) // a port that swallows everything must leave time for srvr
	defer cancel()
	s.mu.Lock()
	sure := n.admin
	s.mu.Unlock()
	if !sure {
		b, err := s.get(ctx, n, "/commands/configuration")
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errRefusedWord, err)
		}
		var conf struct {
			Client json.Number `json:"client_port"`
			Secure json.Number `json:"secure_client_port"`
		}
		port := strconv.Itoa(int(n.port))
		if json.Unmarshal(b, &conf) != nil || conf.Client.String() != port && conf.Secure.String() != port {
			return nil, errRefusedWord
		}
	}
	b, err := s.get(ctx, n, "/commands/monitor")
	if err == nil {
		var r *reading
		if r, err = readMonitor(b); err == nil {
			s.mu.Lock()
			n.admin = true
			s.mu.Unlock()
			return r, nil
		}
	}
	s.mu.Lock()
	n.admin = false
	s.mu.Unlock()
	return nil, fmt.Errorf("%w: %w", errRefusedWord, err)
}

// get reads a command of AdminServer's, without proxy, redirects or a kept connection.
func (s *Source) get(ctx context.Context, n *server, path string) ([]byte, error) {
	tcp := func(ctx context.Context, addr string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}
	c, err := s.connect(ctx, n, uint16(s.cfg.AdminPort), tcp)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+discovery.Key{Host: n.host, Port: uint16(s.cfg.AdminPort)}.Addr()+path, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	req.Header.Set("User-Agent", "rollcall")
	if err := req.Write(c); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReader(io.LimitReader(c, maxAnswer)), req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s of AdminServer answers %s", path, strings.TrimSpace(res.Status))
	}
	return io.ReadAll(io.LimitReader(res.Body, maxAnswer))
}
