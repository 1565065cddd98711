package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

var errRosterFields = errors.New("from, ts or service is missing")

// DecodeRoster reads one roster record. Unlike Decode it copies what it keeps: *r may outlive b.
func DecodeRoster(b []byte, r *RosterRecord) error {
	*r = RosterRecord{}
	var rec Record // for its readers
	s := &rec.scan
	s.Reset(b, jsonscan.Options{})
	v := int64(0)
	var bad error
	if s.Object() {
		for key, ok := s.Key(); ok; key, ok = s.Key() {
			switch string(key.Raw) {
			case "v":
				v = rec.int()
			case "from":
				if t := rec.string(); s.Err() == nil {
					var err error
					if r.Collector, r.Start, err = parseFrom(t); err != nil {
						bad = err
					}
				}
			case "ts":
				r.TS = rec.int()
			case "service":
				r.Service = strings.Clone(rec.string())
			case "env":
				r.Env = strings.Clone(rec.string())
			case "full":
				r.Full = s.Peek() == jsonscan.True
				s.Skip()
			case "version":
				n := rec.int()
				r.Version = uint64(n)
			case "part":
				r.Part = int(rec.int())
			case "parts":
				r.Parts = int(rec.int())
			case "term":
				r.Term, _ = hex(rec.string())
			case "collector":
				if o, err := own(s); err != nil {
					bad = err
				} else {
					r.Own = o
				}
			case "order":
				if o, err := order(s); err != nil {
					bad = err
				} else {
					r.Order = o
				}
			case "entries":
				if rec.array() {
					for s.More() {
						if c, ok := rec.change(); ok {
							r.Changes = append(r.Changes, c)
						}
					}
				}
			default:
				s.Skip()
			}
		}
	}
	switch err := s.End(); {
	case err != nil:
		return fmt.Errorf("decode roster record: %w", err)
	case v != Version:
		return fmt.Errorf("decode roster record: %w", errVersion)
	case bad != nil:
		return fmt.Errorf("decode roster record: %w", bad)
	case r.TS == 0 || r.Service == "" && r.Own == nil && r.Order == nil || r.Start == 0:
		return fmt.Errorf("decode roster record: %w", errRosterFields)
	}
	for i := range r.Changes {
		r.Changes[i].Service, r.Changes[i].Env = r.Service, r.Env
	}
	return nil
}

func parseFrom(s string) (collector, start uint64, err error) {
	id, err := ParseID(s + "/0/0")
	if err != nil {
		return 0, 0, fmt.Errorf("parse from %q: want collector/start", s[:min(len(s), 80)])
	}
	return id.Collector, id.Start, nil
}

// change reads one entry; ok is false for another value.
func (r *Record) change() (c discovery.Change, ok bool) {
	s := &r.scan
	if !r.object() {
		return c, false
	}
	c.Shard = discovery.NoShard
	text := func() string { return strings.Clone(r.string()) }
	when := func() time.Time {
		if n := r.int(); n != 0 {
			return time.UnixMilli(n)
		}
		return time.Time{}
	}
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		switch string(key.Raw) {
		case "state":
			c.State = discovery.State(text())
		case "was":
			c.Was = discovery.State(text())
		case "instance":
			c.Host, c.Port = splitInstance(text())
		case "reason":
			c.Reason = text()
		case "cause":
			c.Cause = discovery.Cause(text())
		case "excuse":
			c.Excuse = text()
		case "flaps":
			c.Flaps = int(max(r.int(), 0))
		case "at":
			c.At = when()
		case "since":
			c.Since = when()
		case "joined":
			c.Joined = when()
		case "verified":
			c.Verified = when()
		case "zxid":
			z, _ := hex(r.string())
			c.Zxid = int64(z)
		case "seen":
			z, _ := hex(r.string())
			c.Seen = int64(z)
		case "source":
			c.Source = text()
		case "path":
			c.Path = text()
		case "member":
			c.Member = text()
		case "format":
			c.Format = text()
		case "shard":
			c.Shard = int32(r.int())
		case "status":
			c.Status = text()
		case "scheme":
			c.Scheme = text()
		case "stats_path":
			c.StatsPath = text()
		case "stats_host":
			c.StatsHost = text()
		case "stats_port":
			c.StatsPort = uint16(r.int())
		case "tags":
			c.Tags = r.tags()
		case "old_tags":
			c.OldTags = r.tags()
		default:
			s.Skip()
		}
	}
	return c, true
}

// tags reads an object of strings.
func (r *Record) tags() discovery.Tags {
	r.pairs = r.pairs[:0]
	m := map[string]string{}
	for _, p := range r.labels() {
		m[strings.Clone(p.Name)] = strings.Clone(p.Value)
	}
	return discovery.TagsOf(m)
}

// splitInstance is the inverse of appendAddr; a text without a port is a host.
func splitInstance(s string) (host string, port uint16) {
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return s, 0
	}
	n, err := strconv.ParseUint(s[at+1:], 10, 16)
	if err != nil {
		return s, 0
	}
	host = s[:at]
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	return host, uint16(n)
}
