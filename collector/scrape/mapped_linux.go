package scrape

import (
	"math/bits"
	"sync"
	"syscall"
	"unsafe"
)

// mapped is memory of the system's own, for large bodies: it is no part of the heap, so that a body of some megabytes does not have the heap grow to twice of what it took,
// and what nobody needs any more goes back at once and not with one of the next rounds of the collector of garbage. Pages that are given back stay mapped, and empty: who
// looked at them too late would see zeros. Of each size only a few are kept so: what more there was at once goes back whole, as addresses and mappings end, too.
type mapped struct {
	mu    sync.Mutex
	spare [64][][]byte // by the power of two that is their size
}

// maxSpare is how many of one size stay mapped while nobody needs them, maxSpareBytes how many bytes of one size.
const (
	maxSpare      = 16
	maxSpareBytes = 64 << 20
)

// take is n bytes at least, none of which takes memory before something is written there; nil where the system has none.
func (m *mapped) take(n int) []byte {
	class := classOfMapped(n)
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := len(m.spare[class]) - 1; k >= 0 {
		b := m.spare[class][k]
		m.spare[class] = m.spare[class][:k]
		return b[:0:n]
	}
	b, err := syscall.Mmap(-1, 0, 1<<class, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	return b[:0:n]
}

func classOfMapped(n int) int { return bits.Len(uint(n - 1)) }

// give takes back what take gave.
func (m *mapped) give(b []byte) {
	class := classOfMapped(cap(b))
	b = unsafe.Slice(unsafe.SliceData(b), 1<<class)
	most := min(maxSpare, max(maxSpareBytes>>class, 1))
	m.mu.Lock()
	if len(m.spare[class]) >= most {
		m.mu.Unlock()
		_ = syscall.Munmap(b[: 1<<class : 1<<class]) // it is as take mapped it
		return
	}
	m.mu.Unlock()
	_ = syscall.Madvise(b, syscall.MADV_DONTNEED) // of a process that is locked into memory it stays as it is, and is used again
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spare[class] = append(m.spare[class], b) // of those who give at once a few more than that may stay
}
