package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// echo answers each line with its name in front.
func echo(t *testing.T, name string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				for s := bufio.NewScanner(c); s.Scan(); {
					fmt.Fprintf(c, "%s %s\n", name, s.Text())
				}
			})
		}
	})
	return l.Addr().String()
}

func TestProxy(t *testing.T) {
	one, two := echo(t, "one"), echo(t, "two")
	p := NewProxy(t, one)
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	ask := func(c net.Conn, wait time.Duration) (string, error) {
		c.SetDeadline(time.Now().Add(wait))
		if _, err := io.WriteString(c, "hi\n"); err != nil {
			return "", err
		}
		return bufio.NewReader(c).ReadString('\n')
	}
	says := func(c net.Conn, want string) {
		t.Helper()
		if got, err := ask(c, 10*time.Second); got != want+" hi\n" {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	}
	ended := func(c net.Conn) {
		t.Helper()
		if got, err := ask(c, 10*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection goes on: %q, %v", got, err)
		}
	}
	silent := func(c net.Conn) {
		t.Helper()
		if got, err := ask(c, 150*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q, %v; want silence", got, err)
		}
	}
	c := dial()
	says(c, "one")

	p.Latency(100 * time.Millisecond)
	p.Latency(200 * time.Millisecond)
	for _, c := range []net.Conn{c, dial()} {
		begin := time.Now()
		says(c, "one")
		if d := time.Since(begin); d < 200*time.Millisecond {
			t.Errorf("answered in %v", d)
		}
	}
	p.Heal()
	begin := time.Now()
	says(c, "one")
	if d := time.Since(begin); d >= 200*time.Millisecond {
		t.Errorf("healed, and answers in %v", d)
	}

	p.Blackhole()
	fresh := dial()
	silent(c)
	silent(fresh)
	p.Blackhole() // twice is once
	p.Heal()
	ended(c)
	ended(fresh)

	c = dial()
	says(c, "one")
	p.Mute()
	silent(c)
	p.Heal()

	c = dial()
	says(c, "one")
	p.Resets(1)
	ended(c)
	p.Heal()

	c = dial()
	says(c, "one")
	p.Cut()
	ended(c)
	says(dial(), "one")

	c = dial()
	says(c, "one")
	p.Down()
	p.Down()
	ended(c)
	if c, err := net.Dial("tcp", p.Addr); err == nil {
		c.Close()
		t.Error("accepts while down")
	}
	p.Up()
	p.Up()
	c = dial()
	says(c, "one")
	addr := p.Addr
	p.Move(two)
	ended(c)
	if says(dial(), "two"); p.Addr != addr {
		t.Errorf("moved itself to %s", p.Addr)
	}
}
