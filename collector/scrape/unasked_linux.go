package scrape

import (
	"net"
	"syscall"
	"unsafe"
)

// unasked says whether a connection that was idle has something to read: an answer that nobody asked for, which would be taken for that to the next request, and that for
// the one after it. It makes no memory.
type unasked struct {
	n   int32
	ask func(fd uintptr)
}

func newUnasked() *unasked {
	u := &unasked{}
	u.ask = func(fd uintptr) {
		// It never waits, so the scheduler need not know of it.
		_, _, _ = syscall.RawSyscall(syscall.SYS_IOCTL, fd, syscall.TIOCINQ, uintptr(unsafe.Pointer(&u.n)))
	}
	return u
}

func (u *unasked) on(raw syscall.RawConn) bool {
	u.n = 0
	return raw != nil && raw.Control(u.ask) == nil && u.n > 0
}

// rawOf is c for unasked; nil where it is none of a kernel's, or speaks TLS, whose own records may come at any time.
func rawOf(c net.Conn) syscall.RawConn {
	if tcp, is := c.(*net.TCPConn); is {
		if raw, err := tcp.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
