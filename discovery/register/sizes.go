package register

import (
	"slices"
	"sync"
	"time"
)

// lookBack is how far back a serverset's size counts.
const lookBack = time.Hour

// sizes remembers how large each serverset was, by the minute, for the last hour.
type sizes struct {
	mu     sync.Mutex
	byPath map[string][]sized
}

// sized is the largest size seen in one minute.
type sized struct {
	Minute int64 `json:"m"` // since 1970
	Size   int   `json:"n"`
}

func newSizes() *sizes { return &sizes{byPath: map[string][]sized{}} }

func (s *sizes) add(path string, n int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	minute := now.Unix() / 60
	list := recent(s.byPath[path], now)
	if i := len(list) - 1; i >= 0 && list[i].Minute == minute {
		list[i].Size = max(list[i].Size, n)
	} else {
		list = append(list, sized{minute, n})
	}
	s.byPath[path] = list
}

// peak is the largest size of the last hour, 0 if none was seen.
func (s *sizes) peak(path string, now time.Time) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.byPath[path] {
		if inLookBack(e, now) {
			n = max(n, e.Size)
		}
	}
	return n
}

// inLookBack also refuses what is to come: a clock that was set back must not pin a peak.
func inLookBack(e sized, now time.Time) bool {
	return e.Minute >= now.Add(-lookBack).Unix()/60 && e.Minute <= now.Unix()/60
}

// recent cuts what is too old off list, in place.
func recent(list []sized, now time.Time) []sized {
	return slices.DeleteFunc(list, func(e sized) bool { return !inLookBack(e, now) })
}

// copy is every path with its sizes of the last hour.
func (s *sizes) copy(now time.Time) map[string][]sized {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string][]sized, len(s.byPath))
	for p, list := range s.byPath {
		if list = recent(list, now); len(list) > 0 {
			s.byPath[p], out[p] = list, slices.Clone(list)
		} else {
			delete(s.byPath, p)
		}
	}
	return out
}
