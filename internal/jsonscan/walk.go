package jsonscan

// kinds gives the kind of a value by its first byte.
var kinds = [256]Kind{
	'{': Object, '[': Array, '"': String, 't': True, 'f': False, 'n': Null, 'N': Nonfinite, 'I': Nonfinite,
	'-': Number, '0': Number, '1': Number, '2': Number, '3': Number, '4': Number, '5': Number, '6': Number, '7': Number, '8': Number, '9': Number,
}

// Peek is the kind of the next value, which stays unread. None means a fault: no value starts here.
func (s *Scanner) Peek() Kind {
	if s.i >= len(s.b) || s.b[s.i] <= ' ' {
		s.space()
		if s.i >= len(s.b) {
			s.fault(s.i, "a value")
			return None
		}
	}
	k := kinds[s.b[s.i]]
	switch {
	case k == Nonfinite && !s.nonfinite:
		k = None
	case s.nonfinite && s.b[s.i] == '-' && s.i+1 < len(s.b) && s.b[s.i+1] == 'I':
		k = Nonfinite
	}
	if k == None {
		s.fault(s.i, "a value")
	}
	return k
}

// Object enters an object. False means a fault: there is none, or it is too deep.
func (s *Scanner) Object() bool { return s.open('{', "an object") }

// Array enters an array. False means a fault: there is none, or it is too deep.
func (s *Scanner) Array() bool { return s.open('[', "an array") }

func (s *Scanner) open(c byte, want string) bool {
	if s.i >= len(s.b) || s.b[s.i] <= ' ' {
		s.space()
	}
	if s.i >= len(s.b) || s.b[s.i] != c {
		s.fault(s.i, want)
		return false
	}
	if s.depth >= s.max {
		s.fault(s.i, "fewer levels of objects and arrays")
		s.deep = true
		return false
	}
	s.i++
	s.depth++
	s.first = true
	return true
}

// Key reads the next key of the object that is open, up to its value. False means that the object has ended, and is left, or a fault.
func (s *Scanner) Key() (Text, bool) {
	if s.i >= len(s.b) || s.b[s.i] <= ' ' {
		s.space()
	}
	if s.i >= len(s.b) {
		s.fault(s.i, "',' or '}'")
		return Text{}, false
	}
	switch c := s.b[s.i]; {
	case c == '}':
		s.i++
		s.depth--
		s.first = false
		return Text{}, false
	case s.first:
		s.first = false
		if c != '"' {
			s.fault(s.i, "a key in quotes or '}'")
			return Text{}, false
		}
	case c != ',':
		s.fault(s.i, "',' or '}'")
		return Text{}, false
	default:
		s.i++
		if s.i >= len(s.b) || s.b[s.i] <= ' ' {
			s.space()
		}
		if s.i >= len(s.b) || s.b[s.i] != '"' {
			s.fault(s.i, "a key in quotes")
			return Text{}, false
		}
	}
	t, ok := s.text()
	if !ok {
		return t, false
	}
	if s.i >= len(s.b) || s.b[s.i] <= ' ' {
		s.space()
	}
	if s.i >= len(s.b) || s.b[s.i] != ':' {
		s.fault(s.i, "':'")
		return Text{}, false
	}
	s.i++
	if s.i < len(s.b) && s.b[s.i] <= ' ' {
		s.space()
	}
	return t, true
}

// More goes to the next element of the array that is open. False means that the array has ended, and is left, or a fault.
func (s *Scanner) More() bool {
	if s.i >= len(s.b) || s.b[s.i] <= ' ' {
		s.space()
	}
	if s.i >= len(s.b) {
		s.fault(s.i, "',' or ']'")
		return false
	}
	switch c := s.b[s.i]; {
	case c == ']':
		s.i++
		s.depth--
		s.first = false
		return false
	case s.first:
		s.first = false
	case c != ',':
		s.fault(s.i, "',' or ']'")
		return false
	default:
		s.i++
		if s.i < len(s.b) && s.b[s.i] <= ' ' {
			s.space()
		}
		if s.i < len(s.b) && s.b[s.i] == ']' {
			s.fault(s.i, "a value")
			return false
		}
	}
	return true
}

// String reads a string.
func (s *Scanner) String() Text {
	if s.Peek() != String {
		s.fault(s.i, "a string")
		return Text{}
	}
	t, _ := s.text()
	return t
}

// Bool reads true or false.
func (s *Scanner) Bool() bool {
	k := s.Peek()
	if k != True && k != False {
		s.fault(s.i, "true or false")
		return false
	}
	return s.word(k) && k == True
}

// words are the bare words by kind; Nonfinite has two more forms.
var words = [...]string{True: "true", False: "false", Null: "null"}

// word reads the rest of a bare word, of which Peek has seen the first byte.
func (s *Scanner) word(k Kind) bool {
	w := "Infinity"
	switch {
	case k != Nonfinite:
		w = words[k]
	case s.b[s.i] == 'N':
		w = "NaN"
	case s.b[s.i] == '-':
		w = "-Infinity"
	}
	for j := range len(w) {
		if s.i+j >= len(s.b) || s.b[s.i+j] != w[j] {
			s.fault(s.i+j, w)
			return false
		}
	}
	s.i += len(w)
	return true
}

// Value reads one value of any kind, however deep, and returns it as it stands; nil means a fault.
func (s *Scanner) Value() []byte {
	s.Peek() // past white space
	b, from := s.b, s.i
	if !s.Skip() {
		return nil
	}
	return b[from:s.i]
}

// Skip reads one value of any kind, however deep, and checks every byte of it. False means a fault.
func (s *Scanner) Skip() bool {
	base := s.depth
value:
	for {
		switch k := s.Peek(); k {
		case String:
			if _, ok := s.text(); !ok {
				return false
			}
		case Number:
			if s.number() == nil {
				return false
			}
		case True, False, Null, Nonfinite:
			if !s.word(k) {
				return false
			}
		case Object:
			if !s.Object() {
				return false
			}
			s.nest[(s.depth-1)/64] |= 1 << ((s.depth - 1) % 64)
			if _, ok := s.Key(); ok {
				continue
			}
		case Array:
			if !s.Array() {
				return false
			}
			s.nest[(s.depth-1)/64] &^= 1 << ((s.depth - 1) % 64)
			if s.More() {
				continue
			}
		default:
			return false
		}
		for s.depth > base && s.msg == "" {
			if s.nest[(s.depth-1)/64]&(1<<((s.depth-1)%64)) != 0 {
				if _, ok := s.Key(); ok {
					continue value
				}
			} else if s.More() {
				continue value
			}
		}
		return s.msg == ""
	}
}
