package zkserve

import "strconv"

// code is an error of ZooKeeper's protocol (org.apache.zookeeper.KeeperException.Code).
type code int32

const (
	ok                      code = 0
	systemError             code = -1
	runtimeInconsistency    code = -2
	marshallingError        code = -5
	unimplemented           code = -6
	badArguments            code = -8
	noNode                  code = -101
	noAuth                  code = -102
	badVersion              code = -103
	noChildrenForEphemerals code = -108
	nodeExists              code = -110
	notEmpty                code = -111
	invalidACL              code = -114
	authFailed              code = -115
	noWatcher               code = -121
	reconfigDisabled        code = -123
	quotaExceeded           code = -125
	throttled               code = -127
)

func (c code) Error() string { return "zookeeper error " + strconv.Itoa(int(c)) }

// opcode says what a request wants (org.apache.zookeeper.ZooDefs.OpCode).
type opcode int32

const (
	opCreate            opcode = 1
	opDelete            opcode = 2
	opExists            opcode = 3
	opGetData           opcode = 4
	opSetData           opcode = 5
	opGetACL            opcode = 6
	opSetACL            opcode = 7
	opGetChildren       opcode = 8
	opSync              opcode = 9
	opPing              opcode = 11
	opGetChildren2      opcode = 12
	opCheck             opcode = 13
	opMulti             opcode = 14
	opCreate2           opcode = 15
	opReconfig          opcode = 16
	opCheckWatches      opcode = 17
	opRemoveWatches     opcode = 18
	opCreateContainer   opcode = 19
	opCreateTTL         opcode = 21
	opMultiRead         opcode = 22
	opAuth              opcode = 100
	opSetWatches        opcode = 101
	opSASL              opcode = 102
	opGetEphemerals     opcode = 103
	opAllChildrenNumber opcode = 104
	opSetWatches2       opcode = 105
	opAddWatch          opcode = 106
	opWhoAmI            opcode = 107
	opCloseSession      opcode = -11
	opError             opcode = -1
)

// Transaction numbers that replies carry in place of the request's.
const (
	xidNotification int32 = -1
	xidPing         int32 = -2
)

// The kinds of a new znode (org.apache.zookeeper.CreateMode).
const (
	flagEphemeral     = 1
	flagSequential    = 2
	flagContainer     = 4
	flagTTL           = 5
	flagTTLSequential = 6
)

// The types of a watch event (org.apache.zookeeper.Watcher.Event.EventType).
const (
	eventCreated         int32 = 1
	eventDeleted         int32 = 2
	eventDataChanged     int32 = 3
	eventChildrenChanged int32 = 4

	stateConnected int32 = 3
)
