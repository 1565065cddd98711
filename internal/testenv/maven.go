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
	"syscall"
	"testing"
	"time"
)

// mavenPlugin resolves a class path; pinned, so that a fetch today is a fetch tomorrow.
const mavenPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath"

// Artifacts names a class path: Maven coordinates (group:artifact:version), fetched with all they depend on.
type Artifacts struct {
	Name        string   // short, for messages and the cache: "zookeeper-3.9.4"
	Coordinates []string // group:artifact:version, perhaps :classifier
}

// The versions that the tests run against.
var (
	// ZooKeeperJars has, beside the server, what its pom leaves to the distribution: metrics, also for Prometheus, snappy, and Jetty with Jackson for the
	// admin server.
	ZooKeeperJars = Artifacts{"zookeeper-3.9.4", []string{
		"org.apache.zookeeper:zookeeper:3.9.4", "org.apache.zookeeper:zookeeper-prometheus-metrics:3.9.4", "io.dropwizard.metrics:metrics-core:4.1.12.1", "org.xerial.snappy:snappy-java:1.1.10.5",
		"org.eclipse.jetty:jetty-server:9.4.57.v20241219", "org.eclipse.jetty:jetty-servlet:9.4.57.v20241219",
		"com.fasterxml.jackson.core:jackson-databind:2.15.2", "commons-cli:commons-cli:1.5.0", "org.slf4j:slf4j-simple:2.0.13",
	}}
	// KafkaJars has the broker and its console tools.
	KafkaJars = Artifacts{"kafka-4.1.1", []string{
		"org.apache.kafka:kafka_2.13:4.1.1", "org.apache.kafka:kafka-tools:4.1.1", "org.slf4j:slf4j-simple:1.7.36",
	}}
	// JolokiaJar and ExporterJar are agents that show what a JVM has in JMX: each is one jar with all it needs.
	JolokiaJar  = Artifacts{"jolokia-2.2.9", []string{"org.jolokia:jolokia-agent-jvm:2.2.9:javaagent"}}
	ExporterJar = Artifacts{"jmx-exporter-1.0.1", []string{"io.prometheus.jmx:jmx_prometheus_javaagent:1.0.1"}}
	// ConnectJars has Kafka Connect's standalone worker with the connector that writes files.
	ConnectJars = Artifacts{"kafka-connect-4.1.1", []string{
		"org.apache.kafka:connect-runtime:4.1.1", "org.apache.kafka:connect-file:4.1.1", "org.apache.kafka:connect-json:4.1.1", "org.slf4j:slf4j-simple:1.7.36",
	}}
	// TwitterServerJars has twitter-server with Finagle's own statistics.
	TwitterServerJars = Artifacts{"twitter-server-22.7.0", []string{"com.twitter:twitter-server_2.13:22.7.0", "com.twitter:finagle-stats_2.13:22.7.0", "org.slf4j:slf4j-simple:1.7.36"}}
)

// all is what FetchAll fetches of Maven.
func all() []Artifacts {
	return []Artifacts{ZooKeeperJars, KafkaJars, JolokiaJar, ExporterJar, TwitterServerJars, ConnectJars}
}

// Classpath is the class path of the artifacts, fetched with Maven where needed. ok is false where they cannot be had (a failure
// with CI=true).
func Classpath(t testing.TB, a Artifacts) (path string, ok bool) {
	t.Helper()
	path, err := once(a.Name, func() (string, error) { return Fetch(context.Background(), a, io.Discard) })
	if err != nil {
		missing(t, a.Name, err)
		return "", false
	}
	return path, true
}

// Fetch finds the artifacts' class path, or resolves it with Maven into its own repository (~/.m2) and remembers it in the
// user's cache folder; progress gets what Maven prints. Of several processes one fetches and the others wait for it.
func Fetch(ctx context.Context, a Artifacts, progress io.Writer) (string, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("find a Java runtime: %w", err)
	}
	file, err := classpathFile(a)
	if err != nil {
		return "", err
	}
	if cp, err := readClasspath(file); err == nil {
		return cp, nil
	}
	unlock, err := lockFile(file + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if cp, err := readClasspath(file); err == nil { // another process was first
		return cp, nil
	}
	if err := resolve(ctx, a, file, progress); err != nil {
		return "", fmt.Errorf("fetch %s: %w", a.Name, err)
	}
	return readClasspath(file)
}

// classpathFile is where the class path is remembered; the name changes with the coordinates.
func classpathFile(a Artifacts) (string, error) {
	dir, err := cacheDir("classpath")
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(mavenPlugin + " " + strings.Join(a.Coordinates, " ")))
	return filepath.Join(dir, a.Name+"-"+hex.EncodeToString(sum[:6])), nil
}

// fetched says whether the artifacts can be used without a fetch.
func fetched(a Artifacts) bool {
	file, err := classpathFile(a)
	if err != nil {
		return false
	}
	_, err = readClasspath(file)
	_, java := exec.LookPath("java")
	return err == nil && java == nil
}

// readClasspath reads a remembered class path and checks that every jar of it is still there.
func readClasspath(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	cp := strings.TrimSpace(string(b))
	if cp == "" {
		return "", errors.New("empty class path")
	}
	for jar := range strings.SplitSeq(cp, string(os.PathListSeparator)) {
		if _, err := os.Stat(jar); err != nil {
			return "", err
		}
	}
	return cp, nil
}

func resolve(ctx context.Context, a Artifacts, file string, progress io.Writer) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("find Maven: %w", err)
	}
	dir, err := os.MkdirTemp("", "rollcall-maven-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	pom, err := pomOf(a)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(pom), 0o644); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	out := filepath.Join(dir, "classpath")
	cmd := exec.CommandContext(ctx, mvn, "-B", "-ntp", mavenPlugin, "-Dmdep.outputFile="+out, "-Dmdep.includeScope=runtime")
	cmd.Dir = dir
	var all strings.Builder
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&all, progress), io.MultiWriter(&all, progress)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run Maven: %w: %s", err, firstError(all.String()))
	}
	b, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// firstError is the first line in which Maven names a fault.
func firstError(out string) string {
	for line := range strings.SplitSeq(out, "\n") {
		if strings.HasPrefix(line, "[ERROR]") {
			return strings.TrimSpace(strings.TrimPrefix(line, "[ERROR]"))
		}
	}
	return "no [ERROR] line"
}

func pomOf(a Artifacts) (string, error) {
	var b strings.Builder
	b.WriteString(`<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>rollcall</groupId><artifactId>testenv</artifactId><version>1</version><dependencies>`)
	for _, c := range a.Coordinates {
		p := strings.Split(c, ":")
		if len(p) < 3 || len(p) > 4 || strings.ContainsAny(c, "<>&") {
			return "", fmt.Errorf("read coordinates %q: want group:artifact:version[:classifier]", c)
		}
		fmt.Fprintf(&b, "<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version>", p[0], p[1], p[2])
		if len(p) == 4 {
			fmt.Fprintf(&b, "<classifier>%s</classifier>", p[3])
		}
		b.WriteString("</dependency>")
	}
	b.WriteString("</dependencies></project>\n")
	return b.String(), nil
}

// lockFile waits for the lock that the file stands for; it goes with the process at the latest.
func lockFile(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock %q: %w", name, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	return func() { f.Close() }, nil
}
