package zktest

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Script runs several clients against one server. A line is
//
//	<client> <command> [argument…] [key=value…]
//
// and prints first the events that the client had got until its answer, then the answer. $R in a script is the path below which it
// is alone.
//
//	connect [timeout=2000] [as=B] [password=wrong] [zxid=ahead] [old=yes]   a new session, or B's
//	drop · close · gone            cut the connection · end the session · wait until the server cuts it
//	events                         what came until now
//	create PATH [DATA] [mode=ephemeral|sequential|ephemeral-sequential|container|N] [acl=…] [op=create2|container|ttl]
//	delete PATH [version=] · set PATH DATA [version=] · get|exists|children|children2 PATH [watch] · sync PATH · all PATH
//	getacl PATH · setacl PATH ACL [version=] · auth SCHEME TEXT · whoami · ephemerals PATH
//	multi STEP ; STEP … (create, delete, set, check as above) · multiread get PATH ; children PATH
//	addwatch PATH persistent|recursive|N · check-watches|remove-watches PATH children|data|any|persistent|recursive
//	setwatches since=0|seen [data=a,b] [exist=] [child=] [persistent=] [recursive=]
//	raw OP [HEX] · frame HEX · bytes HEX      an operation with any body · a frame · bytes without a length
type Script struct {
	Addr    string
	Root    string
	clients map[string]*Client
}

// Run runs all lines and returns what they print: each command after "> ", then its lines. Blank lines and comments stay.
func (s *Script) Run(script string) (string, error) {
	s.clients = map[string]*Client{}
	defer func() {
		for _, c := range s.clients {
			c.Do(CloseSession, nil) // so that nothing of this script is left
			c.Close()
		}
	}()
	var out strings.Builder
	for lines := bufio.NewScanner(strings.NewReader(script)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		command, is := strings.CutPrefix(line, "> ")
		if !is {
			if line == "" || strings.HasPrefix(line, "#") {
				fmt.Fprintln(&out, line)
			}
			continue // an answer of an earlier run
		}
		fmt.Fprintln(&out, line)
		text, err := s.command(strings.ReplaceAll(command, "$R", s.Root))
		if err != nil {
			return out.String(), fmt.Errorf("%s: %w", line, err)
		}
		if text != "" {
			fmt.Fprintln(&out, strings.ReplaceAll(strings.TrimRight(text, "\n"), s.Root, "$R"))
		}
	}
	return out.String(), nil
}

// words are the arguments of a command and its key=value pairs.
type words struct {
	args []string
	keys map[string]string
}

func parse(fields []string) words {
	w := words{keys: map[string]string{}}
	for _, f := range fields {
		if k, v, is := strings.Cut(f, "="); is && k != "" && !strings.ContainsAny(k, "/:") {
			w.keys[k] = v
		} else {
			w.args = append(w.args, f)
		}
	}
	return w
}

func (w words) arg(i int) string {
	if i < len(w.args) {
		return w.args[i]
	}
	return ""
}

func (w words) version() int32 {
	if v, is := w.keys["version"]; is {
		n, _ := strconv.Atoi(v)
		return int32(n)
	}
	return -1
}

// data reads null, "" and text apart.
func (w words) data(i int) []byte {
	switch v := w.arg(i); v {
	case "":
		return nil
	case `""`:
		return []byte{}
	default:
		if n, is := strings.CutPrefix(v, "x*"); is {
			k, _ := strconv.Atoi(n)
			return []byte(strings.Repeat("x", k))
		}
		return []byte(v)
	}
}

func (s *Script) command(line string) (string, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return "", errors.New("want a client and a command")
	}
	name, verb, w := fields[0], fields[1], parse(fields[2:])
	if verb == "connect" {
		return s.connect(name, w)
	}
	c := s.clients[name]
	if c == nil {
		return "", errors.New("not connected")
	}
	switch verb {
	case "drop":
		c.Close()
		return "", nil
	case "gone":
		events, err := c.Gone()
		return printEvents(events) + "gone", err
	case "bytes", "frame":
		b, err := hex.DecodeString(w.arg(0))
		if err == nil && verb == "bytes" {
			err = c.Write(b)
		} else if err == nil {
			err = c.SendFrame(b)
		}
		return "", err
	case "setwatches":
		op, body, err := w.setWatches(c)
		if err != nil {
			return "", err
		}
		return s.do(c, op, body)
	}
	op, body, err := Encode(line)
	if err != nil {
		return "", err
	}
	return s.do(c, op, body)
}

func (s *Script) do(c *Client, op int32, body Body) (string, error) {
	rep, err := c.Do(op, body)
	out := printEvents(rep.Events)
	if errors.Is(err, io.EOF) || isReset(err) {
		return out + "gone", nil
	}
	if err != nil {
		return out, err
	}
	if op == Ping {
		return strings.TrimSuffix(out, "\n"), nil
	}
	if rep.Err != 0 {
		out += codeName(rep.Err)
		if len(rep.Body) > 0 {
			out += fmt.Sprintf(" AND %d BYTES", len(rep.Body))
		}
		return out, nil
	}
	return out + strings.TrimSpace("ok "+answer(op, rep.Body, c.Session)), nil
}

func printEvents(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		missed := ""
		if e.Zxid == -1 {
			missed = " (missed)"
		}
		fmt.Fprintf(&b, "event %s %s%s\n", eventNames[e.Type], e.Path, missed)
	}
	return b.String()
}

func (s *Script) connect(name string, w words) (string, error) {
	h := Hello{Timeout: 4 * time.Second, NoByte: w.keys["old"] == "yes"}
	if v := w.keys["timeout"]; v != "" {
		ms, _ := strconv.Atoi(v)
		h.Timeout = time.Duration(ms) * time.Millisecond
	}
	if as := w.keys["as"]; as != "" {
		old := s.clients[as]
		if old == nil {
			return "", fmt.Errorf("%s never connected", as)
		}
		h.Session, h.Password, h.Zxid = old.Session, old.Password, old.Zxid
	}
	switch w.keys["password"] {
	case "wrong":
		h.Password = []byte("0123456789abcdef")
	case "short":
		h.Password = []byte("x")
	}
	if w.keys["zxid"] == "ahead" {
		h.Zxid = 1<<63 - 1
	}
	c, err := Dial(s.Addr, h)
	switch {
	case errors.Is(err, ErrExpired):
		return "expired", nil
	case errors.Is(err, io.EOF) || isReset(err):
		return "closed", nil
	case err != nil:
		return "", err
	}
	c.Zxid = max(c.Zxid, h.Zxid)
	s.clients[name] = c
	return fmt.Sprintf("connected, timeout %v", c.Timeout), nil
}
