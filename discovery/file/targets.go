package file

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
	"github.com/rollcall-metrics/rollcall/internal/yamltext"
)

// Group is Prometheus' target group: addresses and the labels that all of them have.
type Group struct {
	Targets []string          `json:"targets" yaml:"targets"`
	Labels  map[string]string `json:"labels" yaml:"labels"`
	line    int               // in the file, where it is known
}

// decodeTargets reads a file_sd file: YAML where the name ends so, JSON otherwise. An error names file and line.
func decodeTargets(file string, b []byte) ([]Group, error) {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".yml", ".yaml":
		return decodeYAML(file, b)
	}
	return decodeJSON(file, b)
}

// decodeJSON reads an array of groups, strictly: a misspelt key must not lose anybody's labels.
func decodeJSON(file string, b []byte) ([]Group, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	fault := func(err error) error {
		at := d.InputOffset()
		// A decoder of a stream counts from somewhere inside it: the text as a whole tells where its syntax is broken.
		var whole json.RawMessage
		if syntax := (*json.SyntaxError)(nil); errors.As(json.Unmarshal(b, &whole), &syntax) {
			at, err = syntax.Offset, syntax
			if at >= int64(len(b)) {
				err = errors.New("the text ends before the list does")
			}
		}
		return fmt.Errorf("%s:%d: %w", file, 1+bytes.Count(b[:min(int(at), len(b))], []byte("\n")), err)
	}
	tok, err := d.Token()
	if err != nil {
		return nil, fault(err)
	}
	if tok != json.Delim('[') {
		return nil, fault(fmt.Errorf("it begins with %v; it must be a list of {\"targets\": […], \"labels\": {…}}", tok))
	}
	var out []Group
	for d.More() {
		// InputOffset stands behind what was read: the group begins after the comma and blanks that follow.
		from := int(d.InputOffset())
		from += len(b[from:]) - len(bytes.TrimLeft(b[from:], ", \t\r\n"))
		g := Group{line: 1 + bytes.Count(b[:from], []byte("\n"))}
		if err := d.Decode(&g); err != nil {
			return nil, fault(err)
		}
		out = append(out, g)
	}
	if _, err := d.Token(); err != nil {
		return nil, fault(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fault(errors.New("there is something behind the list"))
	}
	return out, nil
}

func decodeYAML(file string, b []byte) (out []Group, err error) {
	defer func() { // a parser of anything that people write
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("%s:1: the YAML cannot be read: %v", file, p)
		}
	}()
	if err := yamltext.CheckDepth(b); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := yaml.UnmarshalWithOptions(b, &out, yaml.Strict()); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
			return nil, fmt.Errorf("%s:%d: %s", file, at.GetToken().Position.Line, at.GetMessage())
		}
		return nil, fmt.Errorf("%s:1: %w", file, err)
	}
	return out, nil
}

// origin is what members get from where they stand.
type origin struct {
	file   string // or URL, for faults
	format string
	job    string            // the service of targets that name none
	meta   map[string]string // __meta_* labels of every target
}

// members turns groups into members. An address that is none makes a member that does not parse; the others stand.
func members(groups []Group, o origin) ([]discovery.Member, error) {
	var out []discovery.Member
	for n, g := range groups {
		base, err := o.instance(g.Labels)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.place(n, g.line), err)
		}
		if len(out)+len(g.Targets) > maxTargets {
			return nil, fmt.Errorf("%s: more than %d targets", o.place(n, g.line), maxTargets)
		}
		for i, t := range g.Targets {
			m := discovery.Member{Instance: base}
			m.Member = cmp.Or(clean(t[:min(len(t), maxLine)]), fmt.Sprintf("target %d", i+1))
			if m.Host, m.Port, err = endpoint(withPort(t, base.Scheme)); err != nil || len(t) > maxLine {
				m.Host, m.Port = "", 0
				m.Err = fmt.Errorf("%s: target %.60q: %w", o.place(n, g.line), t, err)
			}
			out = append(out, m)
		}
	}
	return out, nil
}

func (o *origin) place(n, line int) string {
	if line > 0 {
		return fmt.Sprintf("%s:%d", o.file, line)
	}
	return fmt.Sprintf("%s: group %d", o.file, n+1)
}

// instance is what the labels of a group say of its targets. `service`, else `job`, is the service; `env` or `deployment.environment.name` the environment; `__scheme__`
// and `__metrics_path__` where to pull; `instance` the tag service.instance.id; other names that begin with __ are labels for relabelling, the rest are tags.
func (o *origin) instance(labels map[string]string) (discovery.Instance, error) {
	i := discovery.Instance{Format: o.format, Shard: discovery.NoShard}
	tags, meta := map[string]string{}, map[string]string{}
	for n, v := range o.meta {
		meta[n] = v
	}
	for n, v := range labels {
		if v == "" {
			continue
		}
		if len(n) > serverset.MaxTagName || len(v) > serverset.MaxTagValue {
			return i, fmt.Errorf("label %.60q is longer than %d bytes of name or %d of value", n, serverset.MaxTagName, serverset.MaxTagValue)
		}
		switch n {
		case "service":
			i.Service = v
		case "env":
			i.Env = v
		case "job", "deployment.environment.name", "deployment_environment_name":
		case "__scheme__":
			i.Scheme = strings.ToLower(v)
		case "__metrics_path__":
			i.StatsPath = v
		case "__address__":
		case "instance":
			tags["service.instance.id"] = v
		default:
			if strings.HasPrefix(n, "__") {
				meta[n] = v
			} else if full := serverset.TagName(n); full == n || labels[full] == "" {
				tags[full] = v
			}
		}
	}
	for _, s := range []struct {
		to   *string
		from []string
	}{
		{&i.Service, []string{labels["job"], o.job}},
		{&i.Env, []string{labels["deployment.environment.name"], labels["deployment_environment_name"], serverset.DefaultEnv}},
	} {
		for _, v := range s.from {
			if *s.to == "" {
				*s.to = v
			}
		}
		*s.to = strings.ReplaceAll(clean(*s.to), "/", "%2F") // service/env is the key of the records, and has exactly one slash
	}
	if i.Scheme != "" && i.Scheme != "http" && i.Scheme != "https" {
		return i, fmt.Errorf("__scheme__ %.20q is neither http nor https", i.Scheme)
	}
	if i.StatsPath != "" && !strings.HasPrefix(i.StatsPath, "/") {
		return i, fmt.Errorf("__metrics_path__ %.60q does not begin with /", i.StatsPath)
	}
	if len(tags)+len(meta) > serverset.MaxTags {
		return i, fmt.Errorf("%d labels, over the limit of %d", len(tags)+len(meta), serverset.MaxTags)
	}
	i.Tags, i.Meta = discovery.TagsOf(tags), discovery.TagsOf(meta)
	return i, nil
}

// withPort adds the scheme's port to an address that has none, as Prometheus does.
func withPort(addr, scheme string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	port := 80
	if scheme == "https" {
		port = 443
	}
	host := addr
	if strings.HasPrefix(addr, "[") && strings.HasSuffix(addr, "]") {
		host = addr[1 : len(addr)-1]
	} else if strings.Count(addr, ":") == 1 { // host: or :port: not an IPv6 address, and not for us to mend
		return addr
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
