package feed

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

// SASL is how to log in at the brokers; the zero value does not.
type SASL struct {
	Mechanism    string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Username     string
	Password     string
	PasswordFile string // instead of Password: read again at each login
}

// mechanism is nil where no login is wanted.
func (s SASL) mechanism() (sasl.Mechanism, error) {
	if s == (SASL{}) {
		return nil, nil
	}
	var errs []error
	if s.Mechanism != "PLAIN" && s.Mechanism != "SCRAM-SHA-256" && s.Mechanism != "SCRAM-SHA-512" {
		errs = append(errs, fmt.Errorf("sasl mechanism %q is not PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism))
	}
	if s.Username == "" {
		errs = append(errs, errors.New("sasl without a username"))
	}
	if (s.Password == "") == (s.PasswordFile == "") {
		errs = append(errs, errors.New("sasl needs one of password and password_file"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return login{s}, nil
}

// Login is how other readers of the same brokers log in; nil where none is wanted.
func (s SASL) Login() (sasl.Mechanism, error) { return s.mechanism() }

// login is a mechanism that learns its password when it is needed, so that a new one on disk is used at the next connection.
type login struct{ s SASL }

// Name implements sasl.Mechanism.
func (l login) Name() string { return l.s.Mechanism }

// Start implements sasl.Mechanism.
func (l login) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	secret := l.s.Password
	if l.s.PasswordFile != "" {
		b, err := os.ReadFile(l.s.PasswordFile)
		if err != nil {
			return nil, nil, fmt.Errorf("read sasl password: %w", err)
		}
		secret = strings.TrimRight(string(b), "\r\n")
	}
	algorithm := scram.SHA512
	switch l.s.Mechanism {
	case "PLAIN":
		return plain.Mechanism{Username: l.s.Username, Password: secret}.Start(ctx)
	case "SCRAM-SHA-256":
		algorithm = scram.SHA256
	}
	m, err := scram.Mechanism(algorithm, l.s.Username, secret)
	if err != nil {
		return nil, nil, fmt.Errorf("prepare %s login: %w", l.s.Mechanism, err)
	}
	return m.Start(ctx)
}
