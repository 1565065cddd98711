package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Duration is written as Prometheus writes it: 1h30m, 15s, 500ms, 2d.
type Duration time.Duration

// Std is the duration as the standard library has it, or def where it is zero.
func (d Duration) Std(def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return time.Duration(d)
}

var durationUnits = []struct {
	name string
	unit time.Duration
}{{"y", 365 * 24 * time.Hour}, {"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}

// ParseDuration reads 1h30m; units from the greatest to the smallest, each once.
func ParseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("duration %q: write it as 15s, 1m30s or 2h", s)
	if s == "0" {
		return 0, nil
	}
	var total time.Duration
	rest, last := s, -1
	for rest != "" {
		n := 0
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		u := n
		for u < len(rest) && (rest[u] < '0' || rest[u] > '9') {
			u++
		}
		v, err := strconv.ParseInt(rest[:n], 10, 40)
		if err != nil {
			return 0, bad
		}
		found := false
		for i, k := range durationUnits {
			if k.name == rest[n:u] && i > last {
				d := time.Duration(v) * k.unit
				if v != 0 && d/k.unit != time.Duration(v) || total+d < total {
					return 0, fmt.Errorf("duration %q is out of range", s)
				}
				total, last, found = total+d, i, true
			}
		}
		if !found {
			return 0, bad
		}
		rest = rest[u:]
	}
	if last < 0 {
		return 0, bad
	}
	return total, nil
}

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (d *Duration) UnmarshalYAML(n ast.Node) error {
	s, err := scalar(n)
	if err != nil {
		return err
	}
	v, err := ParseDuration(s)
	*d = Duration(v)
	return atLine(n, err)
}

// MarshalYAML writes it as it is read.
func (d Duration) MarshalYAML() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	rest := time.Duration(d)
	for _, k := range durationUnits[2:] {
		if n := rest / k.unit; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, k.name)
			rest -= n * k.unit
		}
	}
	return b.String()
}

// Size is a number of bytes: 10MB, 512KB, 1GB (of 1024), or a bare number.
type Size int64

// Or is the size, or def where it is zero.
func (s Size) Or(def int64) int64 {
	if s == 0 {
		return def
	}
	return int64(s)
}

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (s *Size) UnmarshalYAML(n ast.Node) error {
	text, err := scalar(n)
	if err != nil {
		return err
	}
	t := strings.TrimSuffix(strings.ToUpper(text), "B")
	shift := 0
	for i, unit := range []string{"K", "M", "G", "T"} {
		if rest, ok := strings.CutSuffix(strings.TrimSuffix(t, "I"), unit); ok {
			t, shift = rest, 10*(i+1)
		}
	}
	v, err := strconv.ParseInt(t, 10, 64)
	if err != nil || v < 0 || v<<shift>>shift != v {
		return atLine(n, fmt.Errorf("size %q: write it as 10MB, 512KB or 1GB", text))
	}
	*s = Size(v << shift)
	return nil
}

// MarshalYAML writes the largest whole unit.
func (s Size) MarshalYAML() ([]byte, error) {
	for i := 4; i > 0; i-- {
		if s != 0 && s%(1<<(10*i)) == 0 {
			return fmt.Appendf(nil, "%d%cB", s>>(10*i), " KMGT"[i]), nil
		}
	}
	return fmt.Appendf(nil, "%d", int64(s)), nil
}

func scalar(n ast.Node) (string, error) {
	var v string
	if err := yaml.NodeToValue(n, &v); err != nil {
		return "", err
	}
	return strings.TrimSpace(v), nil
}

// atLine says where it is that something is wrong.
func atLine(n ast.Node, err error) error {
	if t := n.GetToken(); err != nil && t != nil && t.Position != nil {
		return atToken{t, err}
	}
	return err
}

// atToken is what is wrong with a value that stands at a token.
type atToken struct {
	token *token.Token
	err   error
}

func (e atToken) Error() string          { return fmt.Sprintf("line %d: %v", e.token.Position.Line, e.err) }
func (e atToken) Unwrap() error          { return e.err }
func (e atToken) GetToken() *token.Token { return e.token }
