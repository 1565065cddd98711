package serverset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/discovery"
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
	if m.Shard != nil && *m.Shard < 0 {
		errs = append(errs, fmt.Errorf("shard %d is below 0", *m.Shard))
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
// anything foreign) is the zero Metadata and false, for the endpoint is in the name.
func DecodeMetadata(data []byte) (Metadata, bool) {
	if data = bytes.TrimSpace(data); len(data) < 2 || data[0] != '{' || len(data) > MaxData {
		return Metadata{}, false
	}
	var w struct {
		metadataWire
		Shard json.RawMessage `json:"shard"` // a pointer would be 0, not nil, after a wrong type
	}
	err := json.Unmarshal(data, &w)
	// A field of the wrong type costs that field only: the decoder goes on behind it.
	if wrong := (*json.UnmarshalTypeError)(nil); err != nil && !errors.As(err, &wrong) {
		return Metadata{}, false
	}
	if w.V != 0 && w.V != metadataVersion {
		return Metadata{}, false
	}
	m := w.Metadata
	if m.Scheme != "http" && m.Scheme != "https" {
		m.Scheme = ""
	}
	if !goodPath(m.StatsPath) {
		m.StatsPath = ""
	}
	if n, err := strconv.Atoi(string(w.Shard)); err == nil && n >= 0 {
		m.Shard = &n
	}
	if m.Expected < 0 || m.Expected > maxExpected {
		m.Expected = 0
	}
	return m, true
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
		i.Shard = *m.Shard
	}
	return left
}
