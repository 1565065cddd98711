//go:build unix

package zkserve

import (
	"fmt"
	"os"
	"syscall"
)

// lockDir holds a folder for this process alone, until the file is closed or the process ends.
func lockDir(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another server uses it: %w", err)
	}
	return f, nil
}
