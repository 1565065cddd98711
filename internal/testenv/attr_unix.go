//go:build unix && !linux

package testenv

import "syscall"

// childAttr puts a child into a group of its own; outside Linux a panic may leave it behind.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
