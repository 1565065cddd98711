package serverset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// Metadata is what an agent says of the instance it registers. It is the data of a KingPin member, whose endpoint is in the name, so KingPin's own
// readers never see it; as the data of a serverset's own znode it speaks for every member that does not say otherwise.
//
// On the wire it is one compact JSON object with "v":1 and the fields below. Readers take the fields they know, of the right type, and leave the rest;
// an object without "v" is read as well, one with another "v" is not.
type Metadata struct {
	Version   string            `json:"version,omitempty"`    // tag service.version
	Zone      string            `json:"zone,omitempty"`       // tag cloud.availability_zone
	Region    string            `json:"region,omitempty"`     // tag cloud.region
	Track     string            `json:"track,omitempty"`      // tag rollcall.track: canary, baseline or production
	Host      string            `json:"host,omitempty"`       // tag host.name
	Owner     string            `json:"owner,omitempty"`      // tag team
	Tags      map[string]string `json:"tags,omitempty"`       // any other tags; short names as TagName maps them; the fields above win
	StatsPort uint16            `json:"stats_port,omitempty"` // where to pull, if it is not the endpoint's port
	StatsPath string            `json:"stats_path,omitempty"` // what to pull, if it is not the job's path; begins with /
	Scheme    string            `json:"scheme,omitempty"`     // http or https
	Status    string            `json:"status,omitempty"`     // such as failing: the instance's own checks fail
	Shard     *int              `json:"shard,omitempty"`      // nil where there is none
	Expected  int               `json:"expected,omitempty"`   // how many instances the service should have, this one included; 0: not said
}

type metadataWire struct {
	V int `json:"v,omitempty"`
	Metadata
}

const metadataVersion = 1

// maxExpected bounds what a member says of the size of its service.
const maxExpected = 10_000_000

// Encode renders m as compact JSON with its fields in a fixed order: equal metadata, equal bytes. It refuses what a reader would leave out.
func (m *Metadata) Encode() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // read by people in zkCli as often as by programs
	if err := e.Encode(metadataWire{metadataVersion, *m}); err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(out) > MaxData {
		return nil, fmt.Errorf("encode metadata: %d bytes, over the %d that readers take; shorten the tags", len(out), MaxData)
	}
	return out, nil
}

func (m *Metadata) validate() error {
	var errs []error
	if m.Scheme != "" && m.Scheme != "http" && m.Scheme != "https" {
		errs = append(errs, fmt.Errorf("scheme %q is neither http nor https", m.Scheme))
	}
	if m.StatsPath != "" && !goodPath(m.StatsPath) {
		errs = append(errs, fmt.Errorf("stats path %q does not begin with one /, or holds a control character", m.StatsPath))
	}
	if m.Shard != nil && (*m.Shard < 0 || *m.Shard > math.MaxInt32) {
		errs = append(errs, fmt.Errorf("shard %d is not within 0..%d", *m.Shard, math.MaxInt32))
	}
	if m.Expected < 0 || m.Expected > maxExpected {
		errs = append(errs, fmt.Errorf("expected %d is not within 1..%d", m.Expected, maxExpected))
	}
	tags := m.tags()
	if len(tags) > MaxTags {
		errs = append(errs, fmt.Errorf("%d tags, over the limit of %d", len(tags), MaxTags))
	}
	for _, n := range slices.Sorted(maps.Keys(tags)) {
		if !goodTag(n, tags[n]) {
			errs = append(errs, fmt.Errorf("tag %.60q is longer than %d bytes of name or %d of value, or holds a NUL", n, MaxTagName, MaxTagValue))
		}
	}
	return errors.Join(errs...)
}

