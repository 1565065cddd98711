package serverset

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// NewKingPinName makes a member name for an endpoint: 32 random hex digits, a dash, host:port. KingPin makes a new one at every
// connect, so one endpoint may stand twice in a set.
func NewKingPinName(host string, port uint16) string {
	var id [16]byte
	rand.Read(id[:]) // never fails: the program ends instead
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return hex.EncodeToString(id[:]) + "-" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// ParseKingPinName takes a member name apart: the endpoint is the text after the first dash, as KingPin's own readers have it. The host may be an
// IPv4 address, an IPv6 address in brackets, or a DNS name.
func ParseKingPinName(name string) (id, host string, port uint16, err error) {
	id, addr, ok := strings.Cut(name, "-")
	if !ok {
		return "", "", 0, fmt.Errorf("parse kingpin member %.100q: no dash in it, so no endpoint", name)
	}
	host, port, err = discovery.SplitAddr(addr)
	if err == nil {
		err = checkHost(host)
	}
	if err != nil {
		return "", "", 0, fmt.Errorf("parse kingpin member %.100q: %w", name, err)
	}
	return id, host, port, nil
}

// isKingPinName reports a name that KingPin, or we, made: no other system begins with 32 hex digits and a dash. What follows may still be no endpoint; then
// the member is theirs, and broken.
func isKingPinName(name string) bool {
	id, _, ok := strings.Cut(name, "-")
	if !ok || len(id) != 32 {
		return false
	}
	_, err := hex.DecodeString(id)
	return err == nil
}

// checkHost refuses what can be neither an address nor a DNS name: such a host would end up in URLs, file names and Kafka's records.
func checkHost(host string) error {
	if len(host) > 253 {
		return fmt.Errorf("host %.60q… is longer than a DNS name can be", host)
	}
	if i := strings.IndexFunc(host, func(r rune) bool {
		return !(r == '.' || r == '-' || r == '_' || r == ':' || r == '%' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}); i >= 0 || host == "" {
		return fmt.Errorf("host %.60q is neither an address nor a DNS name", host)
	}
	if strings.ContainsAny(host, ":%") && net.ParseIP(strings.SplitN(host, "%", 2)[0]) == nil {
		return fmt.Errorf("host %.60q is not an IPv6 address", host)
	}
	return nil
}
