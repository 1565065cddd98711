package testenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Kazoo is the ZooKeeper client of the Python world, KingPin's.
var Kazoo = []string{"kazoo==2.10.0"}

// Fastavro reads Avro, by others' hand.
var Fastavro = []string{"fastavro==1.9.7"}

// Confluent is Confluent's client, on librdkafka, with its Avro deserializer.
var Confluent = []string{"confluent-kafka[avro,schemaregistry]==2.11.1"}

// Python is the interpreter of a virtual environment with the packages (name==version, from PyPI), made once for a user. ok is false
// where it cannot be had (a failure with CI=true).
func Python(t testing.TB, packages ...string) (path string, ok bool) {
	t.Helper()
	what := "Python with " + strings.Join(packages, ", ")
	path, err := once(what, func() (string, error) { return fetchPython(context.Background(), packages, io.Discard) })
	if err != nil {
		missing(t, what, err)
		return "", false
	}
	return path, true
}

func venvDir(packages []string) (string, error) {
	dir, err := cacheDir("venv")
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(strings.Join(packages, " ")))
	return filepath.Join(dir, hex.EncodeToString(sum[:6])), nil
}

// havePython says whether the environment is there, complete.
func havePython(packages []string) (python string, ok bool) {
	dir, err := venvDir(packages)
	if err != nil {
		return "", false
	}
	_, err = os.Stat(filepath.Join(dir, "complete"))
	return filepath.Join(dir, "bin", "python"), err == nil
}

func fetchPython(ctx context.Context, packages []string, progress io.Writer) (string, error) {
	dir, err := venvDir(packages)
	if err != nil {
		return "", err
	}
	unlock, err := lockFile(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	python, ok := havePython(packages)
	if ok {
		return python, nil
	}
	system, err := exec.LookPath("python3")
	if err != nil {
		return "", fmt.Errorf("find Python: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{system, "-m", "venv", "--clear", dir},
		append([]string{python, "-m", "pip", "install", "--quiet"}, packages...),
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		var all strings.Builder
		cmd.Stdout, cmd.Stderr = io.MultiWriter(&all, progress), io.MultiWriter(&all, progress)
		if err := cmd.Run(); err != nil {
			lines := strings.Split(strings.TrimSpace(all.String()), "\n")
			return "", errors.Join(fmt.Errorf("make Python environment: %w: %s", err, lines[len(lines)-1]), os.RemoveAll(dir))
		}
	}
	return python, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644)
}
