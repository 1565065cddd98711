package serverset

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// Place is the serverset that a member stands in: its path, and what a Pattern makes of that.
type Place struct{ Path, Service, Env string }

// Options shape how members are read. The zero value tells each member's format by its name, else by its data, and takes its service endpoint.
type Options struct {
	Format Format // pins the format; members of others are unparsable, and siblings that a Finagle reader would pass over are (see Ignored)
	// Endpoint is the additional endpoint (Finagle) to pull from, such as http-admin, or several, separated by commas, of which the first that a member has is
	// taken; a member with none of them is unparsable, for its service endpoint need not speak HTTP. The instance keeps its service endpoint as its name,
	// unless the other is on another host.
	Endpoint string
	Defaults *Metadata // what the serverset's own znode says: tags and scrape address of members that do not say otherwise
}

// Validate reports a Format that is not one.
func (o Options) Validate() error {
	switch o.Format {
	case "", KingPin, Finagle, Nerve, Curator:
		return nil
	}
	return fmt.Errorf("format %q: not one of kingpin, finagle, nerve, curator", o.Format)
}

// Ignored reports siblings of members that are none: locks that KingPin leaves behind, Finagle's weights (see IsVector), ZooKeeper's own node.
func (o Options) Ignored(name string) bool {
	return strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, vectorPrefix) || strings.Contains(name, "__lock__") || name == "zookeeper" ||
		o.Format == Finagle && !strings.HasPrefix(name, finaglePrefix)
}

// ByName is the format that a name alone gives away, or "".
func ByName(name string) Format {
	switch {
	case strings.HasPrefix(name, finaglePrefix):
		return Finagle
	case strings.HasPrefix(name, nervePrefix):
		return Nerve
	case isKingPinName(name):
		return KingPin
	}
	return ""
}

// FormatOf is the format of a member, by its name, else by its data, or "".
func FormatOf(name string, data []byte) Format {
	if f := ByName(name); f != "" {
		return f
	}
	if f := byData(data); f != "" {
		return f
	}
	if _, _, _, err := ParseKingPinName(name); err == nil {
		return KingPin // made by hand: web1-10.0.0.5:80
	}
	return ""
}

func byData(data []byte) Format {
	if isThrift(data) {
		return Finagle
	}
	if data = bytes.TrimSpace(data); len(data) == 0 || data[0] != '{' || len(data) > MaxData {
		return ""
	}
	var has struct {
		ServiceEndpoint, Host, Port, Address, SSLPort, ServiceType, URISpec, RegistrationTimeUTC json.RawMessage
		JMXPort                                                                                  json.RawMessage `json:"jmx_port"`
	}
	if json.Unmarshal(data, &has) != nil {
		return ""
	}
	switch {
	case has.ServiceEndpoint != nil:
		return Finagle
	case has.Address != nil && (has.ServiceType != nil || has.URISpec != nil || has.RegistrationTimeUTC != nil || has.SSLPort != nil):
		return Curator
	case has.Host != nil && has.Port != nil && has.JMXPort == nil: // Kafka's brokers have host and port as well, but no HTTP there
		return Nerve
	}
	return ""
}

// ErrUntold is the error of a member whose format neither name nor data gives away.
var ErrUntold = errors.New("neither its name nor its data is a member's of any known format")

// Decode reads a member. One that does not parse has Err set, with what is wrong and where, and only its name and place otherwise.
func (o Options) Decode(p Place, name string, data []byte) discovery.Member {
	m, err := o.decode(p, name, data)
	if err != nil {
		format := cmp.Or(string(o.Format), m.Format, string(ByName(name)))
		return discovery.Member{Err: err, Instance: discovery.Instance{
			Key: discovery.Key{Service: p.Service, Env: p.Env}, Path: p.Path, Member: shorten(name), Format: format, Shard: discovery.NoShard}}
	}
	return m
}

