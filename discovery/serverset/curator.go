package serverset

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// CuratorMember is the data of a member of Curator's discovery (Spring Cloud Zookeeper), at <base>/<service>/<id>, ephemeral.
type CuratorMember struct {
	Name                string          `json:"name"`
	ID                  string          `json:"id"`
	Address             string          `json:"address"`
	Port                uint16          `json:"port,omitempty"`
	SSLPort             uint16          `json:"sslPort,omitempty"` // wins over Port, with https
	Payload             *CuratorPayload `json:"payload"`
	RegistrationTimeUTC int64           `json:"registrationTimeUTC"` // Unix milliseconds
	ServiceType         string          `json:"serviceType"`         // DYNAMIC where it is empty
	Enabled             *bool           `json:"enabled,omitempty"`   // nil: it is
	URISpec             *CuratorURISpec `json:"uriSpec,omitempty"`
}

// CuratorPayload is what Spring puts in the payload.
type CuratorPayload struct {
	Class    string            `json:"@class"`
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Metadata map[string]string `json:"metadata"`
}

// CuratorURISpec says how a client builds the member's address.
type CuratorURISpec struct {
	Parts []CuratorURIPart `json:"parts"`
}

// CuratorURIPart is literal text, or the name of a variable: scheme, address, port, ssl-port, name, id, …
type CuratorURIPart struct {
	Value    string `json:"value"`
	Variable bool   `json:"variable"`
}

const springInstance = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"

// Encode renders the data of a member as Spring does, with the usual {scheme}://{address}:{port} where no URISpec is given.
func (m *CuratorMember) Encode() ([]byte, error) {
	if _, _, err := checkEndpoint(m.Address, portNumber(max(m.Port, m.SSLPort))); err != nil {
		return nil, fmt.Errorf("encode curator member: %w", err)
	}
	out := *m
	if out.ServiceType == "" {
		out.ServiceType = "DYNAMIC"
	}
	if out.Payload != nil && out.Payload.Class == "" {
		p := *out.Payload
		p.Class, out.Payload = springInstance, &p
	}
	if out.URISpec == nil {
		out.URISpec = &CuratorURISpec{[]CuratorURIPart{{"scheme", true}, {"://", false}, {"address", true}, {":", false}, {"port", true}}}
	}
	return json.Marshal(out)
}

type curatorWire struct {
	Name        text            `json:"name"`
	ID          text            `json:"id"`
	Address     string          `json:"address"`
	Port        portNumber      `json:"port"`
	SSLPort     portNumber      `json:"sslPort"`
	Payload     json.RawMessage `json:"payload"`
	ServiceType text            `json:"serviceType"`
	URISpec     *CuratorURISpec `json:"uriSpec"`
	Enabled     *bool           `json:"enabled"`
	Registered  text            `json:"registrationTimeUTC"`
}

func (d *decoded) curator(p Place, name string, data []byte) error {
	var w curatorWire
	err := parseJSON(data, &w)
	if err == nil {
		port := w.Port
		if w.SSLPort != 0 {
			port, d.md.Scheme = w.SSLPort, "https"
		}
		uri := w.uri()
		d.meta["__meta_curator_uri"] = uri
		// An address of the member's own making: its scheme where no sslPort says it, its port where it has no other.
		if u, bad := url.Parse(uri); bad == nil && uri != "" {
			if d.md.Scheme == "" && (u.Scheme == "http" || u.Scheme == "https") && !w.URISpec.schemeVaries() {
				d.md.Scheme = u.Scheme
			}
			if n, bad := strconv.ParseUint(u.Port(), 10, 16); bad == nil && port == 0 && u.Hostname() == strings.Trim(w.Address, "[]") {
				port = portNumber(n)
			}
		}
		d.host, d.port, err = checkEndpoint(w.Address, port)
	}
	if err != nil {
		return fmt.Errorf("parse curator member %.60q: %w", name, err)
	}
	d.payload(w.Payload)
	if w.Enabled != nil && !*w.Enabled {
		d.md.Status = "DISABLED"
		d.meta["__meta_curator_enabled"] = "false"
	}
	d.meta["__meta_serverset_path"] = p.Path + "/" + name
	d.meta["__meta_curator_name"], d.meta["__meta_curator_id"] = string(w.Name), string(w.ID)
	d.meta["__meta_curator_service_type"] = string(w.ServiceType)
	return nil
}

// payload takes what the member says of itself: Spring's metadata; or, of another kind of object, its plain fields. A payload may be anything: what is none of
// these costs nothing.
func (d *decoded) payload(raw json.RawMessage) {
	if len(raw) == 0 || raw[0] != '{' {
		return
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return
	}
	tags := map[string]text{}
	if meta, spring := fields["metadata"]; spring && json.Unmarshal(meta, &tags) == nil {
		var id text
		if json.Unmarshal(fields["id"], &id) == nil {
			d.meta["__meta_curator_payload_id"] = string(id)
		}
	} else {
		delete(fields, "@class")
		for n, v := range fields {
			var t text
			if json.Unmarshal(v, &t) == nil && t != "" {
				tags[n] = t
			}
		}
	}
	d.md.Tags = texts(tags)
	d.md.Status = d.md.Tags["instance_status"]
	delete(d.md.Tags, "instance_status")
}

// uri is the member's address as its uriSpec has it built; "" where it has none.
func (w *curatorWire) uri() string {
	if w.URISpec == nil || len(w.URISpec.Parts) > 64 {
		return ""
	}
	scheme := "http"
	if w.SSLPort != 0 {
		scheme = "https"
	}
	number := func(p portNumber) string {
		if p == 0 {
			return ""
		}
		return strconv.Itoa(int(p))
	}
	vars := map[string]string{"scheme": scheme, "name": string(w.Name), "id": string(w.ID), "address": w.Address, "port": number(w.Port), "ssl-port": number(w.SSLPort),
		"registration-time-utc": string(w.Registered), "service-type": string(w.ServiceType), "[": "{", "]": "}"}
	var b strings.Builder
	for _, p := range w.URISpec.Parts {
		if p.Variable {
			b.WriteString(vars[p.Value]) // one that nobody knows is empty
		} else {
			b.WriteString(p.Value)
		}
	}
	if b.Len() > MaxTagValue {
		return ""
	}
	return b.String()
}

// schemeVaries reports a specification that leaves the scheme to the member's ports.
func (u *CuratorURISpec) schemeVaries() bool { return len(u.Parts) > 0 && u.Parts[0].Variable }
