package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
)

// Stand runs f for a program that is no test, with what this package takes for one: Fatalf ends f, and whatever was started ends with it, however it
// ends. The error is that of f, or what Fatalf or a panic said. Folders are made below dir; what is logged goes to log, which may be nil.
func Stand(ctx context.Context, dir string, log func(string), f func(t testing.TB) error) error {
	s := &stand{ctx: ctx, dir: dir, log: log}
	done := make(chan error, 1)
	go func() {
		err := errEnded
		defer func() { done <- err }()
		defer func() {
			if p := recover(); p != nil {
				s.fail("panic: %v\n%s", p, debug.Stack())
			}
			s.close()
		}()
		err = f(s)
	}()
	err := <-done
	if errors.Is(err, errEnded) {
		err = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(append(s.said, err)...)
}

// errEnded stands for the error of a function that Fatalf ended.
var errEnded = errors.New("ended")

// stand is a testing.TB for a program. What it does not have of one panics.
type stand struct {
	testing.TB
	ctx context.Context
	dir string
	log func(string)

	mu     sync.Mutex
	closes []func()
	said   []error
}

func (s *stand) Helper()                  {}
func (s *stand) Name() string             { return "stand" }
func (s *stand) Context() context.Context { return s.ctx }

func (s *stand) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.said) > 0
}

func (s *stand) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closes = append(s.closes, f)
}

func (s *stand) TempDir() string {
	dir, err := os.MkdirTemp(s.dir, "stand-")
	if err != nil {
		s.Fatalf("make folder: %v", err)
	}
	s.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (s *stand) Logf(format string, args ...any) {
	if s.log != nil {
		s.log(fmt.Sprintf(format, args...))
	}
}

func (s *stand) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, fmt.Errorf(format, args...))
}

func (s *stand) Errorf(format string, args ...any) { s.fail(format, args...) }

func (s *stand) Fatalf(format string, args ...any) {
	s.fail(format, args...)
	// The deferred functions of f's goroutine run and nothing else, as in a test.
	runtime.Goexit()
}

func (s *stand) close() {
	s.mu.Lock()
	closes := s.closes
	s.closes = nil
	s.mu.Unlock()
	for _, f := range slices.Backward(closes) {
		f()
	}
}
