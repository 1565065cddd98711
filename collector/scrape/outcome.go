package scrape

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/collector/stats"
)

// failure is a pull that ended badly, for a reason that was understood where it happened.
type failure struct {
	outcome collector.Outcome
	reason  string
}

func (f *failure) Error() string { return f.reason }

func fail(o collector.Outcome, format string, args ...any) error {
	return &failure{o, fmt.Sprintf(format, args...)}
}

// handshakeError marks what went wrong between the connection and the first byte of HTTP.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// stage is how far a pull came.
type stage uint8

const (
	connecting stage = iota
	asking
	inHeader
	inBody
)

var stageNames = [...]string{"connecting", "sending the request", "waiting for the answer", "reading the body"}

// maxReason bounds what a snapshot, and so the topic, carries of an error.
const maxReason = 200

// classify is the one place where an error becomes an outcome and a reason.
func classify(err error, at stage) (collector.Outcome, string) {
	o, reason := outcomeOf(err, at)
	reason = strings.ToValidUTF8(reason, "?")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return o, reason
}

func outcomeOf(err error, at stage) (collector.Outcome, string) {
	if known, ok := err.(*failure); ok { // most are; each of the pointers below is an allocation
		return known.outcome, known.reason
	}
	return otherOutcome(err, at)
}

func otherOutcome(err error, at stage) (collector.Outcome, string) {
	var (
		known  *failure
		parse  *stats.ParseError
		limit  *stats.LimitError
		dns    *net.DNSError
		hand   *handshakeError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
		x509un x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &known):
		return known.outcome, known.reason
	case errors.Is(err, errForbidden):
		return collector.Forbidden, innermost(err, errForbidden)
	case errors.As(err, &parse):
		return collector.Parse, parse.Error()
	case errors.As(err, &limit):
		return collector.SampleLimit, limit.Error()
	case errors.As(err, &dns):
		return collector.DNS, "look up " + dns.Name + ": " + dns.Err
	case isTimeout(err):
		return collector.Timeout, "timed out while " + stageNames[at]
	case errors.As(err, &cert), errors.As(err, &record), errors.As(err, &alert), errors.As(err, &x509un):
		return collector.TLS, err.Error()
	case errors.As(err, &hand):
		return collector.TLS, "handshake: " + short(hand.err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EADDRNOTAVAIL):
		// Not the target's fault, and it must not look so.
		return collector.Skipped, "this collector cannot open another connection: " + short(err)
	}
	return collector.Refused, "while " + stageNames[at] + ": " + short(err)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}

// short is an error without the addresses that net puts around it: the snapshot says whose it is.
func short(err error) string {
	var se *os.SyscallError
	var op *net.OpError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "the connection was closed"
	case errors.As(err, &se):
		return se.Err.Error()
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

// innermost is the message of the last error in the chain that still wraps target itself.
func innermost(err, target error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil || next == target {
			return err.Error()
		}
		err = next
	}
}

// isSkipped reports a failure that is the collector's own.
func isSkipped(err error) bool {
	var known *failure
	return errors.As(err, &known) && known.outcome == collector.Skipped
}

// isHeaderTooLong reports an answer whose header does not fit the buffer.
func isHeaderTooLong(err error) bool { return errors.Is(err, bufio.ErrBufferFull) }
