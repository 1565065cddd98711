// Package discovery says who should be there, and why those who are not are missing.
//
// It owns the nouns of the first stage: Key, Instance, Tags, Set, Source, Latest and Roster. A Source watches serversets wherever
// they live (discovery/zk, discovery/file) and publishes full sets into a Latest; the Roster diffs them and keeps everyone
// who should answer or lately should have. It knows nothing of scraping, Kafka or pages.
package discovery

import (
	"cmp"
	"net"
	"strconv"
	"strings"
	"time"
)

// Key identifies an instance: one endpoint of one service in one environment. All else about an instance is an attribute,
// and a change of attributes is a change, never a leave. One endpoint in two services is two instances.
type Key struct {
	Service string `json:"service"`
	Env     string `json:"env"`
	Host    string `json:"host"` // an IPv4 or IPv6 address without brackets, or a DNS name
	Port    uint16 `json:"port"`
}

// Addr is the endpoint as host:port, with brackets around an IPv6 address: the instance's name on the wire.
func (k Key) Addr() string { return net.JoinHostPort(k.Host, strconv.Itoa(int(k.Port))) }

// Group is service/env: the key of the instance's records in Kafka.
func (k Key) Group() string { return k.Service + "/" + k.Env }

// String is service/env/host:port.
func (k Key) String() string { return k.Group() + "/" + k.Addr() }

// Compare orders keys by service, environment, host and port.
func (k Key) Compare(o Key) int {
	return cmp.Or(strings.Compare(k.Service, o.Service), strings.Compare(k.Env, o.Env),
		strings.Compare(k.Host, o.Host), cmp.Compare(k.Port, o.Port))
}

// SplitAddr parses host:port, [v6]:port included, into the two halves of a Key. The error names what is wrong with addr.
func SplitAddr(addr string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	if host == "" {
		return "", 0, &net.AddrError{Err: "empty host", Addr: addr}
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, &net.AddrError{Err: "port is not a number in 1..65535", Addr: addr}
	}
	return host, uint16(n), nil
}

// NoShard is the Shard of an instance whose registrar gave none.
const NoShard = -1

// Instance is one member of a serverset with everything its registrar said of it.
type Instance struct {
	Key
	Source string `json:"source"`           // name of the Source that sees it: the scrape job
	Path   string `json:"path"`             // serverset path in ZooKeeper, or the file
	Member string `json:"member,omitempty"` // the member's own name in that path, as written; may change while the instance stays
	Format string `json:"format"`           // kingpin, finagle, nerve, curator, serverset_file, file_sd, http_sd, static
	Status string `json:"status,omitempty"` // what the registrar says of it: ALIVE, STARTING, failing, …
	Scheme string `json:"scheme,omitempty"` // http or https; empty: the job's
	// Where to pull: empty or zero unless the member's data or a relabelling rule names them; then they win over the job's. A StatsPath with a query replaces the
	// job's parameters, too. Only a rule of ours sets StatsHost: a member never sends us to another host.
	StatsPath string `json:"stats_path,omitempty"`
	StatsHost string `json:"stats_host,omitempty"`
	StatsPort uint16 `json:"stats_port,omitempty"`
	// Three small ones beside each other: of 150,000 members each byte counts.
	RuledScheme bool  `json:"scheme_by_rule,omitempty"` // Scheme is a rule's of ours, not the member's word; the Roster sets it
	Shard       int32 `json:"shard"`                    // NoShard where none was given
	Tags        Tags  `json:"tags"`                     // service tags: version, zone, track, owner, … by their OpenTelemetry names
	Meta        Tags  `json:"meta,omitzero"`            // __meta_* labels for relabelling that say what nothing else does: MetaLabels has all
	Zxid        int64 `json:"zxid,omitempty"`           // transaction that made the member; 0 outside ZooKeeper
	Owner       int64 `json:"owner,omitempty"`          // session that the member's node lives and dies with; 0: none, or not told
}

// JobOf is the scrape job that a source belongs to: its name up to a #. A job's first source has the job's name, the others `job#2`, `job#3`, ….
func JobOf(source string) string {
	job, _, _ := strings.Cut(source, "#")
	return job
}

// ScrapeAddr is the host:port to pull from.
func (i *Instance) ScrapeAddr() string {
	return net.JoinHostPort(cmp.Or(i.StatsHost, i.Host), strconv.Itoa(int(cmp.Or(i.StatsPort, i.Port))))
}

// Same reports whether two views of one instance differ in nothing that anybody downstream acts on: a KingPin member that joined again
// under a new name is the same instance.
func (i *Instance) Same(o *Instance) bool {
	return i.Key == o.Key && i.Source == o.Source && i.Path == o.Path && i.Shard == o.Shard && i.Status == o.Status &&
		i.Scheme == o.Scheme && i.RuledScheme == o.RuledScheme && i.StatsPath == o.StatsPath && i.StatsHost == o.StatsHost && i.StatsPort == o.StatsPort && i.Tags == o.Tags && i.Meta == o.Meta
}

// Leaving is the Status of a member whose registrar is about to take it away: its leave is a deregistration, and nobody misses it.
const Leaving = "leaving"

// MetaExpected is the Meta label in which a member says how many instances its service should have, itself included.
const MetaExpected = "__meta_serverset_expected"

// Member is one entry of a Set: an Instance, or what is known of a member that does not parse. It is immutable once published: a source publishes the same
// pointer again for one that did not change, which is how a large set with one change costs one change.
type Member struct {
	Instance
	// Err says why the member does not parse; then Instance has Service, Env, Source, Path, Member and Format at most.
	Err error
}

// Set is everything that a Source sees at one path at one moment: never a delta.
type Set struct {
	Source   string // name of the Source
	Path     string
	Members  []*Member // each with its Source and Path
	Verified time.Time // when the server, or the file, was last seen to say so
	Zxid     int64     // the newest transaction that the server had told of; 0 outside ZooKeeper
	Stale    bool      // read from a server that has lost its quorum
	Partial  bool      // some are known by their names only: what they say of themselves is still being read
}

// View is what a Source says of itself: which paths exist and how far it can be believed.
type View struct {
	Source    string    `json:"source"`
	Complete  bool      `json:"-"`          // Paths lists every path the source sees; a path not in it is gone
	Paths     []string  `json:"-"`          // only read when Complete
	Hidden    []string  `json:"-"`          // with Paths: what cannot be read; whatever is known at or below it may be there still
	Connected bool      `json:"connected"`  // the source's server answers
	Live      bool      `json:"live"`       // every path that was published is under watch: it is verified as of LastHeard
	ReadOnly  bool      `json:"read_only"`  // it has lost its quorum and may be behind
	Server    string    `json:"server"`     // the server it talks to, or the files it reads
	LastHeard time.Time `json:"last_heard"` // last sign of life from the server
	Err       string    `json:"error,omitempty"`
}
