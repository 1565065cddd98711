package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/internal/near"
)

// concerns fails where an order would do nothing: a freeze of a path that nobody is on, an acceptance where no guard holds anybody.
func (c *collectorFlags) concerns(e *env, kind, path string) error {
	if path != "/" {
		var here struct{ Total int }
		if err := c.get(e.ctx, "/api/v1/roster/paths", url.Values{"path": {path}, "limit": {"1"}}, &here); err != nil {
			return err
		}
		if here.Total == 0 {
			return c.nowhere(e, path)
		}
	}
	if kind != discovery.AcceptOrder {
		return nil
	}
	var a struct{ Guards []discovery.Guard }
	if err := c.get(e.ctx, "/api/v1/roster/guards", nil, &a); err != nil {
		return err
	}
	var held []string
	for _, g := range a.Guards {
		if g.Held == 0 {
			continue
		}
		if g.Scope == discovery.FleetScope || below(g.Scope, path) || below(path, g.Scope) {
			return nil
		}
		held = append(held, fmt.Sprintf("%s (%d)", g.Scope, g.Held))
	}
	text := "no guard holds anybody at " + plain(path) + " or below, so there is nobody to accept the loss of"
	if len(held) > 0 {
		text += "; guards hold some of " + plain(strings.Join(held[:min(len(held), fewPaths)], ", "))
	}
	return errors.New(text + "; --force gives the order for one that trips while it stands")
}

// fewPaths is how many paths are named.
const fewPaths = 3

// nowhere says that nobody is on a path, and which may be meant.
func (c *collectorFlags) nowhere(e *env, path string) error {
	var all struct{ Paths []discovery.PathState }
	if err := c.get(e.ctx, "/api/v1/roster/paths", nil, &all); err != nil {
		return err
	}
	var paths []string
	for _, p := range all.Paths {
		paths = append(paths, p.Path)
	}
	text := "no path that is known is " + plain(path) + " or below it, so the order would do nothing"
	if names := nearPaths(path, paths); len(names) > 0 {
		text += "; the nearest is " + plain(strings.Join(names, ", "))
	}
	return errors.New(text + c.hinted("; `rollcall orders --paths` lists them, --force gives the order for one that is to come"))
}

// nearPaths are those that may have been meant: by their letters, else those that have the most of their first elements in common, one at least.
func nearPaths(path string, paths []string) []string {
	slices.Sort(paths)
	paths = slices.Compact(paths)
	if names := near.Names(path, paths); len(names) > 0 {
		return names[:min(len(names), fewPaths)]
	}
	common := func(p string) (n int) {
		a, b := strings.Split(strings.Trim(path, "/"), "/"), strings.Split(strings.Trim(p, "/"), "/")
		for n < len(a) && n < len(b) && a[n] == b[n] {
			n++
		}
		return n
	}
	most := 0
	for _, p := range paths {
		most = max(most, common(p))
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return most == 0 || common(p) < most })
	slices.SortStableFunc(paths, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	return paths[:min(len(paths), fewPaths)]
}

// below reports whether path is at or below root.
func below(path, root string) bool {
	return path == root || strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/")
}
