// Package login is how one logs in at Kafka's brokers, for whoever writes or reads there.
//
// It owns what of a login can be wrong before anybody is asked, and when a password is read. It must not know where brokers are, nor what is said to them.
package login

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// SASL says how to log in; the zero value does not.
type SASL struct {
	Mechanism    string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Username     string
	Password     string
	PasswordFile string // instead of Password; read at each login, so that a change needs no restart
}

// Login is what kafka-go logs in with; nil where no login is wanted. The error names everything that is wrong.
func (s SASL) Login() (sasl.Mechanism, error) {
	if s.Mechanism == "" {
		if s != (SASL{}) {
			return nil, errors.New("sasl: a user or password without a mechanism: give PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
		}
		return nil, nil
	}
	var faults []error
	switch s.Mechanism {
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
	default:
		faults = append(faults, fmt.Errorf("sasl: mechanism %q: want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism))
	}
	if s.Username == "" {
		faults = append(faults, errors.New("sasl: no username"))
	}
	if (s.Password == "") == (s.PasswordFile == "") {
		faults = append(faults, errors.New("sasl: give one of password and password_file"))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return login{s}, nil
}

// login takes the password from its file at every login.
type login struct{ cfg SASL }

// Name implements sasl.Mechanism.
func (l login) Name() string { return l.cfg.Mechanism }

// Start implements sasl.Mechanism.
func (l login) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	password := l.cfg.Password
	if l.cfg.PasswordFile != "" {
		b, err := os.ReadFile(l.cfg.PasswordFile)
		if err != nil {
			return nil, nil, fmt.Errorf("read password: %w", err)
		}
		password = strings.TrimRight(string(b), "\r\n")
	}
	if l.cfg.Mechanism == "PLAIN" {
		return plain.Mechanism{Username: l.cfg.Username, Password: password}.Start(ctx)
	}
	algorithm := scram.SHA512
	if l.cfg.Mechanism == "SCRAM-SHA-256" {
		algorithm = scram.SHA256
	}
	m, err := scram.Mechanism(algorithm, l.cfg.Username, password)
	if err != nil {
		return nil, nil, fmt.Errorf("prepare login: %w", err)
	}
	return m.Start(ctx)
}
