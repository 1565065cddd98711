package zk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a server's side of a connection, as bytes.
type wire struct {
	net.Conn // nil: what a test does not expect panics
	in       io.Reader
	out      bytes.Buffer
	closed   bool
}

func (w *wire) Read(b []byte) (int, error)       { return w.in.Read(b) }
func (w *wire) Write(b []byte) (int, error)      { return w.out.Write(b) }
func (w *wire) Close() error                     { w.closed = true; return nil }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func be32(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
func be64(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func framed(parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(be32(int32(len(body))), body...)
}

// hello is an answer to a connect request.
func hello(session int64, timeoutMs int32, readOnly ...byte) []byte {
	return framed(be32(0), be32(timeoutMs), be64(session), be32(16), make([]byte, 16), readOnly)
}

func reply(xid, code int32, body ...byte) []byte { return framed(be32(xid), be64(7), be32(code), body) }

func linkOver(in []byte, readOnly bool, maxPacket int) (*link, *wire, *[]greeting) {
	w := &wire{in: bytes.NewReader(in)}
	l := newLink(w, endpoint{name: "zk:2181", addr: "10.0.0.1:2181"}, readOnly, maxPacket, time.Time{})
	var got []greeting
	l.onOpen = func(_ *link, g greeting) { got = append(got, g) }
	l.onClose = func(*link) {}
	return l, w, &got
}

func TestLinkWrites(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		l, w, _ := linkOver(nil, readOnly, 1<<20)
		request := framed(be32(0), be64(0), be32(4000), be64(0), be32(16), make([]byte, 16))
		if n, err := l.Write(request); n != len(request) || err != nil {
			t.Fatalf("%d %v", n, err)
		}
		want := append(be32(45), append(bytes.Clone(request[4:]), map[bool]byte{true: 1}[readOnly])...)
		if !bytes.Equal(w.out.Bytes(), want) {
			t.Errorf("read-only %v:\n got %x\nwant %x", readOnly, w.out.Bytes(), want)
		}
		w.out.Reset()
		if _, err := l.Write([]byte("later frames as they are")); err != nil || w.out.String() != "later frames as they are" {
			t.Errorf("%q %v", w.out.String(), err)
		}
	}
	l, w, _ := linkOver(nil, false, 1<<20)
	if err := l.addWatch("/discovery", nil); err != nil {
		t.Fatal(err)
	}
	if want := framed(be32(xidFirstOurs), be32(106), be32(10), []byte("/discovery"), be32(1)); !bytes.Equal(w.out.Bytes(), want) {
		t.Errorf("addWatch\n got %x\nwant %x", w.out.Bytes(), want)
	}
}

func TestLinkReads(t *testing.T) {
	event := framed(be32(-1), be64(-1), be32(0), be32(1), be32(3), be32(2), []byte("/a"))
	for _, tc := range []struct {
		name      string
		in        [][]byte
		readOnly  bool
		out       [][]byte // what the library gets
		err       string
		codes     []int32 // of our own calls
		maxPacket int
	}{
		{"greeting", [][]byte{hello(5, 4000, 0)}, false, [][]byte{hello(5, 4000, 0)}, "EOF", nil, 100},
		{"read-only", [][]byte{hello(5, 4000, 1)}, true, [][]byte{hello(5, 4000, 1)}, "EOF", nil, 100},
		{"an old server says nothing of it", [][]byte{hello(5, 4000)}, false, [][]byte{hello(5, 4000)}, "EOF", nil, 100},
		{"replies and events pass", [][]byte{hello(5, 4000, 0), reply(1, 0, 'x'), event, reply(-2, 0)}, false, [][]byte{hello(5, 4000, 0), reply(1, 0, 'x'), event, reply(-2, 0)}, "EOF", nil, 100},
		{"ours stay here", [][]byte{hello(5, 4000, 0), reply(xidFirstOurs, 0), reply(1, 0), reply(xidFirstOurs-1, -6, 1, 2, 3), reply(xidAuth, -115)}, false, [][]byte{hello(5, 4000, 0), reply(1, 0)}, "EOF", []int32{0, -6, -115}, 100},
		{"too big", [][]byte{hello(5, 4000, 0), reply(1, 0, make([]byte, 100)...), reply(2, 0, 'y')}, false, [][]byte{hello(5, 4000, 0), reply(1, codeTooBig), reply(2, 0, 'y')}, "EOF", nil, 100},
		{"a huge event", [][]byte{hello(5, 4000, 0), framed(be32(-1), be64(-1), be32(0), make([]byte, 200)), reply(2, 0)}, false, [][]byte{hello(5, 4000, 0), reply(2, 0)}, "EOF", nil, 100},
		{"a frame without a header", [][]byte{hello(5, 4000, 0), framed(be32(1)), make([]byte, 30)}, false, [][]byte{hello(5, 4000, 0)}, "less than a header", nil, 100},
		{"not ZooKeeper", [][]byte{[]byte("HTTP/1.1 400 Bad Request\r\n")}, false, nil, "is it a ZooKeeper server", nil, 100},
		{"a password longer than the answer", [][]byte{framed(be32(0), be32(1), be64(1), be32(900))}, false, nil, "password", nil, 100},
		{"cut short", [][]byte{hello(5, 4000, 0)[:9]}, false, nil, "unexpected EOF", nil, 100},
	} {
		l, _, greetings := linkOver(bytes.Join(tc.in, nil), true, tc.maxPacket)
		var codes []int32
		done := func(a answer) { codes = append(codes, a.code) }
		if err := errors.Join(l.addWatch("/a", done), l.addWatch("/b", done), l.auth("u:p", done)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(l)
		if err == nil {
			err = io.EOF
		}
		if want := bytes.Join(tc.out, nil); !bytes.Equal(got, want) || !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %v\n got %x\nwant %x", tc.name, err, got, want)
		}
		if len(tc.out) > 0 && (len(*greetings) != 1 || (*greetings)[0] != greeting{5, 4 * time.Second, tc.readOnly}) {
			t.Errorf("%s: greeting %+v", tc.name, *greetings)
		}
		if len(codes) != len(tc.codes) {
			t.Errorf("%s: codes %v, want %v", tc.name, codes, tc.codes)
		}
		for i := range codes {
			if codes[i] != tc.codes[i] {
				t.Errorf("%s: codes %v, want %v", tc.name, codes, tc.codes)
			}
		}
	}
}

// A server that takes the connection and never answers the connect request is given up in time.
func TestLinkHandshakeDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		start := time.Now()
		l := newLink(a, endpoint{}, false, 1<<20, start.Add(3*time.Second))
		l.onClose = func(*link) {}
		defer l.Close()
		l.SetReadDeadline(start.Add(time.Hour)) // as the library does
		if _, err := l.Read(make([]byte, 4)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func FuzzLink(f *testing.F) {
	f.Add(bytes.Join([][]byte{hello(5, 4000, 1), reply(1, 0, 'x'), reply(xidFirstOurs, 0), reply(2, 0, make([]byte, 200)...)}, nil))
	stat := make([]byte, statSize)
	f.Add(bytes.Join([][]byte{hello(5, 4000, 1), reply(xidFirstOurs-1, 0, append(be32(-1), stat...)...), reply(xidFirstOurs-2, 0, append(append(append(be32(1), be32(1)...), 'x'), stat...)...)}, nil))
	f.Add(hello(0, 0))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		l, _, greetings := linkOver(in, true, 128)
		if err := l.addWatch("/a", func(answer) {}); err != nil {
			t.Fatal(err)
		}
		b := batch{l: l}
		b.read(opGetData, "/a", false, func(a answer) { parseData(a.body) })
		b.read(opChildren, "/a", true, func(a answer) {
			if all, _, err := parseNames(a.body); err == nil {
				n := 0
				if all.each(func([]byte) { n++ }); n != all.count {
					t.Fatalf("%d names of %d", n, all.count)
				}
			}
		})
		b.send()
		got, _ := io.ReadAll(l)
		if len(got) > len(in) {
			t.Fatalf("%d bytes came, %d went on", len(in), len(got))
		}
		if len(*greetings) > 1 || len(*greetings) == 0 && len(got) > 0 {
			t.Fatalf("%d greetings, %d bytes", len(*greetings), len(got))
		}
		// What goes on after the greeting is frames, none over the limit and none of ours but for the last, which may be cut short.
		for first := true; len(got) >= 8; first = false {
			n, xid := int(int32(binary.BigEndian.Uint32(got))), int32(binary.BigEndian.Uint32(got[4:]))
			if n < 16 || !first && (n > 128 || xid == xidAuth || xid <= xidFirstOurs) {
				t.Fatalf("a frame of %d bytes, xid %d", n, xid)
			}
			got = got[min(len(got), 4+n):]
		}
	})
}

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]string{
		"Zookeeper version: 3.9.4-7246445ec281f3dbf53dc54e970c914f39713903, built on 2025-08-19 19:53 UTC\nLatency": "3.9.4 true",
		"Zookeeper version: 3.4.14-4c25d480e66aadd371de8bd2fd8da255ac140bcf, built on 03/06/2019 16:18 GMT":         "3.4.14 false",
		"Zookeeper version: 3.6.0--b4c89dc7f6083829e18fae6e446907ae0b1f22d7, built on x":                            "3.6.0 true",
		"Zookeeper version: 3.9.4-zkserve, built on":                                                                "3.9.4 true",
		"This ZooKeeper instance is not currently serving requests\n":                                               " false",
		"srvr is not executed because it is not in the whitelist.\n":                                                " false",
		"Zookeeper version: 99999.1.1, built":                                                                       " false",
		"":                                                                                                          " false",
	} {
		v := parseVersion(in)
		if got := v.String() + map[bool]string{true: " true", false: " false"}[v.hasAddWatch()]; got != want {
			t.Errorf("%.50q: got %q want %q", in, got, want)
		}
	}
}

func FuzzVersion(f *testing.F) {
	f.Add("Zookeeper version: 3.9.4-7246445ec281f3dbf53dc54e970c914f39713903, built on 2025-08-19 19:53 UTC")
	f.Fuzz(func(t *testing.T, s string) {
		if v := parseVersion(s); v[0] < 0 || v[0] > 9999 || v[1] > 9999 || v[2] > 9999 {
			t.Fatal(v)
		}
	})
}

func TestParseZxid(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"Zookeeper version: 3.9.4-x, built on 2025\nLatency min/avg/max: 0/0.0/0\nZxid: 0x10000002f\nMode: leader\n", 0x10000002f, true},
		{"Zxid: 0x0\n", 0, true},
		{"This ZooKeeper instance is not currently serving requests\n", 0, false},
		{"Zxid: 0xffffffffffffffff\n", 0, false},
		{"", 0, false},
	} {
		if got, ok := parseZxid(tc.in); ok != tc.ok || ok && got != tc.want {
			t.Errorf("%q: %x %v", tc.in, got, ok)
		}
	}
}
