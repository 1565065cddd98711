package register

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// Service is one endpoint to keep in one serverset: <root>/<Name>/<Env>.
type Service struct {
	Name string
	Env  string // default "default"
	Host string // where clients reach it: an address or a DNS name
	Port uint16
	// Checks all have to pass; none means that the service is always taken to be well.
	Checks   []Check
	Metadata serverset.Metadata
	Source   string // the file that says so, for the status page
}

// Key is what tells services apart.
func (s *Service) Key() discovery.Key {
	return discovery.Key{Service: s.Name, Env: s.Env, Host: s.Host, Port: s.Port}
}

func (s Service) withDefaults() Service {
	s.Env = cmp.Or(s.Env, "default")
	if host := strings.TrimSuffix(strings.TrimPrefix(s.Host, "["), "]"); net.ParseIP(host) != nil {
		s.Host = host // brackets belong to host:port, not to the host
	}
	s.Checks = slices.Clone(s.Checks)
	for i := range s.Checks {
		s.Checks[i] = s.Checks[i].withDefaults()
	}
	return s
}

// fault is something wrong with one field, with its remedy. The field is written as in YAML: checks[0].interval.
type fault struct{ field, text string }

// Validate joins every fault of the service.
func (s *Service) Validate() error {
	var errs []error
	for _, f := range s.faults() {
		errs = append(errs, fmt.Errorf("%s: %s", f.field, f.text))
	}
	return errors.Join(errs...)
}

func (s *Service) faults() (out []fault) {
	fail := func(field, format string, args ...any) { out = append(out, fault{field, fmt.Sprintf(format, args...)}) }
	for _, n := range [...]struct{ field, value string }{{"service", s.Name}, {"env", cmp.Or(s.Env, "default")}} {
		if why := badNode(n.value); why != "" {
			fail(n.field, "%s", why)
		}
	}
	switch ip := net.ParseIP(s.Host); {
	case s.Host == "":
		fail("host", "is missing; give the address or name that clients reach the service at")
	case ip != nil && ip.IsUnspecified():
		fail("host", "%s is where a program listens, not where clients reach it; give the host's own address", s.Host)
	default:
		if _, _, _, err := serverset.ParseKingPinName(serverset.NewKingPinName(s.Host, max(s.Port, 1))); err != nil {
			fail("host", "%.80q is neither an address nor a DNS name", s.Host)
		}
	}
	if s.Port == 0 {
		fail("port", "is missing or 0; give the service's port, 1 to 65535")
	}
	if len(s.Checks) > maxChecks {
		fail("checks", "%d are more than the %d that an agent runs for a service; fold some into one", len(s.Checks), maxChecks)
	}
	for i := range s.Checks {
		for _, f := range s.Checks[i].faults() {
			fail(strings.TrimSuffix(fmt.Sprintf("checks[%d].%s", i, f.field), "."), "%s", f.text)
		}
	}
	if s.Metadata.Status != "" {
		fail("status", "%q: the agent itself sets it; remove it", s.Metadata.Status)
	}
	if t := s.Metadata.Track; t != "" && t != "canary" && t != "baseline" && t != "production" {
		fail("track", "%q is not canary, baseline or production", t)
	}
	if _, err := s.Metadata.Encode(); err != nil {
		for line := range strings.SplitSeq(strings.TrimPrefix(err.Error(), "encode metadata: "), "\n") {
			fail(metadataField(line), "%s", line)
		}
	}
	return out
}

const maxChecks = 16

// metadataField finds the field that an error of Metadata.Encode is about, as YAML calls it.
func metadataField(text string) string {
	for word, field := range map[string]string{"scheme ": "scheme", "stats path ": "stats_path", "shard ": "shard", "expected ": "expected"} {
		if strings.HasPrefix(text, word) {
			return field
		}
	}
	return "tags"
}

// badNode says why a name can not be that of a znode in the layout <root>/<service>/<env>, or "".
func badNode(name string) string {
	switch {
	case name == "":
		return "is missing; give it a name"
	case len(name) > 200:
		return fmt.Sprintf("is %d bytes long; use at most 200", len(name))
	case name == "." || name == "..":
		return fmt.Sprintf("%q is no name", name)
	case strings.Contains(name, "/"):
		return fmt.Sprintf("%q holds a /, which would make another path; use a - or a dot", name)
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }); i >= 0 {
		return fmt.Sprintf("%q holds a space, a control character or broken UTF-8; use letters, digits, - and dots", name)
	}
	return ""
}

func (s *Service) endpoint() string { return net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))) }

// data is what the service's member holds.
func (s *Service) data(failing bool) ([]byte, error) {
	m := s.Metadata
	if failing {
		m.Status = string(discovery.Failing)
	}
	return m.Encode()
}
