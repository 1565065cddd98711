package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cpu is the time that this process has spent on a processor.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpuOf is the time that a process has spent on a processor, to the nanosecond: the kernel's clock of that process.
func cpuOf(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &ts); err != nil {
		return 0, fmt.Errorf("read the clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// rss is how many bytes of this process are in memory.
func rss() (uint64, error) { return memoryOf("self", "VmRSS") }

// memoryOf is a size in /proc/<process>/status, in bytes: VmRSS is what is in memory, VmHWM the most that ever was.
func memoryOf(process, what string) (uint64, error) {
	b, err := os.ReadFile("/proc/" + process + "/status")
	if err != nil {
		return 0, fmt.Errorf("read resident size: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, what+":"); ok {
			kb, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("read resident size: no %s in /proc/%s/status", what, process)
}

// received is how many bytes came over this process' open connections to a server: the kernel's own count, so it costs neither side a proxy.
func received(addr string) (uint64, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, l := range links {
		fd, err := strconv.Atoi(filepath.Base(l))
		if err != nil {
			continue
		}
		peer, err := unix.Getpeername(fd)
		if err != nil {
			continue // no socket, or none that is connected
		}
		var peerPort int
		switch p := peer.(type) {
		case *unix.SockaddrInet4:
			peerPort = p.Port
		case *unix.SockaddrInet6:
			peerPort = p.Port
		}
		if strconv.Itoa(peerPort) != port {
			continue
		}
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return 0, fmt.Errorf("ask the kernel for a socket's bytes: %w", err)
		}
		sum += info.Bytes_received
	}
	return sum, nil
}
