package testenv

import (
	"context"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestJava(t *testing.T) {
	port := strconv.Itoa(Port(t))
	addr := net.JoinHostPort("127.0.0.1", port)
	j, ok := Java(t, ZooKeeperJars, "org.apache.zookeeper.server.ZooKeeperServerMain", []string{port, t.TempDir()}, func(ctx context.Context) error {
		_, err := fourLetter(ctx, addr, "srvr")
		return err
	})
	if !ok {
		return
	}
	j.Kill()
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("killed, and it listens")
	}
}

func TestProgram(t *testing.T) {
	path, ok := Tool(t, "prometheus-node-exporter")
	if !ok {
		return
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(Port(t)))
	Program(t, []string{path, "--web.listen-address=" + addr}, Answers("http://"+addr+"/metrics"))
}

// A record written by kcat comes back from Kafka's console consumer in the form that Consume promises.
func TestConsume(t *testing.T) {
	k, ok := Kafka(t, BrokerSetting("message.max.bytes", "1000000"))
	if !ok {
		return
	}
	kcat, ok := Tool(t, "kcat")
	if !ok {
		return
	}
	k.CreateTopic("t", 1, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, kcat, "-b", k.Brokers[0], "-P", "-t", "t", "-K", "=", "-H", "content-type=application/json")
	cmd.Stdin = strings.NewReader("a/prod={\"v\":1}\nb/prod={\"v\":2}\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(k.Consume("t", 2, 20*time.Second)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	stamp, rest, _ := strings.Cut(lines[1], "\t")
	if want := "Partition:0\tOffset:1\tcontent-type:application/json\tb/prod\t{\"v\":2}"; !strings.HasPrefix(stamp, "CreateTime:") || rest != want {
		t.Errorf("got  %q\nwant %q", rest, want)
	}
	if got := k.Consume("t", 0, time.Second, "print.value=true"); got != "{\"v\":1}\n{\"v\":2}\n" {
		t.Errorf("values: %q", got)
	}
}
