package zktest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

var codes = map[int32]string{
	0: "ok", -1: "SystemError", -2: "RuntimeInconsistency", -5: "MarshallingError", -6: "Unimplemented", -8: "BadArguments", -101: "NoNode", -102: "NoAuth",
	-103: "BadVersion", -108: "NoChildrenForEphemerals", -110: "NodeExists", -111: "NotEmpty", -112: "SessionExpired", -114: "InvalidACL",
	-115: "AuthFailed", -121: "NoWatcher", -123: "ReconfigDisabled", -125: "QuotaExceeded", -127: "Throttled",
}

func codeName(c int32) string { return cmp.Or(codes[c], "error "+strconv.Itoa(int(c))) }

var eventNames = map[int32]string{1: "created", 2: "deleted", 3: "changed", 4: "children"}

// stat prints a Stat without what differs from run to run: zxids stand in their order.
func (r *reader) stat(session int64) string {
	z := []struct {
		name string
		zxid int64
	}{{"c", r.long()}, {"m", r.long()}, {"p", 0}}
	r.long() // ctime
	r.long() // mtime
	version, cversion, aversion, owner, size, children := r.int(), r.int(), r.int(), r.long(), r.int(), r.int()
	z[2].zxid = r.long()
	slices.SortStableFunc(z, func(a, b struct {
		name string
		zxid int64
	}) int {
		return cmp.Compare(a.zxid, b.zxid)
	})
	order := z[0].name
	for i := 1; i < len(z); i++ {
		if z[i].zxid == z[i-1].zxid {
			order += "=" + z[i].name
		} else {
			order += "<" + z[i].name
		}
	}
	who := "none"
	switch owner {
	case 0:
	case session:
		who = "me"
	default:
		who = "other"
	}
	return fmt.Sprintf("v%d cv%d av%d owner=%s len=%d children=%d %s", version, cversion, aversion, who, size, children, order)
}

func (r *reader) acls() string {
	var out []string
	for n := r.int(); n > 0 && r.err == nil; n-- {
		p := r.int()
		out = append(out, r.string()+":"+r.string()+":"+permString(p))
	}
	return strings.Join(out, ",")
}

func quoted(b []byte) string {
	if b == nil {
		return "null"
	}
	if len(b) > 64 {
		return fmt.Sprintf("%d bytes", len(b))
	}
	return strconv.Quote(string(b))
}

// list prints names in order; servers send them in any.
func list(names []string) string {
	slices.Sort(names)
	if len(names) > 12 {
		return fmt.Sprintf("[%s … %s] %d names", names[0], names[len(names)-1], len(names))
	}
	return "[" + strings.Join(names, " ") + "]"
}

// answer prints the body of a good answer.
func answer(op int32, body []byte, session int64) string {
	r := &reader{b: body}
	var out string
	switch op {
	case Create, Sync:
		out = r.string()
	case Create2, CreateContainer, CreateTTL:
		out = r.string() + " " + r.stat(session)
	case Exists, SetData, SetACL:
		out = r.stat(session)
	case GetData:
		out = quoted(r.buffer()) + " " + r.stat(session)
	case GetACL:
		out = r.acls() + " " + r.stat(session)
	case GetChildren, GetEphemerals:
		out = list(r.strings())
	case GetChildren2:
		out = list(r.strings()) + " " + r.stat(session)
	case AllChildren, AddWatch:
		out = strconv.Itoa(int(r.int()))
	case WhoAmI:
		var who []string
		for n := r.int(); n > 0 && r.err == nil; n-- {
			who = append(who, r.string()+":"+r.string())
		}
		out = list(who)
	case Multi, MultiRead:
		out = r.results(session)
	}
	if r.err != nil {
		return out + " CUT SHORT"
	}
	if len(r.b) > 0 {
		out += fmt.Sprintf(" AND %d BYTES MORE", len(r.b))
	}
	return out
}

// results prints the answer to a multi, a step after the other.
func (r *reader) results(session int64) string {
	var out []string
	for r.err == nil {
		typ, done, code := r.int(), r.bool(), r.int()
		if done {
			if typ != -1 || code != -1 {
				out = append(out, fmt.Sprintf("END %d %d", typ, code))
			}
			return "{" + strings.Join(out, "; ") + "}"
		}
		switch typ {
		case -1:
			if again := r.int(); again != code {
				out = append(out, fmt.Sprintf("HEADER %d BODY %d", code, again))
			}
			out = append(out, codeName(code))
		case Create:
			out = append(out, "created "+r.string())
		case Create2:
			out = append(out, "created2 "+r.string()+" "+r.stat(session))
		case CreateContainer:
			out = append(out, "container "+r.string()+" "+r.stat(session))
		case Delete:
			out = append(out, "deleted")
		case Check:
			out = append(out, "checked")
		case SetData:
			out = append(out, "set "+r.stat(session))
		case GetData:
			out = append(out, quoted(r.buffer())+" "+r.stat(session))
		case GetChildren:
			out = append(out, list(r.strings()))
		default:
			return fmt.Sprintf("UNKNOWN RESULT %d", typ)
		}
	}
	return "CUT SHORT"
}
