package share

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// FullWeight is the Weight of a collector that is not pressed for anything: its share, and everybody's, comes in so many steps.
const FullWeight = 16

// Collector is one member of a group, as its znode has it. It is never changed once published.
type Collector struct {
	ID      string            `json:"id"`               // 16 hex digits, as in the ids of its records
	Addr    string            `json:"addr,omitempty"`   // host:port of its API
	Scheme  string            `json:"scheme,omitempty"` // of its API: https, or http where it is empty
	Weight  int               `json:"weight"`           // 1..FullWeight: its share beside the others'
	Jobs    map[string]string `json:"jobs"`             // scrape job → digest of what decides who its targets are, and when they are pulled
	Version string            `json:"version,omitempty"`
	Started time.Time         `json:"started"`
	Floor   Term              `json:"term,omitempty"` // the term it knew when it wrote this: a rebuilt ensemble begins its transactions anew, a term never does
}

// Term numbers divisions: the largest transaction of the membership. It is hex on the wire, as JavaScript's numbers end at 2^53.
type Term uint64

// String is the term as records have it: 0x….
func (t Term) String() string { return "0x" + strconv.FormatUint(uint64(t), 16) }

// MarshalText writes 0x….
func (t Term) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads 0x….
func (t *Term) UnmarshalText(b []byte) error {
	digits, ok := strings.CutPrefix(string(b), "0x")
	n, err := strconv.ParseUint(digits, 16, 64)
	if !ok || err != nil {
		return fmt.Errorf("read term %.20q: not of the form 0x1f", b)
	}
	*t = Term(n)
	return nil
}

// Bounds of what a group's znodes may say.
const (
	maxMembers  = 1000
	maxMember   = 256 << 10 // bytes
	maxJobs     = 10_000
	maxAddr     = 300
	maxIdentity = 64

	// maxTerm is what no transaction reaches, and maxStep how far a claim may be beyond all that was seen: 256 leaders of ZooKeeper's. A claim of the largest
	// number, believed once and kept by all, would make every later term equal to it, and so the fence useless.
	maxTerm Term = 1 << 63
	maxStep Term = 1 << 40
)

var (
	errMemberSize = fmt.Errorf("longer than %d bytes", maxMember)
	errJobs       = fmt.Errorf("more than %d jobs", maxJobs)
)

// DecodeCollector reads a member's data. name is its znode, which must be its id.
func DecodeCollector(name string, data []byte) (Collector, error) {
	var c Collector
	fail := func(err error) (Collector, error) { return Collector{}, fmt.Errorf("read member %.80q: %w", name, err) }
	if len(data) > maxMember {
		return fail(errMemberSize)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return fail(err)
	}
	switch {
	case c.ID != name:
		return fail(fmt.Errorf("its data is of %.80q", c.ID))
	case c.ID == "" || len(c.ID) > maxIdentity:
		return fail(fmt.Errorf("its id is empty or longer than %d bytes", maxIdentity))
	case len(c.Jobs) > maxJobs:
		return fail(errJobs)
	case c.Weight < 1 || c.Weight > FullWeight:
		return fail(fmt.Errorf("weight %d is not within 1..%d", c.Weight, FullWeight))
	case c.Floor >= maxTerm:
		return fail(fmt.Errorf("its term %s is larger than any can be", c.Floor))
	case c.Scheme != "" && c.Scheme != "http" && c.Scheme != "https":
		return fail(errors.New("scheme is neither http nor https"))
	}
	if c.Addr != "" {
		if _, _, err := discovery.SplitAddr(c.Addr); err != nil || len(c.Addr) > maxAddr {
			return fail(fmt.Errorf("address %.80q is not host:port", c.Addr))
		}
	}
	return c, nil
}

// Where a Division comes from.
const (
	FromZooKeeper = "zookeeper" // the members' ephemerals, under watch
	FromPeers     = "peers"     // ZooKeeper does not answer; another collector told
	FromDisk      = "disk"      // nobody answers; it is the one of the last run
	Alone         = "alone"     // there is no group
)

// Division says who scrapes what, as one collector sees it. It is immutable. Collectors that see the same members agree on every key of every job whose digest they
// share, without a word between them.
type Division struct {
	Self    string      `json:"id"`
	Members []Collector `json:"members"` // by id
	Term    Term        `json:"term"`
	From    string      `json:"from"`
	AsOf    time.Time   `json:"as_of"` // when it came to be

	jobs map[string][]ticket // for each job of ours, of the members whose digest of it is ours
	own  map[string]string   // our digests
	all  []ticket
}

// ticket is one of a member's chances at each key; it has as many as its weight. The largest draw wins, so that a member that goes moves nothing but its own
// keys, and one that gains a ticket takes just what it draws with it. All of it is done in integers: every machine comes to the same result.
type ticket struct {
	seed   uint64
	member int32
}

