package zkserve

import (
	"math"
	"strings"
	"unicode/utf8"
)

// containerOwner stands in node.owner of a container: no session has this number.
const containerOwner = math.MinInt64

// node is a znode. What stands in data and listing is never changed in place: answers under way hold it.
type node struct {
	data     []byte
	acl      *aclList
	czxid    int64
	mzxid    int64
	pzxid    int64
	ctime    int64 // Unix milliseconds
	mtime    int64
	version  int32
	cversion int32 // how many children were created: also the next sequential number
	aversion int32
	owner    int64 // session of an ephemeral, containerOwner, or 0
	children map[string]struct{}
	listing  []byte // children as jute strings; nil: not made since one was removed
}

func (n *node) ephemeral() bool { return n.owner != 0 && n.owner != containerOwner }

// appendStat writes the znode's Stat. Its cversion counts creates and deletes: for each create there was a delete, but for the
// children that are there.
func (n *node) appendStat(b []byte) []byte {
	b = appendInt64(b, n.czxid)
	b = appendInt64(b, n.mzxid)
	b = appendInt64(b, n.ctime)
	b = appendInt64(b, n.mtime)
	b = appendInt32(b, n.version)
	b = appendInt32(b, n.cversion*2-int32(len(n.children)))
	b = appendInt32(b, n.aversion)
	if n.ephemeral() {
		b = appendInt64(b, n.owner)
	} else {
		b = appendInt64(b, 0)
	}
	b = appendInt32(b, int32(len(n.data)))
	b = appendInt32(b, int32(len(n.children)))
	return appendInt64(b, n.pzxid)
}

func (n *node) addChild(name string) {
	if n.children == nil {
		n.children = map[string]struct{}{}
	}
	n.children[name] = struct{}{}
	if n.listing != nil { // those who hold the list as it was see no more than its length
		n.listing = appendString(n.listing, name)
	}
}

func (n *node) removeChild(name string) {
	delete(n.children, name)
	n.listing = nil
}

// list is the children's names as jute strings, without their count.
func (n *node) list() []byte {
	if n.listing == nil && len(n.children) > 0 {
		size := 0
		for name := range n.children {
			size += 4 + len(name)
		}
		b := make([]byte, 0, size)
		for name := range n.children {
			b = appendString(b, name)
		}
		n.listing = b
	}
	return n.listing
}

// tree is all znodes by path.
type tree struct {
	nodes      map[string]*node
	acls       aclCache
	containers map[string]struct{}
	ephemerals int
	bytes      int64 // of paths and data
}

func newTree() *tree {
	t := &tree{nodes: map[string]*node{}, acls: aclCache{}, containers: map[string]struct{}{}}
	open := t.acls.get([]acl{{permAll, anyone}})
	readOnly := t.acls.get([]acl{{permRead, anyone}})
	t.nodes["/"] = &node{acl: open}
	// What every server has; these do not count as created.
	for path, list := range map[string]*aclList{"/zookeeper": open, "/zookeeper/quota": open, "/zookeeper/config": readOnly} {
		t.nodes[path] = &node{data: []byte{}, acl: list}
	}
	t.nodes["/zookeeper/config"].aversion = -1
	t.nodes["/"].addChild("zookeeper")
	t.nodes["/zookeeper"].addChild("quota")
	t.nodes["/zookeeper"].addChild("config")
	return t
}

// special znodes cannot be deleted.
func special(path string) bool {
	return path == "/" || path == "/zookeeper" || path == "/zookeeper/quota" || path == "/zookeeper/config"
}

// get is the znode of a path, or nil. The empty path is the root's other name.
func (t *tree) get(path string) *node {
	if path == "" {
		path = "/"
	}
	return t.nodes[path]
}

// put adds a znode whose parent is there.
func (t *tree) put(path string, n *node) {
	t.nodes[path] = n
	parent, name := split(path)
	t.get(parent).addChild(name)
	t.bytes += int64(len(path) + len(n.data))
	switch {
	case n.owner == containerOwner:
		t.containers[path] = struct{}{}
	case n.owner != 0:
		t.ephemerals++
	}
}

func (t *tree) remove(path string, n *node) {
	delete(t.nodes, path)
	parent, name := split(path)
	t.get(parent).removeChild(name)
	t.bytes -= int64(len(path) + len(n.data))
	switch {
	case n.owner == containerOwner:
		delete(t.containers, path)
	case n.owner != 0:
		t.ephemerals--
	}
}

// descendants counts the znodes below a path.
func (t *tree) descendants(path string) int {
	if path == "/" {
		return len(t.nodes) - 1
	}
	n := 0
	for p := range t.nodes {
		if strings.HasPrefix(p, path) && len(p) > len(path) && p[len(path)] == '/' {
			n++
		}
	}
	return n
}

// split cuts a path at its last slash: parent ("" for the root) and name.
func split(path string) (parent, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:i], path[i+1:]
}

// parentOf is the parent's path as watches know it: "/" for the root.
func parentOf(path string) string {
	parent, _ := split(path)
	if parent == "" {
		return "/"
	}
	return parent
}

// validPath holds a path against ZooKeeper's rules (org.apache.zookeeper.common.PathUtils).
func validPath(path string) bool {
	if path == "/" {
		return true
	}
	if path == "" || path[0] != '/' || !utf8.ValidString(path) {
		return false
	}
	for name := range strings.SplitSeq(path[1:], "/") {
		if name == "" || name == "." || name == ".." {
			return false
		}
	}
	for _, r := range path { // ZooKeeper looks at UTF-16 units, so that all beyond the basic plane is surrogates to it
		if r <= 0x1f || r >= 0x7f && r <= 0x9f || r >= 0xd800 && r <= 0xf8ff || r >= 0xfff0 {
			return false
		}
	}
	return true
}
