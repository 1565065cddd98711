package kafka

import "sync/atomic"

// sealing is the line of closed batches that are to be compressed, oldest first. The backlog's lock guards it; its bytes may be read without.
type sealing struct {
	batches []*batch
	bytes   atomic.Int64 // of the records, uncompressed
}

func (s *sealing) push(b *batch) {
	s.batches = append(s.batches, b)
	s.bytes.Add(int64(b.raw))
}

// pop is the oldest batch; there is one.
func (s *sealing) pop() *batch {
	b := s.batches[0]
	s.drop(b)
	return b
}

// drop takes b out, if it is in.
func (s *sealing) drop(b *batch) {
	n := len(s.batches)
	if s.batches = without(s.batches, b); len(s.batches) < n {
		s.batches[:n][n-1] = nil
		s.bytes.Add(-int64(b.raw))
	}
}

// maxSealing is how many bytes may wait to be compressed before the sink calls itself behind: half a second of what one core brings.
const maxSealing = 16 << 20

// Behind reports that more is put than gets compressed, or that the spool is not open yet: whoever puts should let up, as what is put meanwhile only fills the
// memory, and is lost with it. It costs a few nanoseconds.
func (s *Sink) Behind() bool {
	return !s.open.Load() || s.backlog.sealing.bytes.Load() > min(maxSealing, s.backlog.budget/4)
}
