package zkserve

import (
	"crypto/sha1"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
)

// Permissions of an ACL.
const (
	permRead   = 1
	permWrite  = 2
	permCreate = 4
	permDelete = 8
	permAdmin  = 16
	permAll    = 31
)

type identity struct{ scheme, id string }

// acl gives an identity permissions: world:anyone, digest:<user>:<base64 of sha1>, ip:<address>[/bits].
type acl struct {
	perms int32
	identity
}

var anyone = identity{"world", "anyone"}

// aclList is the ACL of znodes, shared between those that have the same.
type aclList struct{ list []acl }

// aclCache shares equal lists. It forgets all when it is full, so that made-up lists do not stay for ever.
type aclCache map[string]*aclList

func (c aclCache) get(list []acl) *aclList {
	key := string(appendACLs(nil, list))
	if l := c[key]; l != nil {
		return l
	}
	if len(c) >= 1024 {
		clear(c)
	}
	l := &aclList{list}
	c[key] = l
	return l
}

// allows says whether one of the identities has one of the permissions.
func (l *aclList) allows(perm int32, ids []identity) bool {
	for _, a := range l.list {
		if a.perms&perm == 0 {
			continue
		}
		if a.identity == anyone {
			return true
		}
		for _, id := range ids {
			if id.scheme != a.scheme {
				continue
			}
			if id.id == a.id || id.scheme == "ip" && ipMatches(id.id, a.id) {
				return true
			}
		}
	}
	return false
}

// masked hides the hashes of digest identities from those who may read but not administer.
func (l *aclList) masked() []acl {
	out := slices.Clone(l.list)
	for i, a := range out {
		if a.scheme == "digest" {
			user, _, _ := strings.Cut(a.id, ":")
			out[i].id = user + ":x"
		}
	}
	return out
}

// fixACL checks what a client asks for, drops duplicates and puts the client's own identities in the place of auth:.
func fixACL(list []acl, ids []identity) ([]acl, code) {
	var out []acl
	seen := map[acl]bool{}
	for _, a := range list {
		if seen[a] {
			continue
		}
		seen[a] = true
		switch a.scheme {
		case "world":
			if a.id != anyone.id {
				return nil, invalidACL
			}
			out = append(out, a)
		case "auth":
			n := len(out)
			for _, id := range ids {
				if id.scheme == "digest" {
					out = append(out, acl{a.perms, id})
				}
			}
			if len(out) == n {
				return nil, invalidACL
			}
		case "digest":
			if strings.Count(a.id, ":") != 1 || strings.HasSuffix(a.id, ":") {
				return nil, invalidACL
			}
			out = append(out, a)
		case "ip":
			if _, ok := parsePrefix(a.id); !ok {
				return nil, invalidACL
			}
			out = append(out, a)
		default:
			return nil, invalidACL
		}
	}
	if len(out) == 0 {
		return nil, invalidACL
	}
	return out, ok
}

func parsePrefix(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p, err == nil
}

func ipMatches(addr, expr string) bool {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return false
	}
	p, ok := parsePrefix(expr)
	return ok && p.Contains(a.Unmap())
}

// digestIdentity is the identity of user:password: user:base64(sha1(user:password)).
func digestIdentity(userPassword []byte) identity {
	user, _, _ := strings.Cut(string(userPassword), ":")
	sum := sha1.Sum(userPassword)
	return identity{"digest", user + ":" + base64.StdEncoding.EncodeToString(sum[:])}
}
