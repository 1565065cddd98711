package zk

import (
	"context"
	"errors"
	"fmt"
	"slices"

	gozk "github.com/go-zookeeper/zk"
)

// Stat is what ZooKeeper knows of a node.
type Stat = gozk.Stat

// Mode is how a node is made.
type Mode int32

// The modes of Create.
const (
	Persistent          Mode = gozk.FlagPersistent
	Ephemeral           Mode = gozk.FlagEphemeral
	PersistentSequence  Mode = gozk.FlagSequence
	EphemeralSequential Mode = gozk.FlagEphemeralSequential
	Container           Mode = gozk.FlagContainer
)

// AnyVersion matches every version of a node.
const AnyVersion = -1

// Op is one step of a Multi.
type Op struct{ req any }

// CreateOp makes a node.
func CreateOp(path string, data []byte, mode Mode) Op {
	return Op{&gozk.CreateRequest{Path: path, Data: data, Flags: int32(mode)}}
}

// DeleteOp removes a node of that version.
func DeleteOp(path string, version int32) Op {
	return Op{&gozk.DeleteRequest{Path: path, Version: version}}
}

// SetOp changes a node of that version.
func SetOp(path string, data []byte, version int32) Op {
	return Op{&gozk.SetDataRequest{Path: path, Data: data, Version: version}}
}

// Result is what became of one Op.
type Result struct {
	Path string // of a CreateOp, with the sequence number
	Err  error
}

// Await returns once the session is connected, or with ErrNotConnected when ctx ends before.
func (s *Session) Await(ctx context.Context) error {
	_, err := s.await(ctx)
	return err
}

func (s *Session) await(ctx context.Context) (*client, error) {
	for {
		st, changed := s.Changed()
		s.mu.Lock()
		c := s.client
		s.mu.Unlock()
		if st.Connected && c != nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%s): %w", ErrNotConnected, st.Err, context.Cause(ctx))
		case <-changed:
		}
	}
}

// do runs one call of the library's, which know no contexts. A call that is given up ends by itself with the next answer or lost connection.
func do[T any](ctx context.Context, s *Session, verb, path string, f func(*gozk.Conn) (T, error)) (T, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.cfg.CallTimeout)
		defer cancel()
	}
	type answer struct {
		v   T
		err error
	}
	var a answer
	c, err := s.await(ctx)
	if err == nil {
		got := make(chan answer, 1)
		go func() {
			v, err := f(c.conn)
			got <- answer{v, err}
		}()
		select {
		case a = <-got:
			err = a.err
		case <-ctx.Done():
			err = fmt.Errorf("no answer in time, it may have been carried out: %w", context.Cause(ctx))
		}
	}
	s.m.calls.Inc()
	if err != nil {
		s.m.failures.Inc()
		return a.v, fmt.Errorf("%s %q: %w", verb, path, translate(err))
	}
	return a.v, nil
}

// translate gives the library's errors the meaning that our callers know.
func translate(err error) error {
	switch {
	case err.Error() == fmt.Sprintf("unknown error: %d", codeTooBig): // how the library prints a code that it does not know
		return ErrTooBig
	case err.Error() == fmt.Sprintf("unknown error: %d", codeThrottled):
		return ErrThrottled
	case errors.Is(err, gozk.ErrNoServer):
		return ErrNotConnected
	case errors.Is(err, gozk.ErrClosing):
		return ErrConnectionLost
	case errors.Is(err, gozk.ErrShortBuffer):
		return fmt.Errorf("the request or its answer does not fit the packet limit: %w", err)
	}
	return err
}

// errorOf gives a code of the protocol the same meaning.
func errorOf(code int32) error {
	switch code {
	case 0:
		return nil
	case codeNoNode:
		return ErrNoNode
	case codeNoAuth:
		return ErrNoAuth
	case codeLost:
		return ErrConnectionLost
	case codeTooBig:
		return ErrTooBig
	case codeThrottled:
		return ErrThrottled
	}
	return fmt.Errorf("error %d of ZooKeeper's", code)
}

// Create makes a node and returns its path, which has a sequence number at its end in the sequential modes.
func (s *Session) Create(ctx context.Context, path string, data []byte, mode Mode) (string, error) {
	return do(ctx, s, "create", path, func(c *gozk.Conn) (string, error) {
		if mode == Container {
			return c.CreateContainer(path, data, int32(mode), s.cfg.ACL)
		}
		return c.Create(path, data, int32(mode), s.cfg.ACL)
	})
}

// Delete removes a node of that version.
func (s *Session) Delete(ctx context.Context, path string, version int32) error {
	_, err := do(ctx, s, "delete", path, func(c *gozk.Conn) (struct{}, error) { return struct{}{}, c.Delete(path, version) })
	return err
}

