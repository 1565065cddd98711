package serverset

import (
	"encoding/json"
	"fmt"
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
}

func (d *decoded) curator(p Place, name string, data []byte) error {
	var w curatorWire
	err := parseJSON(data, &w)
	if err == nil {
		port := w.Port
		if w.SSLPort != 0 {
			port, d.md.Scheme = w.SSLPort, "https"
		}
		d.host, d.port, err = checkEndpoint(w.Address, port)
	}
	if err != nil {
		return fmt.Errorf("parse curator member %.60q: %w", name, err)
	}
	if s := w.URISpec.scheme(); s != "" && d.md.Scheme == "" {
		d.md.Scheme = s
	}
	var payload struct {
		Metadata map[string]text `json:"metadata"`
	}
	// A payload may be anything; only Spring's has metadata.
	if len(w.Payload) > 0 && w.Payload[0] == '{' && json.Unmarshal(w.Payload, &payload) == nil {
		d.md.Tags = texts(payload.Metadata)
		d.md.Status = d.md.Tags["instance_status"]
		delete(d.md.Tags, "instance_status")
	}
	if w.Enabled != nil && !*w.Enabled {
		d.md.Status = "DISABLED"
	}
	d.meta["__meta_serverset_path"] = p.Path + "/" + name
	d.meta["__meta_curator_name"], d.meta["__meta_curator_id"] = string(w.Name), string(w.ID)
	d.meta["__meta_curator_service_type"] = string(w.ServiceType)
	return nil
}

// scheme is what a specification says literally in front of ://, or "".
func (u *CuratorURISpec) scheme() string {
	if u == nil || len(u.Parts) == 0 || u.Parts[0].Variable {
		return ""
	}
	switch s := strings.ToLower(u.Parts[0].Value); {
	case strings.HasPrefix(s, "https"):
		return "https"
	case strings.HasPrefix(s, "http"):
		return "http"
	}
	return ""
}
