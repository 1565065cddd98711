# KingPin's way with kazoo: registers HOST:PORT… below PATH, each as an ephemeral of its own name, then prints the endpoints of the serverset OTHER as KingPin's readers
# take them, out of the names, and leaves when standard input ends.
import sys
import time
import uuid

from kazoo.client import KazooClient

hosts, path, other = sys.argv[1:4]
zk = KazooClient(hosts=hosts, timeout=4.0)
zk.start(timeout=20)
zk.ensure_path(path)
for endpoint in sys.argv[4:]:
    zk.create(path + "/" + uuid.uuid4().hex + "-" + endpoint, endpoint.encode(), ephemeral=True)
print("joined", flush=True)
for _ in range(400):
    names = zk.get_children(other) if zk.exists(other) else []
    if names:
        break
    time.sleep(0.05)
print("reads", " ".join(sorted(n.split("-", 1)[1] for n in names)), flush=True)
sys.stdin.read()
zk.stop()
