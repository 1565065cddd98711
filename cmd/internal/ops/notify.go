package ops

import (
	"net"
	"os"
)

// Notify tells systemd a state such as READY=1, RELOADING=1 or STOPPING=1, where it asked to be told (Type=notify). Elsewhere it does nothing.
func Notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return // nobody to tell; systemd notices by itself that it was not told
	}
	defer c.Close()
	c.Write([]byte(state))
}
