package zk

import (
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"time"
)

// ask sends one of ZooKeeper's four letter words over a connection of its own and returns at most 4 KiB of the answer.
func ask(ctx context.Context, dial func(context.Context, endpoint) (net.Conn, error), at endpoint, word string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := dial(ctx, at)
	if err != nil {
		return "", fmt.Errorf("ask %q of %s: %w", word, at.addr, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if _, err := io.WriteString(c, word); err != nil {
		return "", fmt.Errorf("ask %q of %s: %w", word, at.addr, err)
	}
	b, err := io.ReadAll(io.LimitReader(c, 4<<10))
	if len(b) == 0 && err != nil {
		return "", fmt.Errorf("ask %q of %s: %w", word, at.addr, err)
	}
	return string(b), nil
}

var versionLine = regexp.MustCompile(`(?m)^Zookeeper version: (\d{1,4})\.(\d{1,4})\.(\d{1,4})[^,\n]{0,40}`)

// version is a server's release: {3, 9, 4}.
type version [3]int

// parseVersion finds the release in the answer to srvr; the zero version means that the server did not say.
func parseVersion(srvr string) (v version) {
	m := versionLine.FindStringSubmatch(srvr)
	if m == nil {
		return v
	}
	for i := range v {
		v[i], _ = strconv.Atoi(m[i+1]) // at most four digits
	}
	return v
}

// hasAddWatch: an older server closes the connection at an operation that it does not know, so one that does not tell its release is not asked.
func (v version) hasAddWatch() bool { return v[0] > 3 || v[0] == 3 && v[1] >= 6 }

func (v version) String() string {
	if v == (version{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
}
