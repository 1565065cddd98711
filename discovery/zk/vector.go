package zk

import (
	"github.com/rollcall-metrics/rollcall/discovery/serverset"
)

// vector is a sibling of Finagle's members that holds weights.
type vector struct {
	seen    uint32 // the last list that had it
	read    bool
	reading bool
	v       serverset.Vector
}

// maxVectors is how many of them one serverset may have; there is seldom more than one.
const maxVectors = 64

func (s *set) addVector(name string) {
	if v := s.vectors[name]; v != nil || len(s.vectors) >= maxVectors {
		if v != nil {
			s.readVector(name, v)
		}
		return
	}
	if s.vectors == nil {
		s.vectors = map[string]*vector{}
	}
	v := &vector{seen: s.lists}
	s.vectors[name] = v
	s.unread++
	s.nameless++
	s.readVector(name, v)
}

func (s *set) readVector(name string, v *vector) {
	if v.reading {
		return // its data never changes
	}
	v.reading = true
	s.t.m.reads.Inc()
	s.t.urgent.push(wanted{t: s.t, what: readVector, s: s, name: name})
}

// dropVector ends one, if name is one's.
func (s *set) dropVector(name string) bool {
	v := s.vectors[name]
	if v == nil {
		return false
	}
	delete(s.vectors, name)
	if !v.read {
		s.unread--
		s.nameless--
	}
	s.reweigh()
	return true
}

// weighed takes what a vector says.
func (s *set) weighed(q *request) {
	v := s.vectors[q.name]
	if v == nil || s.t.sets[s.path] != s {
		return
	}
	v.reading = false
	switch {
	case q.again():
		s.readVector(q.name, v)
		return
	case q.code == codeNoNode:
		s.dropVector(q.name)
		return
	}
	if !v.read {
		v.read = true
		s.unread--
		s.nameless--
	}
	err := q.err()
	if err == nil {
		v.v, err = serverset.ParseVector(q.data)
	}
	if err != nil {
		v.v = serverset.Vector{}
		s.t.cfg.Log.Warn("cannot read the weights of a serverset; its members go without", "source", s.t.cfg.Name, "path", join(s.path, q.name), "err", err)
	}
	s.reweigh()
}

// reweigh puts all weights on all members.
func (s *set) reweigh() {
	all := make([]serverset.Vector, 0, len(s.vectors))
	for _, v := range s.vectors {
		all = append(all, v.v)
	}
	s.weights = serverset.WeightsOf(all...)
	for _, m := range s.members {
		if !m.read || m.m.Err != nil {
			continue
		}
		weighed := *m.m
		if s.weights.Apply(&weighed.Instance); weighed.Instance != m.m.Instance {
			m.m = &weighed
		}
	}
	s.touch(joinDelay)
}
