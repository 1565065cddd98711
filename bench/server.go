package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/internal/testenv"
)

// server is a real ZooKeeper of one node, with a heap of its own and its data in a temporary folder.
type server struct {
	addr string
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
}

// startServer fetches ZooKeeper where needed, starts it and waits until it serves. stop must be called.
func startServer(ctx context.Context, heap string, progress io.Writer) (_ *server, err error) {
	cp, err := testenv.Fetch(ctx, testenv.ZooKeeperJars, progress)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rollcall-bench-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), dir: dir, done: make(chan struct{})}
	// Sessions last: everybody shares the machine's cores with the server.
	conf := fmt.Sprintf("tickTime=3000\nmaxSessionTimeout=120000\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n", dir, port)
	file := filepath.Join(dir, "zoo.cfg")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	s.cmd = exec.Command("java", "-Xmx"+heap, "-XX:-UsePerfData", "-Djute.maxbuffer=4194304", "-Dzookeeper.forceSync=no", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", cp, "org.apache.zookeeper.server.quorum.QuorumPeerMain", file)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := startChild(s.cmd, anyCore, func() { log.Close(); close(s.done) }); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	for end := time.Now().Add(90 * time.Second); ; {
		answer, err := s.ask("srvr", time.Second) // while it starts it takes connections and says nothing
		if err == nil && strings.Contains(answer, "Mode: ") {
			return s, nil
		}
		select {
		case <-s.done:
			b, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("start ZooKeeper: it ended at once\n%s", b)
		case <-ctx.Done():
			s.stop()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(end) {
			s.stop()
			return nil, fmt.Errorf("start ZooKeeper: not ready after 90 s: %w", err)
		}
	}
}

// until is ctx, which ends with the server, too.
func (s *server) until(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.done:
			cancel(errors.New("ZooKeeper has ended"))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

func (s *server) stop() {
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.done
	_ = os.RemoveAll(s.dir)
}

// ask sends a four-letter word.
func (s *server) ask(word string, atMost time.Duration) (string, error) {
	c, err := net.DialTimeout("tcp", s.addr, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(atMost)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, word); err != nil {
		return "", err
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(c)
	return b.String(), err
}

// watches is the number of watches that the server holds.
func (s *server) watches() (int, error) {
	answer, err := s.ask("mntr", 30*time.Second)
	if err != nil {
		return 0, fmt.Errorf("ask for watches: %w", err)
	}
	for line := range strings.Lines(answer) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "zk_watch_count" {
			return strconv.Atoi(f[1])
		}
	}
	return 0, fmt.Errorf("ask for watches: mntr has no zk_watch_count: %.200q", answer)
}

// freePort is one below the range that the kernel takes for outgoing connections, so that nobody has it by the time it is listened on.
func freePort() (int, error) {
	for range 100 {
		port := 12000 + rand.IntN(18000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a port: none free in 100 tries")
}