func (o Options) decode(p Place, name string, data []byte) (m discovery.Member, err error) {
	if len(name) > MaxName {
		return m, fmt.Errorf("name of %d bytes, over the limit of %d", len(name), MaxName)
	}
	if len(data) > MaxData {
		return m, fmt.Errorf("data of %d bytes, over the limit of %d", len(data), MaxData)
	}
	f := o.Format
	if f == "" {
		f = FormatOf(name, data)
	}
	d := decoded{meta: map[string]string{}}
	switch f {
	case KingPin:
		err = d.kingpin(p, name, data)
	case Finagle:
		err = d.finagle(p, name, data, o.Endpoint)
	case Nerve:
		err = d.nerve(p, name, data)
	case Curator:
		err = d.curator(p, name, data)
	default:
		err = ErrUntold
	}
	m.Format = string(f)
	if err != nil {
		return m, err
	}
	i := &m.Instance
	i.Key = discovery.Key{Service: p.Service, Env: p.Env, Host: d.host, Port: d.port}
	i.Path, i.Member, i.Shard = p.Path, name, discovery.NoShard
	if o.Defaults != nil {
		shared := *o.Defaults
		shared.Status, shared.Shard = "", nil // one member's, never a whole set's
		shared.Apply(i)
	}
	expected := d.md.Expected
	if expected == 0 && o.Defaults != nil {
		expected = o.Defaults.Expected
	}
	if expected > 0 {
		d.meta[discovery.MetaExpected] = strconv.Itoa(expected)
	}
	left := d.md.Apply(i)
	if left > 0 {
		d.meta["__meta_serverset_tags_left_out"] = strconv.Itoa(left)
	}
	if f != KingPin { // whose labels say nothing that the instance does not: Instance.MetaLabels makes them
		d.endpoint("__meta_serverset", d.host, d.port)
		d.meta["__meta_serverset_status"] = i.Status
		if i.Shard != discovery.NoShard {
			d.meta["__meta_serverset_shard"] = strconv.Itoa(int(i.Shard))
		}
	}
	for n, v := range d.meta {
		if len(v) > MaxTagValue {
			d.meta[n] = strings.ToValidUTF8(v[:MaxTagValue], "")
		}
	}
	i.Meta = discovery.TagsOf(d.meta)
	return m, nil
}

// decoded is what a format's reader fills.
type decoded struct {
	host string
	port uint16
	md   Metadata
	meta map[string]string // __meta_* labels
}

func (d *decoded) endpoint(prefix, host string, port uint16) {
	d.meta[prefix+"_endpoint_host"], d.meta[prefix+"_endpoint_port"] = host, strconv.Itoa(int(port))
}

// kingpin reads a member whose endpoint is in its name.
func (d *decoded) kingpin(p Place, name string, data []byte) (err error) {
	if _, d.host, d.port, err = ParseKingPinName(name); err != nil {
		return err
	}
	d.md, _ = DecodeMetadata(data)
	return nil
}

// text is a JSON string, or a number or boolean as it was written; anything else is empty. People write both into tags.
type text string

// UnmarshalJSON never fails: a tag of a wrong shape costs that tag.
func (t *text) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = text(s)
	case '{', '[', 'n':
		*t = ""
	default:
		*t = text(b)
	}
	return nil
}

func texts(m map[string]text) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = string(v)
	}
	return out
}

// portNumber is a port written as a number or as a string of digits; null is 0.
type portNumber uint16

// UnmarshalJSON refuses what is not a port.
func (p *portNumber) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if s == "null" || s == "" {
		*p = 0
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return fmt.Errorf("port %.20q is not a number in 0..65535", s)
	}
	*p = portNumber(n)
	return nil
}

// checkEndpoint takes a host and port from a member's data.
func checkEndpoint(host string, port portNumber) (string, uint16, error) {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "" {
		return "", 0, errors.New("no host")
	}
	if port == 0 {
		return "", 0, errors.New("no port")
	}
	return host, uint16(port), checkHost(host)
}

// parseJSON reads a member's data; a field of a wrong type is an error here, for these members have nothing but their data.
func parseJSON(data []byte, into any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("no data")
	}
	err := json.Unmarshal(data, into)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return fmt.Errorf("not JSON at byte %d: %w", syntax.Offset, err)
	}
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("field %q is a %s", wrong.Field, wrong.Value)
	}
	return err
}

// labelName makes a name fit for a label, as Prometheus does.
func labelName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
}

func shorten(name string) string {
	if len(name) <= 256 {
		return name
	}
	return strings.ToValidUTF8(name[:256], "") + "…"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