// NewDivision divides among members, as self sees it. digests are those that self has announced: of its entry among members, unless it is not among them.
func NewDivision(self string, digests map[string]string, members []Collector, term Term, from string, asOf time.Time) *Division {
	d := &Division{Self: self, Members: slices.Clone(members), Term: term, From: from, AsOf: asOf, own: digests, jobs: map[string][]ticket{}}
	slices.SortFunc(d.Members, func(a, b Collector) int { return strings.Compare(a.ID, b.ID) })
	of := make([][]ticket, len(d.Members))
	for i := range d.Members {
		m := &d.Members[i]
		if m.ID == self {
			d.own = m.Jobs
		}
		for n := range m.Weight {
			of[i] = append(of[i], ticket{mix(hash(offset, m.ID) + uint64(n)*golden), int32(i)})
		}
		d.all = append(d.all, of[i]...)
	}
	for job, digest := range d.own {
		for i := range d.Members {
			if d.Members[i].Jobs[job] == digest {
				d.jobs[job] = append(d.jobs[job], of[i]...)
			}
		}
	}
	return d
}

const (
	offset = 0xcbf29ce484222325 // FNV-1a's
	prime  = 0x100000001b3
	golden = 0x9e3779b97f4a7c15
)

// hash adds s, and that it ends, to an FNV-1a sum.
func hash(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * prime
	}
	return (h ^ 0xff) * prime // no byte of a text in UTF-8
}

// mix is splitmix64's last step: each bit of x moves half of the result's.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hashKey(k discovery.Key) uint64 {
	h := hash(hash(hash(offset, k.Service), k.Env), k.Host)
	return mix(h ^ uint64(k.Port)*golden)
}

// draw is the member that wins a key; false where there is no ticket.
func (d *Division) draw(tickets []ticket, key uint64) (*Collector, bool) {
	best, most := int32(-1), uint64(0)
	for _, t := range tickets {
		if x := mix(key ^ t.seed); best < 0 || x > most { // of two alike the smaller id
			best, most = t.member, x
		}
	}
	if best < 0 {
		return nil, false
	}
	return &d.Members[best], true
}

// Owner is who scrapes an instance of a job, among the members whose digest of that job is ours. ok is false where none of them is: then nobody but us can be
// meant. The Collector must not be changed.
func (d *Division) Owner(job string, k discovery.Key) (c *Collector, ok bool) {
	return d.draw(d.jobs[job], hashKey(k))
}

// Mine reports whether this collector scrapes an instance of a job. What has no owner is everybody's who sees it: a double is fenced off, a gap is not.
func (d *Division) Mine(job string, k discovery.Key) bool {
	c, ok := d.Owner(job, k)
	return !ok || c.ID == d.Self
}

// Publishes reports whether this collector is the one who publishes the roster of a service, whose instances come from a job.
func (d *Division) Publishes(job, service, env string) bool {
	c, ok := d.draw(d.jobs[job], mix(hash(hash(hash(offset, "roster"), service), env)))
	return !ok || c.ID == d.Self
}

// Alone reports whether this collector is the only one that has the job as it does: it then scrapes all that it sees of it. Others may have another
// configuration of the same job, or other files; see Digests.
func (d *Division) Alone(job string) bool {
	for _, t := range d.jobs[job] {
		if d.Members[t.member].ID != d.Self {
			return false
		}
	}
	return true
}

// Differing is the jobs that other members have too, but not as we do, each with the ids of those members: who of them scrapes what is not divided between them and
// us, so both sides scrape all they see.
func (d *Division) Differing() map[string][]string {
	out := map[string][]string{}
	for i := range d.Members {
		m := &d.Members[i]
		for job, digest := range m.Jobs {
			if own, has := d.own[job]; has && own != digest && m.ID != d.Self {
				out[job] = append(out[job], m.ID)
			}
		}
	}
	return out
}

// Member is the one with that id.
func (d *Division) Member(id string) (c *Collector, ok bool) {
	i, ok := slices.BinarySearchFunc(d.Members, id, func(m Collector, id string) int { return strings.Compare(m.ID, id) })
	if !ok {
		return nil, false
	}
	return &d.Members[i], true
}

// Peers are the members but us.
func (d *Division) Peers() []Collector {
	return slices.DeleteFunc(slices.Clone(d.Members), func(c Collector) bool { return c.ID == d.Self })
}

// Same reports whether two divisions give everybody the same.
func (d *Division) Same(o *Division) bool {
	return d.Self == o.Self && maps.Equal(d.own, o.own) && slices.EqualFunc(d.Members, o.Members, func(a, b Collector) bool {
		return a.ID == b.ID && a.Weight == b.Weight && maps.Equal(a.Jobs, b.Jobs)
	})
}

// sameMember reports whether two entries of a member say the same in everything.
func sameMember(a, b *Collector) bool {
	return a.ID == b.ID && a.Addr == b.Addr && a.Scheme == b.Scheme && a.Weight == b.Weight && a.Version == b.Version && maps.Equal(a.Jobs, b.Jobs)
}