// DecodeMetadata reads the data of a KingPin member. It never fails: data that is no metadata (empty, the host:port that KingPin itself writes,
// anything foreign) is the zero Metadata and false, for the endpoint is in the name. A field of the wrong type costs that field only.
func DecodeMetadata(data []byte) (Metadata, bool) {
	if data = bytes.TrimSpace(data); len(data) < 2 || data[0] != '{' || len(data) > MaxData {
		return Metadata{}, false
	}
	var m Metadata
	version := metadataVersion
	var s jsonscan.Scanner
	s.Reset(data, jsonscan.Options{MaxDepth: maxMetadataDepth})
	if !s.Object() {
		return Metadata{}, false
	}
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		name := ""
		if key.Plain() {
			name = key.View()
		}
		switch name {
		case "v":
			version = intOf(&s, metadataVersion)
		case "version":
			stringOf(&s, &m.Version)
		case "zone":
			stringOf(&s, &m.Zone)
		case "region":
			stringOf(&s, &m.Region)
		case "track":
			stringOf(&s, &m.Track)
		case "host":
			stringOf(&s, &m.Host)
		case "owner":
			stringOf(&s, &m.Owner)
		case "stats_path":
			stringOf(&s, &m.StatsPath)
		case "scheme":
			stringOf(&s, &m.Scheme)
		case "status":
			stringOf(&s, &m.Status)
		case "stats_port":
			m.StatsPort = 0
			if n := intOf(&s, 0); n > 0 && n <= math.MaxUint16 {
				m.StatsPort = uint16(n)
			}
		case "shard":
			m.Shard = nil
			if n := intOf(&s, -1); n >= 0 {
				m.Shard = &n
			}
		case "expected":
			if m.Expected = intOf(&s, 0); m.Expected < 0 || m.Expected > maxExpected {
				m.Expected = 0
			}
		case "tags":
			m.Tags = stringsOf(&s)
		default:
			s.Skip()
		}
	}
	if s.End() != nil || version != 0 && version != metadataVersion {
		return Metadata{}, false
	}
	if m.Scheme != "http" && m.Scheme != "https" {
		m.Scheme = ""
	}
	if !goodPath(m.StatsPath) {
		m.StatsPath = ""
	}
	return m, true
}

// maxMetadataDepth bounds what foreign data may nest; ours has two levels.
const maxMetadataDepth = 64

// stringOf reads a string; a value of another type leaves what is there.
func stringOf(s *jsonscan.Scanner, to *string) {
	if s.Peek() != jsonscan.String {
		s.Skip()
		return
	}
	t := s.String()
	if t.Plain() {
		*to = string(t.Raw)
		return
	}
	b, _ := t.Append(nil)
	*to = string(b)
}

// intOf reads a whole number, or gives another value its stead.
func intOf(s *jsonscan.Scanner, instead int) int {
	if s.Peek() != jsonscan.Number {
		s.Skip()
		return instead
	}
	if n, ok := jsonscan.Int64(s.Number()); ok && n >= math.MinInt32 && n <= math.MaxInt32 {
		return int(n)
	}
	return instead
}

// stringsOf reads an object of strings; members of other types are left out.
func stringsOf(s *jsonscan.Scanner) map[string]string {
	if s.Peek() != jsonscan.Object || !s.Object() {
		s.Skip()
		return nil
	}
	out := map[string]string{}
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		name := string(key.Raw)
		if !key.Plain() {
			b, _ := key.Append(nil)
			name = string(b)
		}
		if s.Peek() != jsonscan.String {
			s.Skip()
			delete(out, name)
			continue
		}
		var v string
		stringOf(s, &v)
		out[name] = v
	}
	return out
}

// goodPath keeps a znode from shaping the request beyond its path.
func goodPath(p string) bool {
	return strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "//") && !strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' })
}

func goodTag(name, value string) bool {
	return len(name) <= MaxTagName && len(value) <= MaxTagValue && !strings.Contains(name, "\x00") && !strings.Contains(value, "\x00")
}

// tags is every tag of m by its full name.
func (m *Metadata) tags() map[string]string {
	out := make(map[string]string, len(m.Tags)+6)
	for _, n := range slices.Sorted(maps.Keys(m.Tags)) {
		addTag(out, n, m.Tags[n])
	}
	for _, f := range [...][2]string{{TagVersion, m.Version}, {TagZone, m.Zone}, {TagRegion, m.Region}, {TagTrack, m.Track}, {TagHost, m.Host}, {TagTeam, m.Owner}} {
		if f[1] != "" {
			out[f[0]] = f[1]
		}
	}
	return out
}

// TagMap is every tag of m under its full name, within the limits; left is how many were left out.
func (m *Metadata) TagMap() (tags map[string]string, left int) { return withinLimits(m.tags()) }

// Apply puts what m says into an instance: tags, scrape address, status and shard. What the instance already says is overwritten where m speaks. It returns how
// many tags were left out for the limits.
func (m *Metadata) Apply(i *discovery.Instance) (left int) {
	tags, left := m.TagMap()
	i.Tags = i.Tags.With(tags)
	if m.StatsPort != 0 {
		i.StatsPort = m.StatsPort
	}
	for _, f := range [...]struct {
		to   *string
		from string
	}{{&i.StatsPath, m.StatsPath}, {&i.Scheme, m.Scheme}, {&i.Status, m.Status}} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	if m.Shard != nil {
		i.Shard = int32(*m.Shard)
	}
	return left
}
