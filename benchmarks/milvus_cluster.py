"""A real distributed Milvus on one machine: etcd, a Kafka broker, and six Milvus processes.

Needs Debian's ``etcd-server`` and ``pip install milvus==2.3.5 confluent-kafka``, and a network
namespace of its own (``unshare --net``), since the processes listen on all interfaces. The broker
is librdkafka's mock; it keeps 5 MB a partition, so it is for tests alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from milvus_server import configured, healthy
from namespace import loopback_up

PROXY = 29530
PORTS = {
    "rootCoord": 53100,
    "proxy": PROXY,
    "queryCoord": 19531,
    "queryNode": 21123,
    "indexNode": 21121,
    "dataCoord": 13333,
    "dataNode": 21124,
}
COORDINATORS = ["mixture", "-rootcoord", "-querycoord", "-datacoord", "-indexcoord"]
#: For each process: its roles, the port of its metrics, and other ports than the usual.
ROLES: dict[str, tuple[list[str], int, dict[str, int]]] = {
    "coordinators": (COORDINATORS, 9101, {}),
    "datanode": (["datanode"], 9102, {}),
    "indexnode": (["indexnode"], 9103, {}),
    "querynode1": (["querynode"], 9104, {}),
    "querynode2": (["querynode"], 9105, {"queryNode": 21133}),
    "proxy": (["proxy"], 9106, {}),
}
#: Seconds each role needs before the next can find it.
PAUSES = {"coordinators": 4, "querynode2": 3}
READY_S = 120


@contextmanager
def running_cluster(folder: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start the cluster in this namespace; yield its processes by name, end them afterwards."""
    loopback_up()
    home = configured(folder / "milvus", PROXY)
    work = folder / "cluster"
    shutil.rmtree(work, ignore_errors=True)
    (work / "data").mkdir(parents=True)
    processes = {"etcd": start_etcd(work)}
    try:
        _owner, broker = start_broker()
        settings = cluster_settings(home, work, broker)
        time.sleep(2)
        for name in ROLES:
            processes[name] = start_role(name, home, work, settings)
            time.sleep(PAUSES.get(name, 0))
        wait_until_healthy(processes, work)
        yield processes
    finally:
        for process in reversed(list(processes.values())):
            process.terminate()
        time.sleep(3)
        for process in processes.values():
            process.kill()
            process.wait()


def start_etcd(work: Path) -> subprocess.Popen[bytes]:
    here, peer = "http://127.0.0.1:12379", "http://127.0.0.1:12380"
    command = ["etcd", "--data-dir", str(work / "etcd")]
    command += ["--listen-client-urls", here, "--advertise-client-urls", here]
    command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    command += ["--initial-cluster", f"default={peer}"]
    return start(work, "etcd", command)


def start_broker() -> tuple[object, str]:
    """Return the owner of the broker, which lives as long as it does, and host:port."""
    from confluent_kafka import Producer

    owner = Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1})
    broker = next(iter(owner.list_topics(timeout=10).brokers.values()))
    return owner, f"{broker.host}:{broker.port}"


def cluster_settings(home: Path, work: Path, broker: str) -> str:
    """Return milvus.yaml for external etcd and Kafka."""
    text = (home / "configs" / "milvus.yaml").read_text()
    text = re.sub(r"endpoints: .*", "endpoints: 127.0.0.1:12379", text, count=1)
    text = text.replace("embed: true", "embed: false", 1)
    text = re.sub(r"^  type: rocksmq", "  type: kafka", text, flags=re.MULTILINE)
    text = text.replace("# kafka:\n", "kafka:\n")
    text = text.replace("#   brokerList:", f"  brokerList: {broker}")
    text = text.replace("#   readTimeout: 10", "  readTimeout: 10")
    for key in (
        "saslUsername:",
        "saslPassword:",
        "saslMechanisms: PLAIN",
        "securityProtocol: SASL",
    ):
        text = text.replace(f"#   {key}", f"  {key}")
    return text.replace(str(home / "data"), str(work / "data"))


def start_role(name: str, home: Path, work: Path, settings: str) -> subprocess.Popen[bytes]:
    roles, metrics, ports = ROLES[name]
    own = settings
    for section, number in {**PORTS, **ports}.items():
        pattern = re.compile(rf"(^{section}:.*?^  port: )\d+", re.MULTILINE | re.DOTALL)
        own = pattern.sub(rf"\g<1>{number}", own, count=1)
    conf = work / f"conf_{name}"
    conf.mkdir()
    (work / f"run_{name}").mkdir()
    (conf / "milvus.yaml").write_text(own.replace(str(home / "logs"), f"{work}/logs_{name}"))
    shutil.copy(home / "configs" / "glog.conf", conf)
    environment = {
        **os.environ,
        "MILVUSCONF": str(conf),
        "DEPLOY_MODE": "DISTRIBUTED",
        "METRICS_PORT": str(metrics),
        "MILVUS_RUN_DIR": f"{work}/run_{name}",
        "LD_LIBRARY_PATH": str(home / "bin"),
        "LOCALSTORAGE_PATH": str(work / "data"),
    }
    return start(work, name, [str(home / "bin" / "milvus"), "run", *roles], environment)


def start(
    work: Path, name: str, command: list[str], environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    with open(work / f"{name}.log", "wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=work
        )


def wait_until_healthy(processes: dict[str, subprocess.Popen[bytes]], work: Path) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < READY_S:
        if ended := [name for name, process in processes.items() if process.poll() is not None]:
            sys.exit(f"ended early: {ended}; see {work}/*.log")
        if all(healthy(metrics) for _, metrics, _ in ROLES.values()):
            return
        time.sleep(1)
    sys.exit(f"not healthy within {READY_S} s; see {work}/*.log")
