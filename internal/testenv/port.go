package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Port reserves a free TCP port of 127.0.0.1 until the test is over. It lies below the range from which the kernel takes the
// ports of outgoing connections, and a lock keeps it from other test binaries, so that a server can be killed and come back on
// it.
func Port(t testing.TB) int {
	t.Helper()
	port, release, err := reservePort()
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(release)
	return port
}

func reservePort() (port int, release func(), err error) {
	dir, err := cacheDir("ports")
	if err != nil {
		return 0, nil, err
	}
	for range 1000 { // the empty files stay: to remove one would race with who locks it next
		port := 12000 + rand.IntN(18000)
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return 0, nil, fmt.Errorf("reserve port %d: %w", port, err)
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			f.Close()
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			f.Close()
			continue
		}
		l.Close()
		return port, func() { f.Close() }, nil
	}
	return 0, nil, fmt.Errorf("reserve port: none free in 1000 tries")
}
