package geo

import (
	"strconv"
	"strings"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2/mmdbdata"
)

// languages are those that MaxMind's databases may have.
var languages = []string{"de", "en", "es", "fr", "ja", "pt-BR", "ru", "zh-CN"}

// record is the part of a database's record that becomes a Place, in every layout at once: MaxMind's nested maps, and the flat strings of ip-location-db
// (country_code, city; autonomous_system_number as MaxMind has it). Where a key means a map in one and a text in the other, its type tells them apart.
type record struct {
	ASN          number                   `maxminddb:"autonomous_system_number"`
	ASOrg        string                   `maxminddb:"autonomous_system_organization"`
	CountryCode  string                   `maxminddb:"country_code"`
	Country      country                  `maxminddb:"country"`
	Registered   country                  `maxminddb:"registered_country"`
	Continent    continent                `maxminddb:"continent"`
	Subdivisions []geoip2.CitySubdivision `maxminddb:"subdivisions,maxsize:32"`
	City         city                     `maxminddb:"city"`
	Traits       struct {
		ASN   number `maxminddb:"autonomous_system_number"`
		ASOrg string `maxminddb:"autonomous_system_organization"`
	} `maxminddb:"traits"`
}

// place makes a Place of the record. Nothing in it is shared with the file.
func (r *record) place(language string) Place {
	p := Place{ASN: uint32(r.ASN), ASOrg: r.ASOrg, Continent: string(r.Continent)}
	if p.ASN == 0 {
		p.ASN, p.ASOrg = uint32(r.Traits.ASN), r.Traits.ASOrg
	}
	// An address that is registered somewhere and used who knows where (an anycast network) still has a country in the registry.
	for _, c := range []string{string(r.Country), r.CountryCode, string(r.Registered)} {
		if len(c) == 2 {
			p.Country = strings.ToUpper(c)
			break
		}
	}
	if len(r.Subdivisions) > 0 && p.Country != "" && r.Subdivisions[0].ISOCode != "" {
		p.Region = p.Country + "-" + r.Subdivisions[0].ISOCode
	}
	p.City = r.City.text
	if r.City.names != nil {
		p.City = nameIn(r.City.names, language)
	}
	return p
}

func nameIn(n *geoip2.Names, language string) string {
	s := n.English
	switch language {
	case "de":
		s = n.German
	case "es":
		s = n.Spanish
	case "fr":
		s = n.French
	case "ja":
		s = n.Japanese
	case "pt-BR":
		s = n.BrazilianPortuguese
	case "ru":
		s = n.Russian
	case "zh-CN":
		s = n.SimplifiedChinese
	}
	if s == "" {
		return n.English
	}
	return s
}

// number is an AS number: an integer, or a text with or without AS in front of it.
type number uint32

// UnmarshalMaxMindDBCursor implements mmdbdata.CursorUnmarshaler.
func (n *number) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	k, err := c.Kind()
	if err != nil {
		return c, err
	}
	if k != mmdbdata.KindString {
		v, next, err := c.ReadUint()
		*n = number(v)
		return next, err
	}
	s, next, err := c.ReadStringMaxSize(64)
	if err != nil {
		return next, err
	}
	if v, err := strconv.ParseUint(strings.TrimPrefix(s, "AS"), 10, 32); err == nil {
		*n = number(v)
	}
	return next, nil
}

// country is an ISO code: by itself or inside MaxMind's map.
type country string

// UnmarshalMaxMindDBCursor implements mmdbdata.CursorUnmarshaler.
func (t *country) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	var r geoip2.CountryRecord
	text, next, err := textOr(c, &r)
	*t = country(text + r.ISOCode)
	return next, err
}

// continent is a two-letter code: by itself or inside MaxMind's map.
type continent string

// UnmarshalMaxMindDBCursor implements mmdbdata.CursorUnmarshaler.
func (t *continent) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	var r geoip2.Continent
	text, next, err := textOr(c, &r)
	if len(text) == 2 {
		r.Code = text
	}
	*t = continent(r.Code)
	return next, err
}

// city is a name, or MaxMind's map of names.
type city struct {
	text  string
	names *geoip2.Names
}

// UnmarshalMaxMindDBCursor implements mmdbdata.CursorUnmarshaler.
func (t *city) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	var r geoip2.CityRecord
	text, next, err := textOr(c, &r)
	*t = city{text: text}
	if text == "" {
		t.names = &r.Names
	}
	return next, err
}

// textOr reads a text, or a map into m; anything else is passed over.
func textOr(c mmdbdata.Cursor, m mmdbdata.CursorUnmarshaler) (string, mmdbdata.Cursor, error) {
	k, err := c.Kind()
	if err != nil {
		return "", c, err
	}
	switch k {
	case mmdbdata.KindString:
		return c.ReadStringMaxSize(1024)
	case mmdbdata.KindMap:
		next, err := c.UnmarshalCursor(m)
		return "", next, err
	}
	next, err := c.Skip()
	return "", next, err
}
