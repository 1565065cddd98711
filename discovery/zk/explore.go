package zk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// ExploreOptions bound a look around an unknown tree.
type ExploreOptions struct {
	Roots    []string      // where to look; default the whole tree
	MaxNodes int           // listed at most; default 100,000
	MaxDepth int           // parts of a path at most; default 8
	MaxTime  time.Duration // default 15 s
	InFlight int           // requests under way at once; default 16
}

// Exploration is what was found.
type Exploration struct {
	Layouts []serverset.Layout // the largest first
	Nodes   int                // listed
	Sets    int
	Members int
	// Cut says which bound ended the look before its end, or "". What was found is right all the same, but not all there is.
	Cut       string
	Forbidden int // nodes that may not be listed
}

// samples is how many children of a node are read where their names tell nothing.
const samples = 3

// Explore walks a tree, reading only, and recognises the serversets in it. It asks for little: a node whose children are members by their names costs one list and
// one read, whatever their number. The error is a connection that was never had, or lost for good.
func Explore(ctx context.Context, s *Session, o ExploreOptions) (Exploration, error) {
	o.MaxNodes = cmp.Or(o.MaxNodes, 100_000)
	o.MaxDepth = cmp.Or(o.MaxDepth, 8)
	o.MaxTime = cmp.Or(o.MaxTime, 15*time.Second)
	o.InFlight = cmp.Or(o.InFlight, 16)
	if len(o.Roots) == 0 {
		o.Roots = []string{"/"}
	}
	if err := s.Await(ctx); err != nil {
		return Exploration{}, fmt.Errorf("explore: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, o.MaxTime)
	defer cancel()
	e := &explorer{s: s, o: o}
	for level := slices.Clone(o.Roots); len(level) > 0 && e.err == nil && e.x.Cut == ""; {
		level = e.level(limited, level)
	}
	if errors.Is(e.err, context.DeadlineExceeded) && ctx.Err() == nil {
		e.cut(fmt.Sprintf("after %v", o.MaxTime))
		e.err = nil
	}
	if e.err != nil {
		return Exploration{}, fmt.Errorf("explore: %w", e.err)
	}
	e.x.Layouts = serverset.Recognise(e.found)
	return e.x, nil
}

type explorer struct {
	s *Session
	o ExploreOptions

	mu    sync.Mutex
	x     Exploration
	found []serverset.Found
	err   error
}

func (e *explorer) cut(why string) {
	if e.x.Cut == "" {
		e.x.Cut = why
	}
}

// level looks at paths of one depth and returns those below them that are worth a look.
func (e *explorer) level(ctx context.Context, paths []string) (next []string) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, e.o.InFlight)
	for _, p := range paths {
		e.mu.Lock()
		over := e.x.Nodes >= e.o.MaxNodes
		if e.x.Nodes++; over {
			e.x.Nodes--
			e.cut(fmt.Sprintf("after %d nodes", e.o.MaxNodes))
		}
		stop := over || e.err != nil
		e.mu.Unlock()
		if stop {
			break
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			below, err := e.look(ctx, p)
			e.mu.Lock()
			defer e.mu.Unlock()
			switch {
			case errors.Is(err, ErrNoNode):
			case errors.Is(err, ErrNoAuth), errors.Is(err, ErrTooBig):
				e.x.Forbidden++
			case err != nil:
				e.err = cmp.Or(e.err, err)
			case len(below) > 0 && len(split(p)) >= e.o.MaxDepth:
				e.cut(fmt.Sprintf("below %d levels", e.o.MaxDepth))
			default:
				next = append(next, below...)
			}
		})
	}
	wg.Wait()
	slices.Sort(next)
	return next
}

// look lists a path. If its children are members, it is noted, else its children are to be looked at.
func (e *explorer) look(ctx context.Context, path string) (below []string, err error) {
	names, _, err := e.s.Children(ctx, path)
	if err != nil {
		return nil, err
	}
	o := serverset.Options{}
	names = slices.DeleteFunc(names, o.Ignored)
	slices.Sort(names)
	byName := map[serverset.Format][]string{}
	var rest []string
	for _, n := range names {
		if f := serverset.ByName(n); f != "" {
			byName[f] = append(byName[f], n)
		} else {
			rest = append(rest, n)
		}
	}
	for f, members := range byName {
		data, _, err := e.s.Get(ctx, join(path, members[0]))
		if err != nil && !errors.Is(err, ErrNoNode) && !errors.Is(err, ErrNoAuth) && !errors.Is(err, ErrTooBig) {
			return nil, err
		}
		e.note(serverset.Found{Path: path, Format: f, Members: len(members), Name: members[0], Data: data})
	}
	if len(rest) == 0 {
		return nil, nil
	}
	f, err := e.sample(ctx, path, rest)
	if err != nil {
		return nil, err
	}
	if f.Format != "" {
		e.note(f)
		return nil, nil
	}
	if len(byName) > 0 {
		return nil, nil // what stands beside members is seldom worth a walk
	}
	for _, n := range rest {
		below = append(below, join(path, n))
	}
	return below, nil
}

func (e *explorer) note(f serverset.Found) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.found = append(e.found, f)
	e.x.Sets++
	e.x.Members += f.Members
}

// sample reads some children whose names tell nothing: members of Nerve and Curator are told by their data.
func (e *explorer) sample(ctx context.Context, path string, names []string) (serverset.Found, error) {
	for i, n := range names {
		if i == samples {
			break
		}
		data, st, err := e.s.Get(ctx, join(path, n))
		switch {
		case errors.Is(err, ErrNoNode), errors.Is(err, ErrNoAuth), errors.Is(err, ErrTooBig):
			continue
		case err != nil:
			return serverset.Found{}, err
		}
		if st.NumChildren > 0 {
			continue
		}
		// A name alone is not enough here: release-1:80 may be anything, unless somebody holds it.
		f := serverset.FormatOf(n, data)
		if f == "" || f == serverset.KingPin && st.EphemeralOwner == 0 {
			continue
		}
		if m := (serverset.Options{}).Decode(serverset.Place{Path: path}, n, data); m.Err == nil {
			return serverset.Found{Path: path, Format: f, Members: len(names), Name: n, Data: data}, nil
		}
	}
	return serverset.Found{}, nil
}
