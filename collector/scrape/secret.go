package scrape

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// secrets reads the files of credentials, again when they change, at most once a second each.
type secrets struct {
	mu    sync.Mutex
	files map[string]*secretFile
}

type secretFile struct {
	looked time.Time
	mod    time.Time
	size   int64
	text   string
}

// maxSecret bounds what is read of a file that was named by mistake.
const maxSecret = 64 << 10

// read is what the file says, without blanks around it, or text where no file is named. The error does not tell what is in it.
func (s *secrets) read(file, text string) (string, error) {
	if file == "" {
		return text, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[file]
	if f == nil {
		f = &secretFile{}
	}
	now := time.Now()
	if !f.looked.IsZero() && now.Sub(f.looked) < time.Second {
		return f.text, nil
	}
	st, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("read credentials: %w", err)
	}
	if !st.ModTime().Equal(f.mod) || st.Size() != f.size || f.looked.IsZero() {
		if st.Size() > maxSecret {
			return "", fmt.Errorf("read credentials %q: %d bytes are too many", file, st.Size())
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read credentials: %w", err)
		}
		t := strings.TrimSpace(string(b))
		if strings.ContainsFunc(t, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", fmt.Errorf("read credentials %q: a control character cannot stand in a header", file)
		}
		f.mod, f.size, f.text = st.ModTime(), st.Size(), t
	}
	f.looked = now
	if s.files == nil {
		s.files = map[string]*secretFile{}
	}
	s.files[file] = f
	return f.text, nil
}
