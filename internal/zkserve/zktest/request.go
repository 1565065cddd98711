package zktest

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

const openACL = "world:anyone:rwcda"

var modes = map[string]int32{"": 0, "ephemeral": 1, "sequential": 2, "ephemeral-sequential": 3, "container": 4, "ttl": 5, "ttl-sequential": 6}

var watchTypes = map[string]int32{"children": 1, "data": 2, "any": 3, "persistent": 4, "recursive": 5}

func (w words) create() (int32, Body) {
	op := map[string]int32{"": Create, "create2": Create2, "container": CreateContainer, "ttl": CreateTTL}[w.keys["op"]]
	acl := openACL
	if a, is := w.keys["acl"]; is {
		acl = a
	}
	mode, is := modes[w.keys["mode"]]
	if !is {
		n, _ := strconv.Atoi(w.keys["mode"])
		mode = int32(n)
	}
	b := Body{}.String(w.arg(0)).Buffer(w.data(1)).ACLs(acl).Int(mode)
	if op == CreateTTL {
		ttl, _ := strconv.Atoi(w.keys["ttl"])
		b = b.Long(int64(ttl))
	}
	return op, b
}

// Encode gives the request of one script line, without running it; commands of the connection itself are an error.
func Encode(line string) (op int32, body Body, err error) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return 0, nil, fmt.Errorf("encode %q: want a client and a command", line)
	}
	switch verb := fields[1]; verb {
	case "multi", "multiread":
		body, err := steps(strings.Split(strings.Join(fields[2:], " "), " ; "))
		if verb == "multi" {
			return Multi, body, err
		}
		return MultiRead, body, err
	default:
		return request(verb, parse(fields[2:]))
	}
}

// request encodes a command of one step.
func request(verb string, w words) (int32, Body, error) {
	path, watch := Body{}.String(w.arg(0)), w.arg(1) == "watch"
	switch verb {
	case "events":
		return Ping, nil, nil
	case "close":
		return CloseSession, nil, nil
	case "create":
		op, b := w.create()
		return op, b, nil
	case "delete":
		return Delete, path.Int(w.version()), nil
	case "set":
		return SetData, path.Buffer(w.data(1)).Int(w.version()), nil
	case "check":
		return Check, path.Int(w.version()), nil
	case "get":
		return GetData, path.Bool(watch), nil
	case "exists":
		return Exists, path.Bool(watch), nil
	case "children":
		return GetChildren, path.Bool(watch), nil
	case "children2":
		return GetChildren2, path.Bool(watch), nil
	case "sync":
		return Sync, path, nil
	case "all":
		return AllChildren, path, nil
	case "ephemerals":
		return GetEphemerals, path, nil
	case "whoami":
		return WhoAmI, nil, nil
	case "getacl":
		return GetACL, path, nil
	case "setacl":
		return SetACL, path.ACLs(w.arg(1)).Int(w.version()), nil
	case "auth":
		return Auth, Body{}.Int(0).String(w.arg(0)).Buffer([]byte(w.arg(1))), nil
	case "addwatch":
		mode, is := map[string]int32{"persistent": 0, "recursive": 1}[w.arg(1)]
		if !is {
			n, _ := strconv.Atoi(w.arg(1))
			mode = int32(n)
		}
		return AddWatch, path.Int(mode), nil
	case "check-watches", "remove-watches":
		typ, is := watchTypes[w.arg(1)]
		if !is {
			n, _ := strconv.Atoi(w.arg(1))
			typ = int32(n)
		}
		if verb == "check-watches" {
			return CheckWatches, path.Int(typ), nil
		}
		return RemoveWatches, path.Int(typ), nil
	case "setwatches":
		return w.setWatches(&Client{})
	case "raw":
		op, err := strconv.Atoi(w.arg(0))
		if err != nil {
			return 0, nil, err
		}
		b, err := hex.DecodeString(w.arg(1))
		return int32(op), b, err
	}
	return 0, nil, fmt.Errorf("unknown command %q", verb)
}

func (w words) setWatches(c *Client) (int32, Body, error) {
	since := c.Zxid
	if w.keys["since"] != "seen" {
		n, err := strconv.ParseInt(w.keys["since"], 0, 64)
		if err != nil {
			return 0, nil, err
		}
		since = n
	}
	paths := func(key string) []string {
		if w.keys[key] == "" {
			return nil
		}
		return strings.Split(w.keys[key], ",")
	}
	b := Body{}.Long(since).Strings(paths("data")).Strings(paths("exist")).Strings(paths("child"))
	if w.keys["persistent"] == "" && w.keys["recursive"] == "" {
		return SetWatches, b, nil
	}
	return SetWatches2, b.Strings(paths("persistent")).Strings(paths("recursive")), nil
}

// steps encodes a multi or multiRead.
func steps(texts []string) (Body, error) {
	var b Body
	for _, text := range texts {
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		w := parse(fields[1:])
		var op int32
		var body Body
		if fields[0] == "create" {
			op, body = w.create()
		} else {
			var err error
			if op, body, err = request(fields[0], w); err != nil {
				return nil, err
			}
		}
		b = append(b.Int(op).Bool(false).Int(-1), body...)
	}
	return b.Int(-1).Bool(true).Int(-1), nil
}
