package file

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// maxLine is the longest endpoint that is looked at: a DNS name has at most 253 bytes.
const maxLine = 512

// decodeServerset reads host:port lines, as KingPin writes them: joined by \n, without one at the end, in any order. Empty lines and those that begin with # are
// passed over, an endpoint that stands twice counts once. A line that is no endpoint is a member that does not parse: it hurts nobody else.
func decodeServerset(file string, b []byte) ([]discovery.Member, error) {
	service, env, err := serversetName(file)
	if err != nil {
		return nil, err
	}
	var out []discovery.Member
	seen := map[string]bool{}
	for n := 1; len(b) > 0; n++ {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if len(out) == maxTargets {
			return nil, fmt.Errorf("%s:%d: more than %d members", file, n, maxTargets)
		}
		text := string(line[:min(len(line), maxLine)])
		if seen[text] {
			continue
		}
		seen[text] = true
		m := discovery.Member{Instance: discovery.Instance{Key: discovery.Key{Service: service, Env: env}, Member: text, Format: "serverset_file", Shard: discovery.NoShard}}
		host, port, err := endpoint(text)
		switch {
		case len(line) > maxLine:
			m.Err = fmt.Errorf("line %d: longer than %d bytes", n, maxLine)
		case err != nil:
			m.Err = fmt.Errorf("line %d: %w", n, err)
		default:
			m.Host, m.Port = host, port
		}
		if m.Err != nil {
			m.Member = cmp.Or(clean(text), fmt.Sprintf("line %d", n))
		}
		out = append(out, m)
	}
	return out, nil
}

// endpoint is discovery.SplitAddr for what stands in files: what cannot be a host is refused with a word about it.
func endpoint(s string) (host string, port uint16, err error) {
	host, port, err = discovery.SplitAddr(s)
	if err != nil {
		return "", 0, err
	}
	if !utf8.ValidString(host) || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("/?#@\\", r) }) {
		return "", 0, fmt.Errorf("%.60q is no host", host)
	}
	return host, port, nil
}

// clean is a text for people to read.
func clean(s string) string { return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\ufffd") }

// serversetName is the service and environment in a file's name: discovery.<service>.<env>. KingPin makes it of the path in ZooKeeper, / turned into ., so a service may
// hold dots, and what comes first is the root. Without an environment it is `default`.
func serversetName(file string) (service, env string, err error) {
	parts := strings.Split(filepath.Base(file), ".")
	switch {
	case len(parts) > 2:
		service, env = strings.Join(parts[1:len(parts)-1], "."), parts[len(parts)-1]
	case len(parts) == 2 && parts[0] == "discovery":
		service, env = parts[1], serverset.DefaultEnv
	case len(parts) == 2:
		service, env = parts[0], parts[1]
	default:
		service, env = parts[0], serverset.DefaultEnv
	}
	if service == "" || env == "" {
		return "", "", fmt.Errorf("%s:1: the file's name gives no service and environment; call it discovery.<service>.<env>", file)
	}
	return service, env, nil
}
