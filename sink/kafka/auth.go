package kafka

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

// mechanism is nil where no login is wanted.
func (s SASL) mechanism() (sasl.Mechanism, error) {
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

// Login is how to log in, for those who read the topics; nil where no login is wanted.
func (s SASL) Login() (sasl.Mechanism, error) { return s.mechanism() }

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
