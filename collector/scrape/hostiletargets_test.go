package scrape

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// hostile is one bad target, over a real socket.
type hostile struct {
	name   string
	serve  func(c net.Conn) // a connection; nil: none is ever accepted
	way    way
	want   collector.Outcome
	reason string // a part of it
	// of the same by net/http, where it says otherwise
	byHTTP       collector.Outcome
	reasonByHTTP string
	turns        bool // it is good at first
}

// way is how a target is pulled.
type way uint8

const (
	both    way = iota // by the pool's own codec and, as another target, by net/http
	own                // by the pool's own codec only
	tlsOnly            // over TLS: serve is given the connection before the handshake
)

const (
	hostileLimit   = 256 << 10 // body_size_limit of the hostile targets
	hostileSamples = 5_000
	moreKeys       = "more keys than samples"
	head           = "HTTP/1.1 200 OK\r\n"
	chunks         = head + "Transfer-Encoding: chunked\r\n\r\n"
)

// asked reads a request from c, and reports whether there was one.
func asked(c net.Conn) bool {
	buf := make([]byte, 4096)
	for n := 0; n < len(buf); {
		m, err := c.Read(buf[n:])
		if n += m; bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
			return true
		}
		if err != nil {
			return false
		}
	}
	return true
}

// says answers each request of a connection with s.
func says(s string) func(net.Conn) {
	return func(c net.Conn) {
		for asked(c) {
			if _, err := io.WriteString(c, s); err != nil {
				return
			}
		}
	}
}

// once answers one request with s and closes.
func once(s string) func(net.Conn) {
	return func(c net.Conn) {
		if asked(c) {
			_, _ = io.WriteString(c, s)
		}
	}
}

// reset answers one request with s and breaks the connection.
func reset(s string) func(net.Conn) {
	return func(c net.Conn) {
		if s != "at once" && asked(c) && s != "" {
			if _, err := io.WriteString(c, s); err == nil {
				time.Sleep(5 * time.Millisecond) // in the server: so that what was written is read before the reset throws it away
			}
		}
		_ = c.(interface{ SetLinger(int) error }).SetLinger(0)
	}
}

// floods answers with s and then with more, without end.
func floods(s, more string) func(net.Conn) {
	return func(c net.Conn) {
		if !asked(c) {
			return
		}
		more := bytes.Repeat([]byte(more), max(1, 64<<10/len(more)))
		for _, err := io.WriteString(c, s); err == nil; {
			_, err = c.Write(more)
		}
	}
}

// drips answers with s at once and then with more, a byte a time.
func drips(s, more string) func(net.Conn) {
	return func(c net.Conn) {
		if !asked(c) {
			return
		}
		_, err := io.WriteString(c, s)
		for i := 0; err == nil; i++ {
			time.Sleep(100 * time.Millisecond)
			_, err = c.Write([]byte{more[i%len(more)]})
		}
	}
}

func sized(body, header string) string {
	return fmt.Sprintf("%s%sContent-Length: %d\r\n\r\n%s", head, header, len(body), body)
}

// tenMillion is a JSON object of ten million keys, as far as it is read.
func tenMillion(c net.Conn) {
	if !asked(c) {
		return
	}
	_, err := io.WriteString(c, head+"Content-Type: application/json\r\n\r\n{\"first\":1")
	var b []byte
	for i := 0; i < 10_000_000 && err == nil; {
		b = b[:0]
		for range 1000 {
			b = fmt.Appendf(b, ",\"k%d\":%d", i, i)
			i++
		}
		_, err = c.Write(b)
	}
}

// keys is an object of n keys, whole.
func keys(n int) string {
	b := []byte(`{"first":1`)
	for i := range n {
		b = fmt.Appendf(b, ",\"k%d\":%d", i, i)
	}
	return string(append(b, '}'))
}

// gigabytes is a frame of zstd that says it has 2^40 bytes.
const gigabytes = "\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"

