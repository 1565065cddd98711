package serverset

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Pattern says which paths are serversets and what service and environment each stands for: /aurora/{role}/{env}/{job} with the service {role}.{job}. A
// {name} matches one part of the path, or what a part has between literal text (svc-{service}); it matches any text without a slash, but not none.
type Pattern struct {
	path         string
	parts        []part
	service, env template
}

type part struct{ prefix, name, suffix string } // name empty: the part is prefix, literally

func (p part) match(s string) (value string, ok bool) {
	if p.name == "" {
		return "", s == p.prefix
	}
	if len(s) <= len(p.prefix)+len(p.suffix) || !strings.HasPrefix(s, p.prefix) || !strings.HasSuffix(s, p.suffix) {
		return "", false
	}
	return s[len(p.prefix) : len(s)-len(p.suffix)], true
}

// template is literal text and names, in turns: text[0] name[0] text[1] name[1] … text[n].
type template struct {
	raw         string
	text, names []string
}

// DefaultEnv is the environment of serversets whose pattern names none.
const DefaultEnv = "default"

var placeholder = regexp.MustCompile(`\{([a-zA-Z_][a-zA-Z0-9_]*)\}`)

func parseTemplate(s string) template {
	t := template{raw: s}
	last := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(s, -1) {
		t.text, t.names = append(t.text, s[last:m[0]]), append(t.names, s[m[2]:m[3]])
		last = m[1]
	}
	t.text = append(t.text, s[last:])
	return t
}

// expand fills the template in. A slash in what comes out is escaped as %2F: service/env is the key of the records, and has exactly one.
func (t template) expand(vars map[string]string) string {
	var b strings.Builder
	for i, n := range t.names {
		b.WriteString(t.text[i])
		b.WriteString(vars[n])
	}
	b.WriteString(t.text[len(t.names)])
	return strings.ReplaceAll(b.String(), "/", "%2F")
}

// ParsePattern reads a path with {names} in it, and the templates of service and environment over the same names. An empty service is {service}, or where the
// path has no such name, its others but {env} with dots between them: {role}.{job} of /aurora/{role}/{env}/{job}. An empty env is {env} where the path has it,
// else DefaultEnv. The error joins every fault, each with its remedy.
func ParsePattern(path, service, env string) (Pattern, error) {
	p := Pattern{path: path}
	var errs []error
	fault := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	names := map[string]bool{}
	var others []string // but env, in order
	switch {
	case !strings.HasPrefix(path, "/"):
		fault("it does not begin with /")
	case path == "/" || strings.HasSuffix(path, "/") || strings.Contains(path, "//"):
		fault("it has an empty part; write it without the slash at the end or in a row")
	}
	for s := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		found := placeholder.FindAllStringSubmatchIndex(s, -1)
		literal := placeholder.ReplaceAllString(s, "")
		switch {
		case strings.ContainsAny(literal, "{}*"):
			fault("part %q holds a {, } or * that is no {name}", s)
		case literal == "." || literal == "..":
			fault("part %q is no name of a node", s)
		case len(found) > 1:
			fault("part %q has two names; one part of a path can be one thing only", s)
		case len(found) == 0:
			p.parts = append(p.parts, part{prefix: s})
		default:
			m := found[0]
			name := s[m[2]:m[3]]
			if names[name] {
				fault("{%s} stands in it twice", name)
			}
			names[name] = true
			if name != "env" {
				others = append(others, name)
			}
			p.parts = append(p.parts, part{s[:m[0]], name, s[m[1]:]})
		}
	}
	if service == "" {
		service = "{service}"
		if !names["service"] && len(others) > 0 {
			service = "{" + strings.Join(others, "}.{") + "}"
		} else if !names["service"] {
			names["service"] = true // said once is enough
			fault("no part of it is {service}; name one so, or give service, such as service: '{role}.{job}'")
		}
	}
	if env == "" {
		if env = DefaultEnv; names["env"] {
			env = "{env}"
		}
	}
	p.service, p.env = parseTemplate(service), parseTemplate(env)
	for what, t := range map[string]template{"service": p.service, "env": p.env} {
		for _, n := range t.names {
			if !names[n] {
				fault("%s %q: the path has no {%s}", what, t.raw, n)
			}
		}
		if strings.ContainsAny(strings.Join(t.text, ""), "{}") {
			fault("%s %q holds a { or } that is no {name}", what, t.raw)
		}
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return Pattern{}, fmt.Errorf("parse path pattern %q: %w", path, errors.Join(errs...))
	}
	return p, nil
}

// String is the path as it was given.
func (p Pattern) String() string { return p.path }

// Templates are the templates of service and environment, defaults filled in.
func (p Pattern) Templates() (service, env string) { return p.service.raw, p.env.raw }

// Depth is the number of parts of the path.
func (p Pattern) Depth() int { return len(p.parts) }

// Root is the longest path above everything that matches: "/" where the first part is a {name}.
func (p Pattern) Root() string {
	var b strings.Builder
	for _, s := range p.parts {
		if s.name != "" {
			break
		}
		b.WriteString("/" + s.prefix)
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// Literal is the name of part i where it is the same in every match.
func (p Pattern) Literal(i int) (name string, ok bool) {
	return p.parts[i].prefix, p.parts[i].name == ""
}

// MatchPart reports whether name fits part i.
func (p Pattern) MatchPart(i int, name string) bool {
	_, ok := p.parts[i].match(name)
	return ok
}

// Match takes the path of a serverset apart.
func (p Pattern) Match(path string) (Place, bool) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok || len(p.parts) == 0 {
		return Place{}, false
	}
	vars := map[string]string{}
	for i, want := range p.parts {
		s, after, more := strings.Cut(rest, "/")
		if more != (i < len(p.parts)-1) {
			return Place{}, false
		}
		v, ok := want.match(s)
		if !ok {
			return Place{}, false
		}
		if want.name != "" {
			vars[want.name] = v
		}
		rest = after
	}
	return Place{path, p.service.expand(vars), p.env.expand(vars)}, true
}

// Expand is the path that the values of the names make. It is Match's other way.
func (p Pattern) Expand(vars map[string]string) (string, error) {
	var b strings.Builder
	for _, s := range p.parts {
		b.WriteString("/" + s.prefix)
		if s.name == "" {
			continue
		}
		v := vars[s.name]
		if v == "" || strings.Contains(v, "/") || s.prefix+v+s.suffix == "." || s.prefix+v+s.suffix == ".." {
			return "", fmt.Errorf("expand path pattern %q: {%s} cannot be %q", p.path, s.name, v)
		}
		b.WriteString(v + s.suffix)
	}
	return b.String(), nil
}
