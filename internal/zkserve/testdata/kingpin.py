# What KingPin does with kazoo: join a serverset, watch it, read it back, take a lock, change a version under it, leave.
import sys
import threading
import uuid

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError
from kazoo.recipe.watchers import ChildrenWatch, DataWatch
from kazoo.security import make_digest_acl

hosts, root = sys.argv[1], sys.argv[2]


def client(**kw):
    c = KazooClient(hosts=hosts, timeout=4.0, **kw)
    c.start(timeout=20)
    return c


agent, reader = client(), client(read_only=True)
print("version", agent.server_version()[:2])

serverset = root + "/discovery/checkout/prod"
agent.ensure_path(serverset)
seen, joined, left = [], threading.Event(), threading.Event()


def on_change(children):
    seen.append(len(children))
    if len(children) == 2:
        joined.set()
    if joined.is_set() and len(children) == 1:
        left.set()


ChildrenWatch(reader, serverset, on_change)
members = ["%s-10.0.0.%d:8001" % (uuid.uuid4().hex, i) for i in (1, 2)]
for m in members:
    agent.create(serverset + "/" + m, m.split("-")[1].encode(), ephemeral=True)
joined.wait(10)
print("members", sorted(c.split("-", 1)[1] for c in reader.get_children(serverset)))
data, stat = reader.get(serverset + "/" + members[0])
print("member", data, stat.ephemeralOwner == agent.client_id[0], stat.version)
try:
    agent.create(serverset + "/" + members[0], b"", ephemeral=True)
except NodeExistsError:
    print("exists")
agent.delete(serverset + "/" + members[0])
left.wait(10)
print("left", seen[-1])

config = root + "/config/manageddata/spam/x"
versions, third = [], threading.Event()


def on_data(data, stat):
    versions.append(data)
    if data == b"1452000000.12":
        third.set()


DataWatch(reader, config, on_data)
agent.create(config, b"1", makepath=True)
with agent.Lock(config + ".lock", "me"):
    print("contenders", reader.Lock(config + ".lock").contenders())
    other = reader.Lock(config + ".lock", "other")
    print("second", other.acquire(blocking=False))
    agent.set(config, b"1452000000.12", version=0)
print("then", other.acquire(timeout=10))
other.release()
try:
    agent.set(config, b"2", version=0)
except BadVersionError:
    print("bad version")
third.wait(10)
print("versions", versions[0], versions[-1])

t = agent.transaction()
t.check(config, version=1)
t.create(root + "/tx", b"1")
t.set_data(root + "/tx", b"2")
t.delete(root + "/tx")
print("transaction", [type(r).__name__ for r in t.commit()])
t = agent.transaction()
t.create(root + "/tx", b"1")
t.check(config, version=9)
t.create(root + "/tx2", b"1")
print("transaction", [type(r).__name__ for r in t.commit()], agent.exists(root + "/tx"))

print("sequence", agent.create(root + "/s-", b"", sequence=True).split("/")[-1], agent.create(root + "/s-", b"", sequence=True, include_data=True)[0].split("/")[-1])
secret = client(auth_data=[("digest", "joe:secret")])
secret.create(root + "/secret", b"x", acl=[make_digest_acl("joe", "secret", all=True)])
try:
    reader.get(root + "/secret")
except Exception as e:
    print("secret", type(e).__name__)
print("election", end=" ")
agent.Election(root + "/election", "a").run(lambda: print("won"))
secret.delete(root, recursive=True)
print("gone", reader.exists(root))
for c in (agent, reader, secret):
    c.stop()
    c.close()
