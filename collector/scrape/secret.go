package scrape

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// secrets reads the files of credentials, at most once a second each. What a file says counts, not its time: whoever replaces one may keep that. A file that takes long to
// be read, on a disk far away, holds up those alone who need it.
type secrets struct {
	mu    sync.Mutex // held over no reading
	files map[string]*secretFile
}

type secretFile struct {
	mu     sync.Mutex // held while it is read
	looked time.Time
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
	f := s.files[file]
	if f == nil {
		if s.files == nil {
			s.files = map[string]*secretFile{}
		}
		f = &secretFile{}
		s.files[file] = f
	}
	s.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if !f.looked.IsZero() && now.Sub(f.looked) < time.Second {
		return f.text, nil
	}
	t, err := readSecret(file)
	if err != nil {
		return "", err
	}
	f.text, f.looked = t, now
	return t, nil
}

func readSecret(file string) (string, error) {
	h, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read credentials: %w", err)
	}
	defer h.Close()
	b, err := io.ReadAll(io.LimitReader(h, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("read credentials: %w", err)
	}
	if len(b) > maxSecret {
		return "", fmt.Errorf("read credentials %q: more than %d bytes are too many", file, maxSecret)
	}
	t := strings.TrimSpace(string(b))
	if strings.ContainsFunc(t, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("read credentials %q: a control character cannot stand in a header", file)
	}
	return t, nil
}

// shown is where a redirect points to without the values of its query: a server may send the job's params back, and a token may stand there.
func shown(location string) string {
	if at, _, has := strings.Cut(location, "?"); has {
		return at + "?…"
	}
	return location
}