// hostiles are the bad targets.
func hostiles() []hostile {
	const (
		ok, timeout, refused, parse = collector.OK, collector.Timeout, collector.Refused, collector.Parse
		body, sample, status, bad   = collector.BodyLimit, collector.SampleLimit, collector.Status, collector.TLS
	)
	zeros := strings.Repeat("0", 64<<20)
	gzipBomb, zstdBomb := zipped(zeros), zstandard(zeros)
	chunk := "10000\r\n" + strings.Repeat("x", 0x10000) + "\r\n"
	deep := strings.Repeat("[", 100_000)
	good := sized(someStats, "")
	var first time.Time
	return []hostile{
		{"accepts nothing", nil, own, timeout, "timed out while", 0, "", false},
		{"accepts and hangs", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, both, timeout, "timed out while waiting for the answer", 0, "", false},
		{"never reads", func(c net.Conn) { time.Sleep(5 * time.Second) }, both, timeout, "timed out while waiting for the answer", 0, "", false},
		{"closes at once, each time", func(net.Conn) {}, both, refused, "while waiting for the answer", 0, "", false},
		{"closes when it was asked", once(""), both, refused, "the connection was closed", 0, "", false},
		{"closes after each answer, and does not say so", once(good), both, ok, "", 0, "", false},

		{"drips in the header", drips(head+"X-Drip: ", "x"), both, timeout, "waiting for the answer", 0, "", false},
		{"drips in the body", drips(head+"Content-Length: 100000\r\n\r\n{", " "), both, timeout, "of the body", 0, "", false},
		{"drips to the end of the connection", drips(head+"\r\n{", " "), both, timeout, "of the body", 0, "", false},
		{"drips chunks", drips(chunks, "1\r\n \r\n"), both, timeout, "of the body", 0, "", false},
		{"drips trailers", drips(chunks+"2\r\n{}\r\n0\r\n", "X: y\r\n"), both, timeout, "of the body", 0, "", false},
		{"drips answers that inform", drips("", "HTTP/1.1 103 Hints\r\n\r\n"), both, timeout, "waiting for the answer", 0, "", false},

		{"announces 10 GB", floods(head+"Content-Length: 10737418240\r\n\r\n", "{"), both, body, "10737418240 bytes", 0, "", false},
		{"10 GB in chunks", floods(chunks, chunk), both, body, "the body is longer than 262144 bytes", 0, "", false},
		{"10 GB to the end of the connection", floods(head+"\r\n", "x"), both, body, "the body is longer than 262144 bytes", 0, "", false},
		{"10 GB of an error page", floods("HTTP/1.1 500 Oops\r\nContent-Length: 10737418240\r\n\r\n", "x"), both, status, "status 500", 0, "", false},
		{"10 GB of an error page in chunks", floods("HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n", chunk), both, status, "status 404", 0, "", false},
		{"ten million keys", tenMillion, both, body, "the body is longer than 262144 bytes", 0, "", false},
		{moreKeys, says(sized(keys(hostileSamples+9), "")), both, sample, `more than 5000 samples; the first too many is "k4999"`, 0, "", false},

		{"gzip bomb", says(sized(gzipBomb, "Content-Encoding: gzip\r\n")), both, body, "longer than 262144 bytes when unzipped", 0, "", false},
		{"gzip bomb of members", says(sized(strings.Repeat(zipped(zeros[:1<<20]), 50), "Content-Encoding: gzip\r\n")), both, body, "longer than 262144 bytes when unzipped", 0, "", false},
		{"gzip of empty members", says(sized(strings.Repeat(zipped(""), 10_000), "Content-Encoding: gzip\r\n")), both, parse, "the body is empty", 0, "", false},
		{"zstd bomb", says(sized(zstdBomb, "Content-Encoding: zstd\r\n")), both, body, "longer than 262144 bytes when unzipped", 0, "", false},
		{"zstd of a wide window", says(sized(wideFrame, "Content-Encoding: zstd\r\n")), both, body, "a window of more than 8388608 bytes", 0, "", false},
		{"zstd that says 2^40 bytes", says(sized(gigabytes, "Content-Encoding: zstd\r\n")), both, body, "longer than 262144 bytes when unzipped", 0, "", false},
		{"zstd of empty frames", says(sized(strings.Repeat(zstandard(""), 15_000), "Content-Encoding: zstd\r\n")), both, parse, "the body is empty", 0, "", false},
		{"zstd of skippable frames", says(sized(strings.Repeat("\x50\x2a\x4d\x18\x00\x00\x00\x00", 25_000), "Content-Encoding: zstd\r\n")), both, parse, "", 0, "", false},
		{"nested encodings", says(sized(zipped(zipped(someStats)), "Content-Encoding: gzip, gzip\r\n")), both, parse, `encoded as "gzip, gzip"`, 0, "", false},
		{"two encodings", says(sized(zipped(zipped(someStats)), "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n")), both, parse, "", 0, "", false},
		{"an unknown encoding", says(sized("xx", "Content-Encoding: br\r\n")), both, parse, `encoded as "br", which was not asked for`, 0, "", false},
		{"gzip that is none", says(sized(someStats, "Content-Encoding: gzip\r\n")), both, parse, "unzip the body", 0, "", false},

		{"100,000 arrays deep", says(sized(`{"a":`+deep, "")), both, sample, `objects and arrays more than 64 deep in "a"`, 0, "", false},
		{"50,000 objects deep", says(sized(strings.Repeat(`{"a":`, 50_000), "")), both, sample, "objects and arrays more than 64 deep", 0, "", false},
		{"nothing but arrays", says(sized(deep, "")), both, parse, "", 0, "", false},
		{"invalid UTF-8", says(sized("{\"counters\":{\"a\xff\xfe\x80\":1,\"\xc0\xaf\":2,\"\xed\xa0\x80\":3}}", "")), both, ok, "", 0, "", false},
		{"one name of 128 KB", says(sized(`{"`+strings.Repeat("n", 1<<17)+`":1}`, "")), both, sample, `name longer than 1024 bytes: "nnnn`, 0, "", false},
		{"digits without end", says(sized(`{"a":`+strings.Repeat("1", 1<<17)+`}`, "")), both, ok, "", 0, "", false},

		{"redirects to a metadata address", says("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data\r\nContent-Length: 0\r\n\r\n"), both, status, `it points to "http://169.254.169.254/latest/meta-data", and redirects are not followed`,
			collector.Forbidden, "169.254.169.254 is not on the allow-list", false},
		{"redirects in circles", says("HTTP/1.1 302 Found\r\nLocation: /stats.json\r\nContent-Length: 0\r\n\r\n"), both, status, "status 302", refused, "stopped after 10 redirects", false},
		{"redirects with an endless page", floods("HTTP/1.1 302 Found\r\nLocation: /stats.json\r\n\r\n", "x"), both, status, "status 302", refused, "stopped after 10 redirects", false},

		{"HTTP/0.9", once(someStats), both, parse, "not HTTP/1", 0, "", false},
		{"HTTP/0.9 without end", floods("hello", "x"), both, parse, "not HTTP/1", body, "the header of the answer is longer than 16384 bytes", false},
		{"HTTP/2 unasked", once("HTTP/2.0 200 OK\r\n\r\n{}"), both, parse, "not HTTP/1", 0, "", false},
		{"SSH", func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n"); asked(c) }, both, parse, `not HTTP/1: it starts with "SSH-2.0`, parse, "the answer is not HTTP/1: ", false},
		{"status 000", once("HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\n{}"), both, parse, "not HTTP/1", 0, "", false},
		{"status 999", says("HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n"), both, status, "status 999", 0, "", false},
		{"status 204", says("HTTP/1.1 204 No Content\r\n\r\n"), both, status, "status 204", 0, "", false},
		{"status 101", says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), both, status, "status 101", 0, "", false},

		{"an endless header line", floods(head+"X: ", "y"), both, body, "the header of the answer is longer than 16384 bytes", 0, "", false},
		{"headers without end", floods(head, "X-Header: y\r\n"), both, body, "the header of the answer is longer than 16384 bytes", 0, "", false},
		{"an endless status line", floods("HTTP/1.1 200 ", "O"), both, body, "the header of the answer is longer than 16384 bytes", 0, "", false},
		{"informs without end", floods("", "HTTP/1.1 100 Continue\r\n\r\n"), both, status, "status 100", body, "the header of the answer is longer than 16384 bytes", false},
		{"informs at length", floods("", "HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("y", 1000)+"\r\n\r\n"), both, status, "status 103", body, "the header of the answer is longer than 16384 bytes", false},
		{"trailers without end", floods(chunks+"2\r\n{}\r\n0\r\n", "X-Trailer: y\r\n"), both, body, "the trailer of the answer is longer than 16384 bytes", parse, "the chunks of the body are not as HTTP has them", false},
		{"chunk extensions without end", floods(chunks+"2;", "x"), both, parse, "a line between the chunks of the body is longer than 16384 bytes", parse, "the chunks of the body are not as HTTP has them", false},
		{"extensions on tiny chunks", floods(chunks, "1;"+strings.Repeat("e", 4000)+"\r\n \r\n"), both, parse, "between the chunks of the body", parse, "the chunks of the body are not as HTTP has them", false},
		{"a chunk size that overflows", once(chunks + "ffffffffffffffff1\r\n{}\r\n0\r\n\r\n"), both, parse, "instead of its size", parse, "the chunks of the body are not as HTTP has them", false},
		{"a chunk size below 0", once(chunks + "-2\r\n{}\r\n0\r\n\r\n"), both, parse, "instead of its size", parse, "the chunks of the body are not as HTTP has them", false},
		{"a chunk of 4 GB", floods(chunks+"ffffffff\r\n", "x"), both, body, "the body is longer than 262144 bytes", 0, "", false},
		{"a chunk longer than its size", once(chunks + "2\r\n{\"a\":1}\r\n0\r\n\r\n"), both, parse, "longer than its size", parse, "the chunks of the body are not as HTTP has them", false},
		{"no last chunk", once(chunks + "2\r\n{}\r\n"), both, refused, "closed after 2 bytes of the body, before its last chunk", refused, "broke after 2 bytes of the body", false},
		{"a body shorter than its length", once(head + "Content-Length: 100\r\n\r\n{\"a\":1}"), both, refused, "closed after 7 of 100 bytes of the body", refused, "broke after 7 bytes of the body", false},
		{"a body longer than its length", says(head + "Content-Length: 7\r\n\r\n{\"a\":1}garbage\r\n"), both, ok, "", 0, "", false},
		{"two lengths", once(head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), both, parse, "", 0, "", false},
		{"a length below 0", once(head + "Content-Length: -5\r\n\r\n{}"), both, parse, "", 0, "", false},
		{"a length that overflows", once(head + "Content-Length: 99999999999999999999999\r\n\r\n{}"), both, parse, "", 0, "", false},
		{"a length of the largest number", once(head + "Content-Length: 9223372036854775807\r\n\r\n{}"), both, body, "9223372036854775807 bytes", 0, "", false},
		{"a length that is no number", once(head + "Content-Length: many\r\n\r\n{}"), both, parse, "", 0, "", false},
		{"both a length and chunks", once(head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n"), both, ok, "", 0, "", false},

		{"resets at once", reset("at once"), both, refused, "", 0, "", false},
		{"resets when it was asked", reset(""), both, refused, "", 0, "", false},
		{"resets in the header", reset(head + "Content-"), both, refused, "", parse, "malformed MIME header", false},
		{"resets in the body", reset(head + "Content-Length: 50\r\n\r\n{\"a\":"), both, refused, "of the body", 0, "", false},
		{"resets in a chunk", reset(chunks + "50\r\n{\"a\":"), both, refused, "of the body", 0, "", false},
		{"resets in a body to the end", reset(head + "\r\n{\"a\":"), both, refused, "of the body", 0, "", false},

		{"answers before it is asked", func(c net.Conn) { _, _ = io.WriteString(c, good); says(good)(c) }, own, ok, "", 0, "", false}, // net/http takes it or breaks, as the moment will have it
		{"answers twice", says(good + good), both, ok, "", 0, "", false},
		{"says goodbye on an idle connection", func(c net.Conn) {
			for asked(c) {
				_, _ = io.WriteString(c, good)
				time.Sleep(20 * time.Millisecond)
				_, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			}
		}, both, ok, "", 0, "", false},
		{"garbage on an idle connection", func(c net.Conn) {
			for asked(c) {
				_, _ = io.WriteString(c, good)
				time.Sleep(20 * time.Millisecond)
				_, _ = io.WriteString(c, "garbage\r\n\r\n")
			}
		}, both, ok, "", 0, "", false},

		{"TLS: hangs in the handshake", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, tlsOnly, timeout, "timed out while connecting", 0, "", false},
		{"TLS: drips a handshake", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, err := c.Write([]byte{22, 3, 3, 0x20, 0, 2, 0, 0x1f, 0xfc, 3, 3})
			for err == nil {
				time.Sleep(100 * time.Millisecond)
				_, err = c.Write([]byte{1})
			}
		}, tlsOnly, timeout, "timed out while connecting", 0, "", false},
		{"TLS: a handshake without end", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			record := append([]byte{22, 3, 3, 0x3f, 0xf0, 2, 0xff, 0xff, 0xff}, make([]byte, 0x3ff0-4)...)
			for {
				if _, err := c.Write(record); err != nil {
					return
				}
			}
		}, tlsOnly, bad, "handshake", 0, "", false},
		{"TLS: closes in the handshake", func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, tlsOnly, bad, "the connection was closed", 0, "", false},
		{"TLS: speaks HTTP", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		}, tlsOnly, bad, "", 0, "", false},
		{"TLS: an alert", func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)); _, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }, tlsOnly, bad, "handshake", 0, "", false},
		{"TLS: expired", withCert(func() *tls.Certificate { return certs.expired }, good), tlsOnly, bad, "expired", 0, "", false},
		{"TLS: of another name", withCert(func() *tls.Certificate { return certs.other }, good), tlsOnly, bad, "127.0.0.1", 0, "", false},
		{"TLS: self-signed", withCert(func() *tls.Certificate { return certs.self }, good), tlsOnly, bad, "unknown authority", 0, "", false},
		{"TLS: a new certificate each time", withCert(func() *tls.Certificate { return certs.fresh() }, good), tlsOnly, ok, "", 0, "", false},
		{"TLS: a certificate that turns bad", withCert(func() *tls.Certificate {
			if first.IsZero() {
				first = time.Now()
				return certs.good
			}
			return certs.self
		}, good), tlsOnly, bad, "unknown authority", 0, "", true},
		{"TLS: 10 GB", overTLS(func() *tls.Certificate { return certs.good }, floods(head+"\r\n", "x")), tlsOnly, body, "the body is longer than 262144 bytes", 0, "", false},
		{"TLS: drips", overTLS(func() *tls.Certificate { return certs.good }, drips(head+"\r\n", " ")), tlsOnly, timeout, "of the body", 0, "", false},
	}
}
