package tag

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/rollcall-metrics/rollcall/internal/textfile"
)

// network is one row of a file.
type network struct {
	prefix netip.Prefix
	tags   map[string]string // only those with a value
}

const (
	maxNetworksBytes = 64 << 20
	maxCell          = 1024 // bytes of a tag's value
	maxFaults        = 10   // named of one file
)

func readNetworks(file string) ([]network, error) {
	b, err := textfile.Read(file, maxNetworksBytes)
	if err != nil {
		return nil, fmt.Errorf("read networks: %w", err)
	}
	return parseNetworks(file, b)
}

// parseNetworks reads a CSV file (RFC 4180; lines that begin with # and empty ones are passed over). The first line names the columns: cidr, then one tag a
// column. A row is a prefix, or an address for itself alone, and the values; an empty one says nothing. Each fault names its line.
func parseNetworks(file string, b []byte) ([]network, error) {
	r := csv.NewReader(bytes.NewReader(b))
	r.Comment, r.TrimLeadingSpace, r.FieldsPerRecord, r.ReuseRecord = '#', true, -1, true
	fault := func(line int, format string, args ...any) error {
		return fmt.Errorf("%s:%d: %w", file, line, fmt.Errorf(format, args...))
	}
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, fault(1, "no header; the first line names the columns: cidr,cloud.availability_zone,rack")
	}
	if err != nil {
		return nil, csvFault(file, err)
	}
	names := make([]string, len(head))
	seenName := map[string]bool{}
	for i, n := range head {
		names[i] = strings.Clone(strings.TrimSpace(n))
		switch n := names[i]; {
		case i == 0 && !strings.EqualFold(n, "cidr"):
			return nil, fault(1, "the first column is %q; it must be cidr", n)
		case i == 0:
		case n == "" || !utf8.ValidString(n) || strings.ContainsAny(n, "\x00\n\r"):
			return nil, fault(1, "column %d has no usable name: %q", i+1, n)
		case seenName[n]:
			return nil, fault(1, "two columns are called %q", n)
		}
		seenName[names[i]] = true
	}
	var out []network
	var faults []error
	at := map[netip.Prefix]int{}
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // where the quoting is broken nothing after it can be told apart
			faults = append(faults, csvFault(file, err))
			break
		}
		line, _ := r.FieldPos(0)
		n, err := parseRow(names, rec)
		if err == nil && at[n.prefix] != 0 {
			err = fmt.Errorf("%s stands in line %d already", n.prefix, at[n.prefix])
		}
		if err != nil {
			if faults = append(faults, fault(line, "%w", err)); len(faults) == maxFaults {
				faults = append(faults, fmt.Errorf("%s: and perhaps more", file))
				break
			}
			continue
		}
		at[n.prefix] = line
		out = append(out, n)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return out, nil
}

func csvFault(file string, err error) error {
	var pe *csv.ParseError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s:%d: %w", file, pe.Line, pe.Err)
	}
	return fmt.Errorf("%s: %w", file, err)
}

func parseRow(names, rec []string) (network, error) {
	if len(rec) > len(names) {
		return network{}, fmt.Errorf("%d cells under %d columns", len(rec), len(names))
	}
	n := network{tags: map[string]string{}}
	var err error
	if n.prefix, err = parsePrefix(strings.TrimSpace(rec[0])); err != nil {
		return network{}, err
	}
	for i, v := range rec[1:] {
		v = strings.TrimSpace(v)
		switch {
		case len(v) > maxCell:
			return network{}, fmt.Errorf("%s is longer than %d bytes", names[i+1], maxCell)
		case !utf8.ValidString(v) || strings.Contains(v, "\x00"):
			return network{}, fmt.Errorf("%s is no valid text: %q", names[i+1], v)
		case v != "":
			n.tags[names[i+1]] = strings.Clone(v)
		}
	}
	return n, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%q is no network; write it as 10.1.0.0/16 or 2001:db8::/32", s)
		}
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no network; write it as 10.1.0.0/16 or 2001:db8::/32", s)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if m := p.Masked(); m != p {
		return netip.Prefix{}, fmt.Errorf("%s has bits beyond its length; is it %s or %s/%d?", p, m, p.Addr(), p.Addr().BitLen())
	}
	return p, nil
}
