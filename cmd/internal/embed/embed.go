// Package embed runs the servers that nobody configured: a ZooKeeper and a Kafka broker inside the process. It replaces the servers and never the code: everything
// talks to them over the same clients.
package embed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/rollcall-metrics/rollcall/cmd/internal/ops"
	"github.com/rollcall-metrics/rollcall/internal/broker"
	"github.com/rollcall-metrics/rollcall/internal/zkserve"
)

// Config says which servers to run, and where.
type Config struct {
	ZooKeeper bool
	Kafka     bool
	Storage   string // folders zookeeper/ and broker/ are made in it
	// NextPort lets a server take one of the next ports where its own is in use.
	NextPort bool
	// ZooKeeperAddr and KafkaAddr default to 127.0.0.1:7181 and 127.0.0.1:7192.
	ZooKeeperAddr, KafkaAddr string
	// ZooKeeperFlag and KafkaFlag are what one gives for another address; a server that cannot listen says so.
	ZooKeeperFlag, KafkaFlag string
	Log                      *slog.Logger
}

// Servers are the embedded servers.
type Servers struct {
	zk     *zkserve.Server
	broker *broker.Broker
}

// New makes the servers; none listens before Run.
func New(c Config) (*Servers, error) {
	s := &Servers{}
	if c.ZooKeeper {
		addr, err := free(c.ZooKeeperAddr, zkserve.DefaultAddr, c.NextPort)
		if err != nil {
			return nil, fmt.Errorf("embedded ZooKeeper: %w%s", err, remedy(c.ZooKeeperFlag))
		}
		if s.zk, err = zkserve.New(zkserve.Config{Addr: addr, Dir: filepath.Join(c.Storage, "zookeeper"), Log: c.Log.With("part", "zookeeper")}); err != nil {
			return nil, err
		}
	}
	if c.Kafka {
		addr, err := free(c.KafkaAddr, broker.DefaultAddr, c.NextPort)
		if err != nil {
			return nil, fmt.Errorf("embedded broker: %w%s", err, remedy(c.KafkaFlag))
		}
		if s.broker, err = broker.New(broker.Config{Addr: addr, DataDir: filepath.Join(c.Storage, "broker"), Logger: c.Log.With("part", "broker")}); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func remedy(flag string) string {
	if flag == "" {
		return ""
	}
	return ": " + flag + "=HOST:PORT"
}

// free is the address to use: the one asked for, or, where that is allowed, one of the next ports.
func free(addr, def string, next bool) (string, error) {
	if addr == "" {
		addr = def
	}
	tries := 0
	if next {
		tries = 50
	}
	l, err := ops.Listen(addr, tries)
	if err != nil {
		return "", err
	}
	defer l.Close()
	host, _, _ := net.SplitHostPort(addr)
	return net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port)), nil
}

// Run serves until ctx ends, or until one of them fails.
func (s *Servers) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
				cancel(err)
			}
		})
	}
	if s.zk != nil {
		run(s.zk.Run)
	}
	if s.broker != nil {
		run(s.broker.Run)
	}
	<-ctx.Done()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Wait returns when all of them listen. Call it while Run runs.
func (s *Servers) Wait(ctx context.Context) error {
	if s.zk != nil {
		select {
		case <-s.zk.Listening():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if s.broker != nil {
		select {
		case <-s.broker.Ready():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// ZooKeeper is where the embedded ZooKeeper listens, "" without one.
func (s *Servers) ZooKeeper() string {
	if s.zk == nil {
		return ""
	}
	return s.zk.Addr()
}

// Kafka is where the embedded broker listens, "" without one.
func (s *Servers) Kafka() string {
	if s.broker == nil {
		return ""
	}
	return s.broker.Addr()
}
