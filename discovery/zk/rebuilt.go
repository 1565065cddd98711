package zk

import (
	"context"
	"regexp"
	"strconv"
	"time"
)

var zxidLine = regexp.MustCompile(`(?m)^Zxid: 0x([0-9a-f]{1,16})\r?$`)

// parseZxid finds the last transaction in the answer to srvr; ok is false for a server that does not serve.
func parseZxid(srvr string) (zxid int64, ok bool) {
	m := zxidLine.FindStringSubmatch(srvr)
	if m == nil {
		return 0, false
	}
	u, err := strconv.ParseUint(m[1], 16, 63)
	return int64(u), err == nil
}

// rebuilt reports an ensemble that was made anew: its servers serve, they turned us away, and none of those that answer is as far as the last transaction that we
// have seen. A server that only lags behind turns us away, too, but not all of them do.
func (s *Session) rebuilt(ctx context.Context, c *client) bool {
	ours := s.zxid.Load()
	all := c.hosts.others("")
	if c.refusals.Load() < int64(max(1, len(all))) || ours == 0 {
		return false
	}
	c.refusals.Store(0) // not again before another round
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	answered := 0
	for _, at := range all {
		said, err := ask(ctx, s.dial, at, "srvr")
		if err != nil {
			continue
		}
		zxid, serves := parseZxid(said)
		if serves && zxid >= ours {
			return false
		}
		if serves {
			answered++
		}
	}
	return answered > len(all)/2
}
