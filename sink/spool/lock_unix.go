//go:build unix

package spool

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes the folder for this process; the system gives it back when the process ends, however that is.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}
