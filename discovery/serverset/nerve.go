package serverset

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const nervePrefix = "base64_"

// NerveMember is the data of a member that SmartStack's Nerve registers, as <instance id>_%010d, ephemeral and sequential.
type NerveMember struct {
	Host                 string            `json:"host"`
	Port                 uint16            `json:"port"`
	Name                 string            `json:"name"`
	Weight               *int              `json:"weight,omitempty"`
	HAProxyServerOptions string            `json:"haproxy_server_options,omitempty"`
	Labels               map[string]string `json:"labels,omitempty"`
}

// Encode renders the data of a member.
func (m *NerveMember) Encode() ([]byte, error) {
	if _, _, err := checkEndpoint(m.Host, portNumber(m.Port)); err != nil {
		return nil, fmt.Errorf("encode nerve member: %w", err)
	}
	return json.Marshal(m)
}

// Base64Name is the name to create the member by, in sequential mode, where Nerve keeps the data in the name: base64_<length>_<URL-safe base64>_.
func (m *NerveMember) Base64Name() (string, error) {
	b, err := m.Encode()
	if err != nil {
		return "", err
	}
	s := base64.URLEncoding.EncodeToString(b)
	return nervePrefix + strconv.Itoa(len(s)) + "_" + s + "_", nil
}

// NerveData is a member's JSON: what its name holds, if it is one of the base64 kind, else its data.
func NerveData(name string, data []byte) ([]byte, error) {
	rest, ok := strings.CutPrefix(name, nervePrefix)
	if !ok {
		return data, nil
	}
	length, rest, ok := strings.Cut(rest, "_")
	n, err := strconv.Atoi(length)
	if !ok || err != nil || n < 0 || n > len(rest) {
		return nil, fmt.Errorf("the name gives the length of its base64 as %.20q, and %d bytes follow", length, len(rest))
	}
	out, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(rest[:n], "="))
	if err != nil {
		return nil, fmt.Errorf("the name's base64: %w", err)
	}
	return out, nil
}

type nerveWire struct {
	Host   string          `json:"host"`
	Port   portNumber      `json:"port"`
	Name   text            `json:"name"`
	Weight text            `json:"weight"`
	Labels map[string]text `json:"labels"`

	HAProxyServerOptions text `json:"haproxy_server_options"`
}

func (d *decoded) nerve(p Place, name string, data []byte) error {
	data, err := NerveData(name, data)
	var w nerveWire
	if err == nil {
		err = parseJSON(data, &w)
	}
	if err == nil {
		d.host, d.port, err = checkEndpoint(w.Host, w.Port)
	}
	if err != nil {
		if len(data) == 0 && !strings.HasPrefix(name, nervePrefix) {
			err = errors.New("no data, and its name holds none")
		}
		return fmt.Errorf("parse nerve member %.60q: %w", name, err)
	}
	d.meta["__meta_nerve_path"] = p.Path + "/" + name
	d.meta["__meta_nerve_endpoint_name"] = string(w.Name)
	d.meta["__meta_nerve_weight"] = string(w.Weight)
	d.endpoint("__meta_nerve", d.host, d.port)
	d.meta["__meta_serverset_path"] = p.Path + "/" + name
	d.meta["__meta_nerve_haproxy_server_options"] = string(w.HAProxyServerOptions)
	d.md.Tags = texts(w.Labels)
	if w.Weight != "" {
		if d.md.Tags == nil {
			d.md.Tags = map[string]string{}
		}
		d.md.Tags[TagWeight] = string(w.Weight)
	}
	return nil
}
