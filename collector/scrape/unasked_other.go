//go:build !linux

package scrape

import (
	"net"
	"syscall"
)

// unasked cannot be known here: an answer that nobody asked for is taken for that to the next request.
type unasked struct{}

func newUnasked() *unasked { return &unasked{} }

func (*unasked) on(syscall.RawConn) bool { return false }

func rawOf(net.Conn) syscall.RawConn { return nil }
