package ensemble

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
)

// Dial is how a scrape reaches a server: it asks the server at addr, in its own words, and returns a connection within the process on which one request for
// StatsPath is answered with what it said. What goes wrong on the way (refused, no answer in time) is Dial's error, as it would be of a server that spoke HTTP. An address
// that is no server of the ensemble is not asked.
func (s *Source) Dial(ctx context.Context, _, addr string) (net.Conn, error) {
	s.mu.Lock()
	n := s.by[addr]
	s.mu.Unlock()
	if n == nil {
		return nil, fmt.Errorf("ask %.100s: it is no server of the ensemble", addr)
	}
	r, err := s.read(ctx, n)
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	go answer(far, r.render())
	return near, nil
}

// answer serves one request and ends the connection, so that the next pull asks the server again. It lives as long as the scrape holds its end.
func answer(c net.Conn, body []byte) {
	defer c.Close()
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	if req.Method != http.MethodGet || req.URL.Path != StatsPath {
		head, body = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", nil
	}
	c.Write(append([]byte(head), body...)) // a scrape that went away is its own loss
}
