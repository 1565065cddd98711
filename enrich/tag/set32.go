package tag

// set32 is a set of 32-bit hashes in 5 to 11 bytes each. The zero value is empty. Two series of one hash are taken for one: of a million, 1 in 4,000 that is
// new is then taken for known, which does nobody harm.
type set32 struct {
	slots []uint32 // open addressing; 0: free. Its length is a power of two
	n     int
}

const set32Least = 16

// start is where a hash belongs; 0, which marks a free slot, is 1.
func (s *set32) start(h uint32) (uint32, int) {
	if h == 0 {
		h = 1
	}
	return h, int(h*0x9E3779B9) & (len(s.slots) - 1)
}

func (s *set32) has(h uint32) bool {
	if s.n == 0 {
		return false
	}
	h, i := s.start(h)
	for s.slots[i] != 0 {
		if s.slots[i] == h {
			return true
		}
		i = (i + 1) & (len(s.slots) - 1)
	}
	return false
}

// growth is how many bytes one more hash would make the set larger by, and how many it would have then.
func (s *set32) growth() (more, then int64) {
	if (s.n+1)*4 <= len(s.slots)*3 {
		return 0, s.bytes()
	}
	next := max(set32Least, 2*len(s.slots))
	return int64(next-len(s.slots)) * 4, int64(next) * 4
}

// add puts a hash in that is not in yet.
func (s *set32) add(h uint32) {
	if more, _ := s.growth(); more > 0 {
		old := s.slots
		s.slots = make([]uint32, max(set32Least, 2*len(old)))
		for _, x := range old {
			if x != 0 {
				s.put(x)
			}
		}
	}
	s.put(h)
	s.n++
}

func (s *set32) put(h uint32) {
	h, i := s.start(h)
	for s.slots[i] != 0 {
		i = (i + 1) & (len(s.slots) - 1)
	}
	s.slots[i] = h
}

func (s *set32) bytes() int64 { return int64(len(s.slots)) * 4 }
