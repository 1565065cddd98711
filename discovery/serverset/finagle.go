package serverset

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

const finaglePrefix = "member_"

// FinagleEndpoint is one endpoint of a Finagle member.
type FinagleEndpoint struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

// FinagleMember is the data of a Finagle, Aurora or twitter.commons member, as com.twitter.thrift.ServiceInstance has it in JSON. The znode is called
// member_%010d, ephemeral and sequential; its data never changes.
type FinagleMember struct {
	Status              string                     `json:"status"` // DEAD STARTING ALIVE STOPPING STOPPED WARNING
	AdditionalEndpoints map[string]FinagleEndpoint `json:"additionalEndpoints"`
	ServiceEndpoint     FinagleEndpoint            `json:"serviceEndpoint"`
	Shard               *int                       `json:"shard,omitempty"`
	Metadata            map[string]string          `json:"metadata,omitempty"`
}

// FinagleName is the name to create a member by, in sequential mode: ZooKeeper adds the number.
const FinagleName = finaglePrefix

// Encode renders the data of a member.
func (m *FinagleMember) Encode() ([]byte, error) {
	if _, _, err := checkEndpoint(m.ServiceEndpoint.Host, portNumber(m.ServiceEndpoint.Port)); err != nil {
		return nil, fmt.Errorf("encode finagle member: service endpoint: %w", err)
	}
	out := *m
	if out.AdditionalEndpoints == nil {
		out.AdditionalEndpoints = map[string]FinagleEndpoint{} // Finagle's reader wants the key
	}
	if out.Status == "" {
		out.Status = "ALIVE"
	}
	return json.Marshal(out)
}

type finagleEndpoint struct {
	Host  string     `json:"host"`
	Port  portNumber `json:"port"`
	Inet  text       `json:"inet"`
	Inet6 text       `json:"inet6"`
}

type finagleWire struct {
	ServiceEndpoint     *finagleEndpoint           `json:"serviceEndpoint"`
	AdditionalEndpoints map[string]finagleEndpoint `json:"additionalEndpoints"`
	Status              text                       `json:"status"`
	Shard               *int                       `json:"shard"`
	MemberID            text                       `json:"member_id"`
	Metadata            map[string]text            `json:"metadata"`
}

// maxEndpoints is how many additional endpoints become labels.
const maxEndpoints = 32

func (d *decoded) finagle(p Place, name string, data []byte, endpoint string) error {
	if isThrift(data) {
		return fmt.Errorf("finagle member %.60q is in Thrift's binary form, which old servers wrote and rollcall does not read; have it written as JSON", name)
	}
	var w finagleWire
	if err := parseJSON(data, &w); err != nil {
		return fmt.Errorf("parse finagle member %.60q: %w", name, err)
	}
	if w.ServiceEndpoint == nil {
		return fmt.Errorf("parse finagle member %.60q: no serviceEndpoint", name)
	}
	var err error
	if d.host, d.port, err = checkEndpoint(w.ServiceEndpoint.Host, w.ServiceEndpoint.Port); err != nil {
		return fmt.Errorf("parse finagle member %.60q: serviceEndpoint: %w", name, err)
	}
	d.meta["__meta_serverset_path"] = p.Path + "/" + name
	d.meta["__meta_serverset_inet"], d.meta["__meta_serverset_inet6"] = string(w.ServiceEndpoint.Inet), string(w.ServiceEndpoint.Inet6)
	d.meta["__meta_serverset_member_id"] = string(w.MemberID)
	names := sortedKeys(w.AdditionalEndpoints)
	for i, n := range names {
		if e := w.AdditionalEndpoints[n]; i < maxEndpoints {
			d.meta["__meta_serverset_endpoint_host_"+labelName(n)] = e.Host
			d.meta["__meta_serverset_endpoint_port_"+labelName(n)] = fmt.Sprint(e.Port)
		}
	}
	if endpoint != "" {
		n, e, ok := choose(w.AdditionalEndpoints, endpoint)
		if !ok {
			return fmt.Errorf("finagle member %.60q has no endpoint %q; it has %.200q", name, endpoint, strings.Join(names, " "))
		}
		host, port, err := checkEndpoint(e.Host, e.Port)
		if err != nil {
			return fmt.Errorf("parse finagle member %.60q: endpoint %q: %w", name, n, err)
		}
		if d.md.StatsPort = port; host != d.host {
			d.host, d.port, d.md.StatsPort = host, port, 0
		}
	}
	d.md.Status, d.md.Tags = string(w.Status), texts(w.Metadata)
	if w.Shard != nil && *w.Shard >= 0 && *w.Shard <= math.MaxInt32 {
		d.md.Shard = w.Shard
	}
	return nil
}

// choose takes the first of the names in endpoint, separated by commas, that is there.
func choose(all map[string]finagleEndpoint, endpoint string) (name string, e finagleEndpoint, ok bool) {
	for n := range strings.SplitSeq(endpoint, ",") {
		n = strings.TrimSpace(n)
		if e, ok = all[n]; ok && n != "" {
			return n, e, true
		}
	}
	return "", e, false
}

// isThrift reports data that begins as the struct does in Thrift's binary protocol: the type of a field (struct, map, i32), then its number, 1 to 5.
func isThrift(data []byte) bool {
	return len(data) > 3 && (data[0] == 12 || data[0] == 13 || data[0] == 8) && data[1] == 0 && data[2] >= 1 && data[2] <= 5
}