// Set changes the data of a node of that version.
func (s *Session) Set(ctx context.Context, path string, data []byte, version int32) (Stat, error) {
	return do(ctx, s, "set", path, func(c *gozk.Conn) (Stat, error) { return value(c.Set(path, data, version)) })
}

func value(st *Stat, err error) (Stat, error) {
	if st == nil {
		return Stat{}, err
	}
	return *st, err
}

// node is an answer of several parts.
type node[T any] struct {
	v    T
	stat Stat
}

func nodeOf[T any](v T, st *Stat, err error) (node[T], error) {
	s, err := value(st, err)
	return node[T]{v, s}, err
}

// Get reads a node.
func (s *Session) Get(ctx context.Context, path string) ([]byte, Stat, error) {
	n, err := do(ctx, s, "get", path, func(c *gozk.Conn) (node[[]byte], error) { return nodeOf(c.Get(path)) })
	return n.v, n.stat, err
}

// Exists looks whether a node is there.
func (s *Session) Exists(ctx context.Context, path string) (bool, Stat, error) {
	n, err := do(ctx, s, "look for", path, func(c *gozk.Conn) (node[bool], error) { return nodeOf(c.Exists(path)) })
	return n.v, n.stat, err
}

// Children lists the names below a node, in no order.
func (s *Session) Children(ctx context.Context, path string) ([]string, Stat, error) {
	n, err := do(ctx, s, "list", path, func(c *gozk.Conn) (node[[]string], error) { return nodeOf(c.Children(path)) })
	return n.v, n.stat, err
}

// Multi carries out all of ops or none. With an error of the server's, the results say which step it was.
func (s *Session) Multi(ctx context.Context, ops ...Op) ([]Result, error) {
	reqs := make([]any, len(ops))
	for i, op := range ops {
		reqs[i] = op.req
		if c, ok := op.req.(*gozk.CreateRequest); ok && c.Acl == nil {
			c.Acl = s.cfg.ACL
		}
	}
	return do(ctx, s, "multi", firstPath(ops), func(c *gozk.Conn) ([]Result, error) {
		answers, err := c.Multi(reqs...)
		out := make([]Result, len(answers))
		for i, a := range answers {
			out[i] = Result{a.String, a.Error}
		}
		return out, err
	})
}

func firstPath(ops []Op) string {
	if len(ops) == 0 {
		return ""
	}
	switch r := ops[0].req.(type) {
	case *gozk.CreateRequest:
		return r.Path
	case *gozk.DeleteRequest:
		return r.Path
	case *gozk.SetDataRequest:
		return r.Path
	}
	return ""
}

// MakePath makes a node and all above it, persistent and without data, where they are not there yet.
func (s *Session) MakePath(ctx context.Context, path string) error {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if _, err := s.Create(ctx, path[:i], nil, Persistent); err != nil && !errors.Is(err, ErrNodeExists) {
			// Whoever may not create above may still create below.
			if there, _, lookErr := s.Exists(ctx, path[:i]); lookErr != nil || !there {
				return fmt.Errorf("make path %q: %w", path, err)
			}
		}
	}
	return nil
}

// read makes one read of the link's own, with a one-shot watch whose event comes by the feeds.
func (s *Session) read(ctx context.Context, verb string, op int32, path string) ([]byte, error) {
	body, err := s.readOnce(ctx, op, path)
	s.m.calls.Inc()
	if err != nil {
		s.m.failures.Inc()
		return nil, fmt.Errorf("%s %q: %w", verb, path, err)
	}
	return body, nil
}

func (s *Session) readOnce(ctx context.Context, op int32, path string) ([]byte, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.cfg.CallTimeout)
		defer cancel()
	}
	if _, err := s.await(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l == nil {
		return nil, ErrConnectionLost
	}
	got := make(chan answer, 1)
	b := batch{l: l}
	b.read(op, path, true, func(a answer) {
		got <- answer{a.code, slices.Clone(a.body)}
	})
	b.send()
	select {
	case a := <-got:
		return a.body, errorOf(a.code)
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer in time: %w", context.Cause(ctx))
	}
}

// childrenWatch lists a node with a watch.
func (s *Session) childrenWatch(ctx context.Context, path string) (out []string, st Stat, err error) {
	body, err := s.read(ctx, "list", opChildren, path)
	if err != nil {
		return nil, st, err
	}
	all, st, err := parseNames(body)
	all.each(func(name []byte) { out = append(out, string(name)) })
	return out, st, err
}

// getWatch reads a node with a watch.
func (s *Session) getWatch(ctx context.Context, path string) ([]byte, Stat, error) {
	body, err := s.read(ctx, "get", opGetData, path)
	if err != nil {
		return nil, Stat{}, err
	}
	return parseData(body)
}
