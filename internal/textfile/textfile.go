// Package textfile reads files that people and their tools write for a daemon, which looks at them again and again.
//
// It owns what may be read as such a file. It must not know what stands in it.
package textfile

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Read is the text of a file of at most so many bytes, without the byte order mark that some editors begin with. What is no regular file is an error: whoever reads a pipe
// waits for who writes it, and a device has no end.
func Read(name string, most int) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // to open a pipe would wait, too
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if is, err := f.Stat(); err != nil {
		return nil, err
	} else if !is.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is no regular file", name)
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err != nil {
		return nil, err
	}
	if len(b) > most {
		return nil, fmt.Errorf("%q is longer than %d bytes; divide it, if it is the right one", name, most)
	}
	return bytes.TrimPrefix(b, []byte("\ufeff")), nil
}
