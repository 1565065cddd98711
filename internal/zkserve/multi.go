package zkserve

// maxSteps bounds a multi; a frame of 1 MB holds no more of the smallest.
const maxSteps = 1 << 16

// multi makes all changes or none. The answer to a multi that failed names the failing step; the steps before it are 0, those
// after it runtimeInconsistency.
func (s *Server) multi(c *conn, d *decoder) (reply, code) {
	var steps []step
	for {
		op, done := multiHeader(d)
		if done {
			break
		}
		st := decodeStep(op, d)
		if d.err != nil || !st.valid || op == opSetACL || st.flags < 0 || st.flags > flagTTLSequential || len(steps) == maxSteps {
			return reply{}, marshallingError
		}
		steps = append(steps, st)
	}
	if d.err != nil {
		return reply{}, marshallingError
	}
	t := s.begin(c)
	var b []byte
	for i, st := range steps {
		body, code := t.do(st)
		if code == ok && len(t.log.b) > maxRecord/2 { // each step may repeat a long ACL
			code = quotaExceeded
		}
		if code != ok {
			t.rollback()
			return reply{head: failedMulti(len(steps), i, code)}, ok
		}
		op := st.op
		if op == opCreateContainer || op == opCreateTTL {
			op = opCreate2
		}
		b = appendMultiHeader(b, op, false, 0)
		b = append(b, body...)
	}
	if code := t.commit(); code != ok {
		return reply{}, code
	}
	return reply{head: appendMultiHeader(b, opError, true, -1)}, ok
}

// multiHeader reads what stands before each step: type, done, error.
func multiHeader(d *decoder) (op opcode, done bool) {
	op, done = opcode(d.int32()), d.bool()
	d.int32()
	return op, done || d.err != nil
}

func appendMultiHeader(b []byte, op opcode, done bool, err int32) []byte {
	return appendInt32(appendBool(appendInt32(b, int32(op)), done), err)
}

func failedMulti(steps, at int, c code) []byte {
	var b []byte
	for i := range steps {
		code := ok
		if i == at {
			code = c
		} else if i > at {
			code = runtimeInconsistency
		}
		b = appendMultiHeader(b, opError, false, int32(code))
		b = appendInt32(b, int32(code))
	}
	return appendMultiHeader(b, opError, true, -1)
}

// multiRead answers several reads, each with its own error.
func (s *Server) multiRead(c *conn, d *decoder) (reply, code) {
	type ask struct {
		op   opcode
		path string
	}
	var asks []ask
	for {
		op, done := multiHeader(d)
		if done {
			break
		}
		a := ask{op, d.path()}
		d.bool() // a watch cannot be set here
		if d.err != nil || op != opGetChildren && op != opGetData || len(asks) == maxSteps {
			return reply{}, marshallingError
		}
		asks = append(asks, a)
	}
	if d.err != nil {
		return reply{}, marshallingError
	}
	var b []byte
	for _, a := range asks {
		r, code := s.readNode(c, a.op, a.path, false)
		if code != ok {
			b = appendInt32(appendMultiHeader(b, opError, false, int32(code)), int32(code))
			continue
		}
		b = appendMultiHeader(b, a.op, false, 0)
		b = append(append(append(b, r.head...), r.shared...), r.tail...)
		if len(b) > softQueue { // a small request may ask for one large list over and over
			return reply{}, marshallingError
		}
	}
	return reply{head: appendMultiHeader(b, opError, true, -1)}, ok
}
