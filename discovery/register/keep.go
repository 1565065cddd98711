package register

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"github.com/rollcall-metrics/rollcall/internal/textfile"
)

// copyOf is where the last good text of a file is kept.
func (f *Files) copyOf(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(f.Keep, hex.EncodeToString(sum[:16])+".yml")
}

func (f *Files) keep(path string, text []byte) {
	if f.Keep == "" {
		return
	}
	to := f.copyOf(path)
	err := os.MkdirAll(f.Keep, 0o750)
	if err == nil {
		err = os.WriteFile(to+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	if err != nil {
		f.Log.Warn("no copy of a file of services can be kept", "file", path, "err", err)
	}
}

func (f *Files) kept(path string) []Service {
	if f.Keep == "" {
		return nil
	}
	text, err := textfile.Read(f.copyOf(path), maxFile)
	if err != nil {
		return nil
	}
	services, err := f.Parse(text)
	if err != nil {
		return nil
	}
	for i := range services {
		services[i].Source = path
	}
	f.Log.Warn("file of services is bad; its copy from before the restart counts", "file", path, "services", len(services))
	return services
}

func (f *Files) forget(path string) {
	if f.Keep != "" {
		os.Remove(f.copyOf(path)) // one that stays harms nobody until a file of that name is bad at a start
	}
}
