//go:build !unix

package zkserve

import "os"

// lockDir cannot hold a folder here; two servers must not share one.
func lockDir(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
}
