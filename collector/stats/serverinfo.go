package stats

import (
	"fmt"

	"github.com/rollcall-metrics/rollcall/internal/jsonscan"
)

// ServerInfo reads what an application says of itself at /server_info (Ostrich) or /admin/server_info (twitter-server): an object with name, version, build,
// build_revision, start_time and the like. Texts, numbers and booleans of the outermost object are taken, at most 32, their values up to 256 bytes; uptime is
// left out, as it is never the same twice. Names and values are in memory of their own. A body that is no such object is an error.
func ServerInfo(body []byte) (map[string]string, error) {
	var s jsonscan.Scanner
	s.Reset(body, jsonscan.Options{Nonfinite: true})
	info := map[string]string{}
	s.Object()
	for k, ok := s.Key(); ok; k, ok = s.Key() {
		name, _ := k.Append(nil)
		var value []byte
		switch s.Peek() {
		case jsonscan.String:
			value, _ = s.String().Append(nil)
		case jsonscan.Number:
			value = s.Number()
		case jsonscan.True, jsonscan.False:
			value = s.Value()
		default:
			s.Skip()
		}
		if len(info) < 32 && string(name) != "uptime" && len(name) > 0 && len(name) <= MaxText && len(value) > 0 && len(value) <= MaxText {
			info[string(name)] = string(value)
		}
	}
	if err := s.End(); err != nil {
		return nil, fmt.Errorf("read server info: %w", err)
	}
	return info, nil
}
