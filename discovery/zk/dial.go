package zk

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// connect is the library's dialer: it waits its turn, dials, and puts a link around the connection.
func (s *Session) connect(c *client) (net.Conn, error) {
	<-c.made
	if c.last != nil {
		c.last.Close() // the library forgets to when a session has expired
	}
	at, first := c.hosts.now()
	if err := s.back.wait(c.ctx, first); err != nil {
		return nil, err
	}
	if at.addr == "" {
		err := fmt.Errorf("connect to zookeeper: none of %q resolves", s.cfg.Servers)
		s.set(func(st *Status) { st.Err = err.Error() })
		return nil, err
	}
	timeout := min(10*time.Second, s.cfg.SessionTimeout*2/3)
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	conn, err := s.dial(ctx, at)
	if err != nil {
		err = fmt.Errorf("connect to zookeeper %s: %w", at.name, err)
		s.set(func(st *Status) { st.Err = err.Error() })
		return nil, err
	}
	l := newLink(conn, at, s.cfg.ReadOnly, s.cfg.MaxPacket, time.Now().Add(timeout))
	l.read, l.zxid = s.m.received, &s.zxid
	l.onOpen = func(l *link, g greeting) { s.opened(c, l, g) }
	l.onClose = func(l *link) { s.lost(c, l) }
	c.last = l
	return l, nil
}

// dial makes a bare connection, with TLS where it is configured: the certificate must be made out to the name in the list of servers, not to the address.
func (s *Session) dial(ctx context.Context, at endpoint) (net.Conn, error) {
	d := &net.Dialer{Timeout: 3 * time.Second}
	if s.cfg.TLS == nil {
		return d.DialContext(ctx, "tcp", at.addr)
	}
	conf := s.cfg.TLS.Clone()
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(at.name)
	}
	return (&tls.Dialer{NetDialer: d, Config: conf}).DialContext(ctx, "tcp", at.addr)
}
