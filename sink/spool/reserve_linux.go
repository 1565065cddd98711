package spool

import (
	"os"
	"syscall"
)

// reserve sets bytes of a file aside, so that they can be written when the disk is full. Where the file system cannot do it, that is not so.
func reserve(f *os.File, size int64) { _ = syscall.Fallocate(int(f.Fd()), 0, 0, size) }

// allocated is what a file takes of the disk: less than its size where it has holes.
func allocated(st os.FileInfo) int64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return min(st.Size(), sys.Blocks*512)
	}
	return st.Size()
}
