package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// tools maps the Debian packages that tests use to the names their program goes by.
var tools = map[string][]string{
	"chromium":                 {"chromium", "chromium-browser", "google-chrome"},
	"kcat":                     {"kcat", "kafkacat"},
	"prometheus":               {"prometheus"},
	"prometheus-alertmanager":  {"prometheus-alertmanager", "alertmanager"},
	"prometheus-node-exporter": {"prometheus-node-exporter", "node_exporter"},
	"tmux":                     {"tmux"},
	"zsh":                      {"zsh"},
	"fish":                     {"fish"},
}

// Tool is the path of a program: chromium, kcat, prometheus, prometheus-alertmanager, prometheus-node-exporter, tmux, zsh, fish, or any other by its own name. ok is false where it is
// not installed (a failure with CI=true): the test goes on without it.
func Tool(t testing.TB, name string) (path string, ok bool) {
	t.Helper()
	path, err := findTool(name)
	if err != nil {
		missing(t, name, err)
		return "", false
	}
	return path, true
}

func findTool(name string) (string, error) {
	names := tools[name]
	if names == nil {
		names = []string{name}
	}
	var errs []error
	for _, n := range names {
		path, err := exec.LookPath(n)
		if err == nil {
			return path, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// Lacks names what FetchAll would fetch, in order.
func Lacks() []string {
	var out []string
	for _, a := range all() {
		if !fetched(a) {
			out = append(out, a.Name)
		}
	}
	for _, packages := range [][]string{Kazoo, Fastavro, Confluent} {
		if _, ok := havePython(packages); !ok {
			out = append(out, packages...)
		}
	}
	if _, ok := haveArchive(Apicurio); !ok {
		out = append(out, Apicurio)
	}
	return append(out, lackingTools()...)
}

func lackingTools() []string {
	var out []string
	for name := range tools {
		if _, err := findTool(name); err != nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// FetchAll fetches every server and, as root on a system with apt-get, every tool that is missing. Progress goes to out.
func FetchAll(ctx context.Context, out io.Writer) error {
	var errs []error
	for _, a := range all() {
		fmt.Fprintf(out, "%s: looking\n", a.Name)
		if _, err := Fetch(ctx, a, out); err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(out, "%s: there\n", a.Name)
	}
	for _, packages := range [][]string{Kazoo, Fastavro, Confluent} {
		fmt.Fprintf(out, "%s: looking\n", packages[0])
		if _, err := fetchPython(ctx, packages, out); err != nil {
			errs = append(errs, err)
		} else {
			fmt.Fprintf(out, "%s: there\n", packages[0])
		}
	}
	fmt.Fprintf(out, "%s: looking\n", Apicurio)
	if _, err := fetchArchive(ctx, Apicurio, out); err != nil {
		errs = append(errs, err)
	} else {
		fmt.Fprintf(out, "%s: there\n", Apicurio)
	}
	lacks := lackingTools()
	for name := range tools {
		if !slices.Contains(lacks, name) {
			fmt.Fprintf(out, "%s: there\n", name)
		}
	}
	if len(lacks) > 0 {
		errs = append(errs, install(ctx, out, lacks))
	}
	return errors.Join(errs...)
}

func install(ctx context.Context, out io.Writer, packages []string) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("install %q: not root on a system with apt-get: install them by hand", packages)
	}
	for _, args := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("install %q: %w", packages, err)
		}
	}
	return nil
}
