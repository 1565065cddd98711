package scrape

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// hostileWorld is where the targets of TestHostileFleet are, which another process serves: what is measured here is the scraper alone.
type hostileWorld struct {
	Good  string
	Fleet []string          // as many good ones as were asked for, of 200 numbers each
	Bad   map[string]string // by name
	CA    []byte

	in  io.WriteCloser
	out *bufio.Scanner
}

// hostileReport is what the targets saw.
type hostileReport struct {
	Requests int64            // of the good ones, ever
	Stall    time.Duration    // the longest for which this process was not run, since the last report
	Written  map[string]int64 // the most on one connection, by name
}

func startHostile(t *testing.T, fleet int) *hostileWorld {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHostileServer$")
	cmd.Env = append(os.Environ(), "ROLLCALL_TEST_HOSTILE="+strconv.Itoa(fleet))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w := &hostileWorld{}
	if w.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.in.Close()
		_ = cmd.Wait()
	})
	w.out = bufio.NewScanner(out)
	w.out.Buffer(nil, 1<<20)
	w.read(t, w)
	return w
}

func (w *hostileWorld) read(t *testing.T, into any) {
	t.Helper()
	if !w.out.Scan() {
		t.Fatalf("the targets' process ended: %v", w.out.Err())
	}
	if err := json.Unmarshal(w.out.Bytes(), into); err != nil {
		t.Fatal(err)
	}
}

func (w *hostileWorld) report(t *testing.T) (r hostileReport) {
	t.Helper()
	if _, err := io.WriteString(w.in, "report\n"); err != nil {
		t.Fatal(err)
	}
	w.read(t, &r)
	return r
}

// TestHostileServer is the targets' process; in any other it does nothing. It ends when its standard input does.
func TestHostileServer(t *testing.T) {
	fleet, err := strconv.Atoi(os.Getenv("ROLLCALL_TEST_HOSTILE"))
	if err != nil {
		return
	}
	certs.make()
	w := hostileWorld{Bad: map[string]string{}, CA: certs.ca}
	var requests atomic.Int64
	good := func(body string) string {
		answer := []byte(sized(body, "Content-Type: application/json\r\n"))
		return listen(t, func(c net.Conn) {
			for asked(c) {
				requests.Add(1)
				if _, err := c.Write(answer); err != nil {
					return
				}
			}
		})
	}
	w.Good = good(someStats)
	for range fleet {
		w.Fleet = append(w.Fleet, good(keys(199)))
	}
	var mu sync.Mutex
	written := map[string]int64{}
	for _, h := range hostiles() {
		if h.serve == nil {
			w.Bad[h.name] = listenOnly(t)
			continue
		}
		w.Bad[h.name] = listen(t, func(c net.Conn) {
			counted := &countedConn{Conn: c}
			defer func() {
				mu.Lock()
				written[h.name] = max(written[h.name], counted.n)
				mu.Unlock()
			}()
			if tcp, is := c.(*net.TCPConn); is {
				counted.linger = tcp.SetLinger
			}
			h.serve(counted)
		})
	}
	print := func(v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s\n", b)
	}
	print(w)
	var stall atomic.Int64
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		for last := time.Now(); ; {
			<-tick.C
			now := time.Now()
			stall.Store(max(stall.Load(), int64(now.Sub(last))))
			last = now
		}
	}()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		mu.Lock()
		print(hostileReport{requests.Load(), time.Duration(stall.Swap(0)), written})
		clear(written)
		mu.Unlock()
	}
	os.Exit(0)
}

// countedConn counts what is written.
type countedConn struct {
	net.Conn
	n      int64
	linger func(int) error
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.n += int64(n)
	return n, err
}

func (c *countedConn) SetLinger(sec int) error { return c.linger(sec) }

func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

// listenOnly has a queue of one connection, and takes none from it: who comes later is not even answered by the kernel.
func listenOnly(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
}

// certificates are those of the targets over TLS.
type certificates struct {
	ca                         []byte // PEM
	good, expired, other, self *tls.Certificate
	authority                  *x509.Certificate
	key                        *ecdsa.PrivateKey
}

var certs certificates

func (c *certificates) make() {
	c.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.authority = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, _ := x509.CreateCertificate(rand.Reader, c.authority, c.authority, &c.key.PublicKey, c.key)
	c.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c.good = c.sign("127.0.0.1", time.Now().Add(time.Hour), true)
	c.expired = c.sign("127.0.0.1", time.Now().Add(-time.Minute), true)
	c.other = c.sign("10.9.9.9", time.Now().Add(time.Hour), true)
	c.self = c.sign("127.0.0.1", time.Now().Add(time.Hour), false)
}

func (c *certificates) fresh() *tls.Certificate {
	return c.sign("127.0.0.1", time.Now().Add(time.Hour), true)
}

func (c *certificates) sign(ip string, until time.Time, byUs bool) *tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	cert := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: ip}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.ParseIP(ip)}}
	parent, by := c.authority, c.key
	if !byUs {
		parent, by = cert, key
	}
	der, _ := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, by)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// overTLS serves behind a handshake with the certificate of the moment.
func overTLS(cert func() *tls.Certificate, serve func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		t := tls.Server(c, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert(), nil }})
		if t.Handshake() == nil {
			serve(t)
		}
	}
}

// withCert answers each connection once, so that each pull makes a handshake.
func withCert(cert func() *tls.Certificate, answer string) func(net.Conn) {
	return overTLS(cert, once(answer))
}
