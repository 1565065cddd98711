package testenv

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
)

// Proxy stands between clients and a server, and does to their connections what networks do. It is made whole: it forwards until told otherwise. Its
// methods wait until what they do is in force, and may be called from several goroutines.
type Proxy struct {
	Addr string // host:port for clients; it stays the same

	t testing.TB
	p *toxiproxy.Proxy
}

// NewProxy puts a proxy in front of a TCP server, until the test is over.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	log := zerolog.Nop()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(Port(t)))
	p := &Proxy{Addr: addr, t: t, p: toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), log), target, addr, target)}
	if err := p.p.Start(); err != nil {
		t.Fatalf("testenv: start proxy to %s: %v", target, err)
	}
	t.Cleanup(p.p.Stop)
	return p
}

// Down cuts every connection and refuses new ones until Up.
func (p *Proxy) Down() { p.p.Stop() }

// Up accepts connections again after Down.
func (p *Proxy) Up() {
	p.t.Helper()
	if err := p.p.Start(); err != nil && err != toxiproxy.ErrProxyAlreadyStarted {
		p.t.Errorf("testenv: start proxy on %s: %v", p.Addr, err)
	}
}

// Cut ends every connection; new ones are accepted at once.
func (p *Proxy) Cut() {
	p.t.Helper()
	p.Down()
	p.Up()
}

// Move cuts every connection, and new ones reach another server: as if the name in the clients' configuration had moved.
func (p *Proxy) Move(target string) {
	p.t.Helper()
	p.Down()
	if err := p.p.Update(&toxiproxy.Proxy{Listen: p.Addr, Upstream: target, Enabled: true}); err != nil {
		p.t.Errorf("testenv: move proxy on %s to %s: %v", p.Addr, target, err)
	}
}

// Latency delays what the server says by d, on open connections and new ones, in place of the delay before.
func (p *Proxy) Latency(d time.Duration) {
	p.t.Helper()
	p.remove("latency_downstream")
	p.add(fmt.Sprintf(`{"type":"latency","stream":"downstream","attributes":{"latency":%d}}`, d.Milliseconds()))
}

// Blackhole drops every byte both ways until Heal: open connections stay open, new ones are accepted, and nobody hears anything, not even an end.
func (p *Proxy) Blackhole() {
	p.t.Helper()
	p.Mute()
	p.add(`{"type":"timeout","stream":"upstream","attributes":{"timeout":0}}`)
}

// Mute drops what the server says until Heal: it hears its clients, who do not hear it.
func (p *Proxy) Mute() {
	p.t.Helper()
	p.add(`{"type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)
}

// Resets breaks connections in the middle of what the server says: each piece of it with that chance, which is lost then.
func (p *Proxy) Resets(share float64) {
	p.t.Helper()
	env.mu.Lock()
	if !env.resets {
		toxics.Register(resetToxic, new(reset))
		env.resets = true
	}
	env.mu.Unlock()
	p.add(fmt.Sprintf(`{"type":%q,"stream":"downstream","attributes":{"share":%g}}`, resetToxic, share))
}

// Heal ends Latency, Blackhole, Mute and Resets. Connections that lost bytes end with them.
func (p *Proxy) Heal() { p.p.Toxics.ResetToxics(context.Background()) }

func (p *Proxy) add(toxic string) {
	p.t.Helper()
	if _, err := p.p.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil && err != toxiproxy.ErrToxicAlreadyExists {
		p.t.Errorf("testenv: add %s to proxy on %s: %v", toxic, p.Addr, err)
	}
}

func (p *Proxy) remove(name string) {
	p.t.Helper()
	if err := p.p.Toxics.RemoveToxic(context.Background(), name); err != nil && err != toxiproxy.ErrToxicNotFound {
		p.t.Errorf("testenv: remove %s from proxy on %s: %v", name, p.Addr, err)
	}
}

const resetToxic = "testenv_reset"

// reset ends a connection before a piece of data, by chance.
type reset struct {
	Share float64 `json:"share"`
}

// Pipe implements toxiproxy's Toxic.
func (r *reset) Pipe(stub *toxics.ToxicStub) {
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil || rand.Float64() < r.Share {
				stub.Close()
				return
			}
			stub.Output <- c
		}
	}
}
