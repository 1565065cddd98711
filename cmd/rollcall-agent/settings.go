package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery/register"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/discovery/zk"
)

// settings is what flags and the configuration file say together.
type settings struct {
	file     *register.File
	services []register.Service // of flags and file, not those of services.d
	patterns []string
}

// settings reads the configuration file, if one is given, and puts the flags over it.
func (c *registerCmd) settings() (*settings, error) {
	base := register.Defaults{}
	if name, err := os.Hostname(); err == nil {
		base.HostName = name
	}
	// Services need a host to be checked; which one is known when the servers are.
	base.Host = cmp.Or(c.Host, findHost)
	f := &register.File{Defaults: base}
	if c.ConfigFile != "" {
		text, err := os.ReadFile(c.ConfigFile)
		if err != nil {
			return nil, usage("read configuration: %w", err)
		}
		if f, err = register.ParseFile(text, base, os.LookupEnv); err != nil {
			return nil, usage("configuration %s: %w", c.ConfigFile, err)
		}
	}
	z := &f.ZooKeeper
	if len(c.ZooKeeper) > 0 {
		z.Servers = c.ZooKeeper
	}
	if len(z.Servers) == 0 {
		z.Servers = []string{"127.0.0.1:2181"}
	}
	z.SessionTimeout = cmp.Or(c.SessionTimeout, z.SessionTimeout, 16*time.Second)
	z.DigestFile = cmp.Or(c.DigestFile, z.DigestFile)
	f.Root = cmp.Or(c.Root, f.Root, "/discovery")
	s := &settings{file: f, services: f.Services}
	if c.Service != "" || c.Port != 0 {
		one, err := c.service(f.Defaults)
		if err != nil {
			return nil, err
		}
		s.services = append(s.services, one)
	}
	if err := s.resolveHost(); err != nil {
		return nil, err
	}
	for _, p := range f.ServiceFiles {
		if !filepath.IsAbs(p) {
			p = filepath.Join(filepath.Dir(c.ConfigFile), p)
		}
		s.patterns = append(s.patterns, p)
	}
	s.patterns = append(s.patterns, c.ServiceFiles...)
	if len(s.services)+len(s.patterns) == 0 {
		return nil, usage("nothing to register: give -s SERVICE -e ENV -p PORT, or --config.file with services, or --service-files")
	}
	return s, nil
}

// findHost stands for the host's own address until that is known. It parses as a name, and nobody's is that.
const findHost = "address-of-this-host.invalid"

func (s *settings) resolveHost() error {
	own := ""
	resolve := func(host *string) error {
		if *host != findHost {
			return nil
		}
		if own == "" {
			var err error
			if own, err = ownAddress(s.file.ZooKeeper.Servers); err != nil {
				return err
			}
		}
		*host = own
		return nil
	}
	errs := []error{resolve(&s.file.Defaults.Host)}
	for i := range s.services {
		errs = append(errs, resolve(&s.services[i].Host))
	}
	return errors.Join(errs...)
}

// ownAddress is the address of this host that packets to ZooKeeper leave from; none is sent. Where no server's name resolves, it is the first
// address that is not loopback.
func ownAddress(servers []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, s := range servers {
		if _, _, err := net.SplitHostPort(s); err != nil {
			s = net.JoinHostPort(strings.Trim(s, "[]"), "2181")
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "udp", s)
		if err != nil {
			continue
		}
		defer conn.Close()
		return conn.LocalAddr().(*net.UDPAddr).IP.String(), nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("find the address of this host: %w; give it with --host", err)
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			return ip.IP.String(), nil
		}
	}
	return "", errors.New("find the address of this host: it has none but loopback; give it with --host")
}

// service is the one that the flags describe.
func (c *registerCmd) service(d register.Defaults) (register.Service, error) {
	s := register.Service{Name: c.Service, Env: cmp.Or(c.Env, d.Env, "default"), Host: d.Host, Port: c.Port, Source: "the command line"}
	s.Metadata = serverset.Metadata{Version: c.ServiceVersion, Zone: cmp.Or(c.Zone, d.Zone), Region: cmp.Or(c.Region, d.Region), Track: c.Track,
		Host: cmp.Or(c.HostName, d.HostName), Owner: cmp.Or(c.Owner, d.Owner), Tags: d.Tags, StatsPort: c.StatsPort, StatsPath: c.StatsPath, Scheme: c.Scheme, Shard: c.Shard, Expected: c.Expected}
	if len(c.Tag) > 0 {
		s.Metadata.Tags = c.Tag
	}
	for _, text := range c.Checks {
		check, err := register.ParseCheck(text)
		if err != nil {
			return s, usage("--check: %w", err)
		}
		check.Interval, check.Timeout, check.Rise, check.Fall = c.CheckInterval, c.CheckTimeout, c.Rise, c.Fall
		s.Checks = append(s.Checks, check)
	}
	if err := s.Validate(); err != nil {
		return s, usage("service of the command line: %w", err)
	}
	return s, nil
}

// session makes the ZooKeeper session that the settings describe.
func (s *settings) session(c zk.Config) (*zk.Session, error) {
	z := &s.file.ZooKeeper
	c.Name, c.Servers, c.SessionTimeout = "register", z.Servers, z.SessionTimeout
	c.MaxPacket, c.MaxRequest = 4<<20, 256<<10 // a serverset of 70,000 members can be listed; one agent writes little
	if z.DigestFile != "" {
		b, err := os.ReadFile(z.DigestFile)
		if err != nil {
			return nil, usage("read digest: %w", err)
		}
		c.Digest = strings.TrimSpace(string(b))
	}
	if z.Protect {
		if c.Digest == "" {
			return nil, usage("zookeeper.protect needs a user to protect for; give digest_file, or remove it")
		}
		c.ACL = register.OwnACL()
	}
	if z.TLS != nil {
		var err error
		if c.TLS, err = tlsConfig(z.TLS); err != nil {
			return nil, usage("tls_config of zookeeper: %w", err)
		}
	}
	session, err := zk.NewSession(c)
	if err != nil {
		return nil, usageError{err}
	}
	return session, nil
}

func tlsConfig(t *register.TLS) (*tls.Config, error) {
	c := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		b, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("ca_file %q holds no certificate in PEM", t.CAFile)
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("cert_file and key_file go together; give both or none")
	}
	if t.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // read at each connection, so a renewed one counts
			pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			return &pair, err
		}
	}
	return c, nil
}
