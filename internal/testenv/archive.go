package testenv

import (
	"context"
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

// mavenCopy fetches one file.
const mavenCopy = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"

// Apicurio is a schema registry that speaks Confluent's HTTP API at /apis/ccompat/v7: the last version that runs on Java 17, in memory.
const Apicurio = "io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all"

// Archive is the folder in which an archive from Maven (group:artifact:version:tar.gz:classifier) was unpacked, once for a user. ok is false where it cannot be had
// (a failure with CI=true).
func Archive(t testing.TB, coordinates string) (dir string, ok bool) {
	t.Helper()
	dir, err := once(coordinates, func() (string, error) { return fetchArchive(context.Background(), coordinates, io.Discard) })
	if err != nil {
		missing(t, coordinates, err)
		return "", false
	}
	return dir, true
}

// haveArchive says whether the archive is there, whole.
func haveArchive(coordinates string) (dir string, ok bool) {
	base, err := cacheDir("archive")
	if err != nil {
		return "", false
	}
	dir = filepath.Join(base, strings.NewReplacer(":", "_", "/", "_").Replace(coordinates))
	_, err = os.Stat(filepath.Join(dir, "complete"))
	return dir, err == nil
}

func fetchArchive(ctx context.Context, coordinates string, progress io.Writer) (string, error) {
	dir, ok := haveArchive(coordinates)
	if ok {
		return dir, nil
	}
	unlock, err := lockFile(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, ok := haveArchive(coordinates); ok { // another process was first
		return dir, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	parts := strings.Split(coordinates, ":")
	if len(parts) != 5 {
		return "", fmt.Errorf("read coordinates %q: want group:artifact:version:type:classifier", coordinates)
	}
	file := fmt.Sprintf("%s-%s-%s.%s", parts[1], parts[2], parts[4], parts[3])
	for _, args := range [][]string{
		{"mvn", "-B", "-ntp", mavenCopy, "-Dartifact=" + coordinates, "-DoutputDirectory=" + dir},
		{"tar", "-C", dir, "-xzf", filepath.Join(dir, file)},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = dir
		var all strings.Builder
		cmd.Stdout, cmd.Stderr = io.MultiWriter(&all, progress), io.MultiWriter(&all, progress)
		if err := cmd.Run(); err != nil {
			return "", errors.Join(fmt.Errorf("fetch %s: %w: %s", coordinates, err, firstError(all.String())), os.RemoveAll(dir))
		}
	}
	if err := os.Remove(filepath.Join(dir, file)); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644)
}
