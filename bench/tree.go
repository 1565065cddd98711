package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	root    = "/discovery"
	pattern = root + "/{service}/{env}"
	bigSize = 10_822 // a serverset in KingPin's own tests
	zone    = "us-east-1"
)

// node is one member as it should stand in ZooKeeper. Its shard is the number of the change that wrote it: all that is compared is told by that.
type node struct {
	endpoint string
	path     string // empty: it is not there
	seq      int
}

// tree is the serversets. Names are KingPin's and give the endpoint away; the data is JSON that says the same, and more, to both: to rollcall the metadata of
// its agent, to Prometheus a Finagle member. With finagle the names are Finagle's.
type tree struct {
	finagle bool
	sets    [][]*node // every member of a set, those that are gone, too
	paths   []string  // of the sets
	next    int       // for new endpoints, and names
	mu      sync.Mutex
	owner   map[string]string // member's path → endpoint, for every member there ever was
}

// newTree has one big set, as the share of it in 150,000 is, and the rest spread over the others.
func newTree(members, sets int, finagle bool) *tree {
	t := &tree{finagle: finagle, sets: make([][]*node, sets), paths: make([]string, sets), owner: map[string]string{}}
	big := max(1, members*bigSize/150_000)
	for i := range sets {
		t.paths[i] = fmt.Sprintf("%s/service-%04d/prod", root, i)
	}
	for i := range members {
		set := 0
		if i >= big && sets > 1 {
			set = 1 + (i-big)%(sets-1)
		}
		n := t.newNode()
		t.place(n, set)
		t.sets[set] = append(t.sets[set], n)
	}
	return t
}

func (t *tree) newNode() *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.next
	t.next++
	return &node{endpoint: fmt.Sprintf("10.%d.%d.%d:8001", i>>16, i>>8&255, i&255)}
}

// place gives a member a new name in a set.
func (t *tree) place(n *node, set int) {
	var id [16]byte
	rand.Read(id[:]) // never fails: the program ends instead
	name := hex.EncodeToString(id[:]) + "-" + n.endpoint
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.finagle {
		name = fmt.Sprintf("member_%010d", t.next)
		t.next++
	}
	n.path = path.Join(t.paths[set], name)
	t.owner[n.path] = n.endpoint
}

// data is what an agent of ours writes, about 350 bytes, with what a Finagle reader looks for.
func (n *node) data() []byte {
	host := n.endpoint[:len(n.endpoint)-len(":8001")]
	return fmt.Appendf(nil, `{"v":1,"version":"1.42.%d","zone":"%s%c","region":"%s","track":"production","host":"ip-%s","owner":"team-%d","shard":%d,"status":"ALIVE",`+
		`"serviceEndpoint":{"host":"%s","port":8001},"additionalEndpoints":{"admin":{"host":"%[8]s","port":9001}},"metadata":{"zone":"%[2]s%[3]c"}}`,
		n.seq%3, zone, 'a'+byte(n.seq%3), zone, host, n.seq%50, n.seq, host)
}

// sessions are the registrants: what they make is ephemeral and lives as long as they do.
type sessions []*zk.Conn

func connect(ctx context.Context, addr string, n int) (sessions, error) {
	var out sessions
	for range n {
		c, events, err := zk.Connect([]string{addr}, time.Minute, zk.WithLogInfo(false), zk.WithLogger(silent{}))
		if err != nil {
			return nil, err
		}
		out = append(out, c)
		for c.State() != zk.StateHasSession {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-events:
			}
		}
		go func() {
			for range events { // nobody else reads them
			}
		}()
	}
	return out, nil
}

func (s sessions) close() {
	for _, c := range s {
		c.Close()
	}
}

// load makes every set and member, in transactions of 300, over all sessions at once.
func (t *tree) load(ctx context.Context, s sessions) error {
	acl := zk.WorldACL(zk.PermAll)
	var folders []string
	folders = append(folders, root)
	for _, p := range t.paths {
		folders = append(folders, path.Dir(p), p)
	}
	var all []any
	for _, f := range folders {
		all = append(all, &zk.CreateRequest{Path: f, Acl: acl})
	}
	if err := multi(ctx, s[:1], all); err != nil {
		return err
	}
	all = all[:0]
	for _, set := range t.sets {
		for _, n := range set {
			all = append(all, &zk.CreateRequest{Path: n.path, Data: n.data(), Acl: acl, Flags: zk.FlagEphemeral})
		}
	}
	return multi(ctx, s, all)
}

func multi(ctx context.Context, s sessions, ops []any) error {
	const chunk = 300
	work := make(chan []any)
	errs := make(chan error, len(s))
	for _, c := range s {
		go func() {
			var err error
			for part := range work {
				if err == nil {
					_, err = c.Multi(part...)
				}
			}
			errs <- err
		}()
	}
	for len(ops) > 0 && ctx.Err() == nil {
		n := min(chunk, len(ops))
		work <- ops[:n]
		ops = ops[n:]
	}
	close(work)
	first := ctx.Err()
	for range s {
		if err := <-errs; err != nil && first == nil {
			first = fmt.Errorf("load members: %w", err)
		}
	}
	return first
}

// names is every member's path as the server lists them, for the tree and the server must agree before anybody is compared with either.
func (t *tree) names(ctx context.Context, s sessions) (map[string]bool, error) {
	out := map[string]bool{}
	for _, p := range t.paths {
		names, _, err := s[0].Children(p)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", p, err)
		}
		for _, n := range names {
			out[p+"/"+n] = true
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return out, nil
}
