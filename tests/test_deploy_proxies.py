"""The examples of release/deploy in front of the service: Apache with a real LDAP, and nginx."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from braincase.errors import UsageError
from braincase.web.security.proxy_kinds import read_proxy
from braincase.web.security.users import add_user
from braincase.web.service_settings import ServiceSettings
from gallery_cases import filled_gallery
from real_provider import free_port
from web_service import API, serving, settings_for, wait_for

DEPLOY = Path(__file__).parents[1] / "release" / "deploy"
MODULES = Path("/usr/lib/apache2/modules")
PASSWORD = "a long password"
SECRET = "5" * 64
GROUPS = {"rita": ["radiology"], "carl": ["radiology", "librarians"], "cook": ["kitchen"], "no": []}
#: What Debian's a2enmod would load, besides what the example names.
LOADED = ("mpm_event", "authn_core", "authz_core", "authz_user", "auth_basic", "ssl", "headers",
          "proxy", "proxy_http", "ldap", "authnz_ldap")  # fmt: skip


def why_not(*programs: str) -> str | None:
    missing = [program for program in programs if not shutil.which(program, path=PATH)]
    return f"no program {missing[0]}" if missing else None


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of this machine, its own authority, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", names,
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery that nobody searches."""
    folder = tmp_path_factory.mktemp("deploy") / "gallery"
    filled_gallery(folder, 3).close()
    return folder


def trusting(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate[0])


@contextmanager
def running(command: list[str | Path], port: int) -> Iterator[None]:
    """Run a server in the foreground until it has been used."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            wait_for(lambda: server.poll() is not None or _answers(port), 20)
            assert server.poll() is None, server.stdout and server.stdout.read().decode()
            yield
        finally:
            server.terminate()
            server.wait(timeout=20)


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def ldif() -> str:
    """A directory of four people, with the groups as OpenLDAP's memberof overlay keeps them."""
    person = "objectClass: inetOrgPerson"
    entries = [
        "dn: dc=example\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: x"
    ]
    entries += [f"dn: ou={ou},dc=example\nobjectClass: organizationalUnit\nou: {ou}"
                for ou in ("people", "groups")]  # fmt: skip
    entries.append(f"dn: cn=braincase,dc=example\n{person}\nsn: x\nuserPassword: {PASSWORD}")
    for name, groups in GROUPS.items():
        member = "".join(f"memberOf: cn={g},ou=groups,dc=example\n" for g in groups)
        entries.append(
            f"dn: uid={name},ou=people,dc=example\n{person}\nuid: {name}\ncn: {name}\nsn: {name}\n"
            f"{member}userPassword: {PASSWORD}"
        )
    for group in ("radiology", "librarians", "kitchen"):
        members = "".join(f"member: uid={n},ou=people,dc=example\n"
                          for n, groups in GROUPS.items() if group in groups)  # fmt: skip
        entries.append(
            f"dn: cn={group},ou=groups,dc=example\nobjectClass: groupOfNames\n{members}cn: {group}"
        )
    return "\n\n".join(entries) + "\n"


@contextmanager
def running_ldap(folder: Path, certificate: tuple[Path, Path]) -> Iterator[int]:
    """A real OpenLDAP server with TLS; yield its port."""
    port = free_port()
    (folder / "db").mkdir()
    config = folder / "slapd.conf"
    config.write_text(
        "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n"
        "include /etc/ldap/schema/inetorgperson.schema\n"
        "modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload memberof\n"
        f"pidfile {folder}/pid\n"
        f"TLSCertificateFile {certificate[0]}\nTLSCertificateKeyFile {certificate[1]}\n"
        f'database mdb\nsuffix "dc=example"\nmaxsize 1048576\ndirectory {folder}/db\n'
        "overlay memberof\n"
        "access to attrs=userPassword by anonymous auth by * none\n"
        'access to * by dn.exact="cn=braincase,dc=example" read by * none\n'
    )
    (folder / "people.ldif").write_text(ldif())
    add = ["/usr/sbin/slapadd", "-f", config, "-l", folder / "people.ldif"]
    done = subprocess.run(add, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    serve = ["/usr/sbin/slapd", "-d", "0", "-f", config, "-h", f"ldaps://127.0.0.1:{port}"]
    with running(serve, port):
        yield port


def defined(example: str, values: dict[str, object]) -> str:
    """The example with other values of its `Define` lines, and nothing else changed."""
    for name, value in values.items():
        example, n = re.subn(rf"(?m)^Define {name} .*$", f"Define {name} {value}", example)
        assert n == 1, name
    return example


@contextmanager
def running_apache(folder: Path, values: dict[str, object], port: int) -> Iterator[None]:
    """A real Apache with the example, as Debian would load it."""
    example = folder / "braincase.conf"
    example.write_text(defined((DEPLOY / "apache-ldap.conf").read_text(), values))
    main = folder / "apache2.conf"
    modules = "\n".join(f"LoadModule {m}_module {MODULES}/mod_{m}.so" for m in LOADED)
    main.write_text(
        f"ServerRoot {folder}\nPidFile {folder}/pid\nErrorLog {folder}/error.log\n"
        f"ServerName localhost\nDefaultRuntimeDir {folder}\nMutex file:{folder}\n{modules}\n"
        f"Listen 127.0.0.1:{port}\nInclude {example}\n"
    )
    checked = subprocess.run(
        ["/usr/sbin/apache2", "-t", "-f", main], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    with running(["/usr/sbin/apache2", "-X", "-f", main], port):
        yield


@pytest.fixture(scope="module")
def ldap_room(
    gallery: Path, certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, Path]]:
    """Addresses of Apache and of the service behind it, and the audit log."""
    if reason := why_not("apache2", "slapd", "openssl"):
        pytest.skip(f"no web server with LDAP: {reason}")
    folder = tmp_path_factory.mktemp("ldap")
    for file in ("apache-ldap.toml", "apache-ldap.conf"):
        shutil.copy(DEPLOY / file, folder / file)
    for name, text in {
        "proxy.secret": SECRET, "secret.conf": f"Define ROOM_SECRET {SECRET}",
        "password": PASSWORD,
    }.items():  # fmt: skip
        (folder / name).write_text(text + "\n")
        (folder / name).chmod(0o600)
    settings = settings_for(
        gallery, folder / "audit.jsonl", proxy=folder / "apache-ldap.toml", tls_elsewhere=True,
        hosts=("localhost",), client_header="X-Forwarded-For",
    )  # fmt: skip
    with ExitStack() as stack:
        service = stack.enter_context(serving(settings))
        ldap = stack.enter_context(running_ldap(folder, certificate))
        port = free_port()
        people = f"ldaps://127.0.0.1:{ldap}/ou=people,dc=example?uid,memberOf?sub"
        values: dict[str, object] = {
            "ROOM_LISTEN": port, "ROOM_NAME": "localhost", "ROOM_SERVICE": f"{service.base_url}/",
            "ROOM_CERTIFICATE": certificate[0], "ROOM_KEY": certificate[1],
            "ROOM_LDAP": f"{people}?(objectClass=person)", "ROOM_LDAP_CA": certificate[0],
            "ROOM_LDAP_USER": "cn=braincase,dc=example", "ROOM_LDAP_PASSWORD": folder / "password",
            "ROOM_SECRETS": folder / "secret.conf",
        }  # fmt: skip
        (folder / "apache").mkdir()
        stack.enter_context(running_apache(folder / "apache", values, port))
        yield f"https://localhost:{port}", str(service.base_url), folder / "audit.jsonl"


class TestApacheWithLdap:
    def test_people_of_the_directory_come_in_with_their_groups_role(
        self, ldap_room: tuple[str, str, Path], certificate: tuple[Path, Path]
    ) -> None:
        address, _, audit = ldap_room
        with httpx.Client(base_url=address, verify=trusting(certificate)) as client:
            answers = {
                name: client.get(f"{API}/me", auth=(name, PASSWORD))
                for name in ("rita", "RITA", "carl", "cook", "no", "nobody")
            }
            wrong = client.get(f"{API}/me", auth=("rita", "wrong"))
            empty = client.get(f"{API}/me", auth=("rita", ""))
            assert client.get("/metrics", auth=("rita", PASSWORD)).status_code == 403
        statuses = {name: answer.status_code for name, answer in answers.items()}
        assert statuses == {
            "rita": 200, "RITA": 200, "carl": 200, "cook": 401, "no": 401, "nobody": 401,
        }  # fmt: skip
        assert wrong.status_code == empty.status_code == 401
        roles = {
            n: (answers[n].json()["user"], answers[n].json()["role"]) for n in ("rita", "carl")
        }
        assert roles == {"rita": ("rita", "reader"), "carl": ("carl", "curator")}
        assert answers["RITA"].json()["user"] == "rita"
        assert "www-authenticate" in wrong.headers  # Apache's own refusal
        assert "www-authenticate" not in answers["cook"].headers  # the service's
        log = audit.read_text()
        assert PASSWORD not in log
        assert SECRET not in log

    def test_a_change_takes_the_pages_token_as_ever(
        self, ldap_room: tuple[str, str, Path], certificate: tuple[Path, Path]
    ) -> None:
        search = {"case": "sub-000_ses-1", "k": 2}
        with httpx.Client(
            base_url=ldap_room[0], verify=trusting(certificate), auth=("rita", PASSWORD)
        ) as client:
            forged = client.post(f"{API}/searches", json=search)
            assert (forged.status_code, forged.json()["error"]) == (403, "forged")
            own = {"X-CSRF-Token": client.get(f"{API}/me").json()["csrf"]}
            own["Origin"] = ldap_room[0]
            assert client.post(f"{API}/searches", json=search, headers=own).status_code == 200
        last = json.loads(ldap_room[2].read_text().splitlines()[-1])
        assert (last["user"], last["action"]) == ("rita", "search")

    def test_only_the_proxy_tells_who_asks(
        self, ldap_room: tuple[str, str, Path], certificate: tuple[Path, Path]
    ) -> None:
        address, service, _ = ldap_room
        admin = {"X-Braincase-User": "carl"}
        admin["X-Braincase-Groups"] = "cn=librarians,ou=groups,dc=example"
        guesses = ({}, {"X-Braincase-Secret": ""}, {"X-Braincase-Secret": "6" * 64})
        for guess in guesses:  # past Apache, as whoever is logged in on that machine could come
            assert httpx.get(f"{service}{API}/me", headers={**admin, **guess}).status_code == 401
        known = {**admin, "X-Braincase-Secret": SECRET}
        assert httpx.get(f"{service}{API}/me", headers=known).status_code == 200
        elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(transport=elsewhere) as client:
            assert client.get(f"{service}{API}/me", headers=known).status_code == 401
        twice = [*known.items(), ("X-Braincase-User", "ada")]
        assert httpx.get(f"{service}{API}/me", headers=twice).status_code == 401
        with httpx.Client(verify=trusting(certificate), auth=("rita", PASSWORD)) as client:
            me = client.get(f"{address}{API}/me", headers=known).json()
        assert (me["user"], me["role"]) == ("rita", "reader")


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        (("5" * 64, "short"), {}, "5 characters"),
        (("secret_header =", "header ="), {}, "unknown key 'header'"),
        (('"curator"', '"chief"'), {}, "role 'chief'"),
        (("", ""), {"host": "0.0.0.0", "tls_elsewhere": True}, "crosses the network in clear"),
    ],
)
def test_a_secret_that_cannot_protect_is_refused(
    tmp_path: Path, change: tuple[str, str], options: dict[str, object], says: str
) -> None:
    config = (DEPLOY / "apache-ldap.toml").read_text()
    (tmp_path / "proxy.toml").write_text(config.replace(*change))
    secret = tmp_path / "proxy.secret"
    secret.write_text(SECRET.replace(*change))
    secret.chmod(0o600)
    settings = ServiceSettings("gallery", proxy=tmp_path / "proxy.toml", **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError) as refused:
        read_proxy(tmp_path / "proxy.toml", settings)
    assert says in str(refused.value)


def test_nginx_in_front(gallery: Path, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    """release/deploy/nginx.conf with other ports and files, and nothing else changed."""
    if reason := why_not("nginx", "openssl"):
        pytest.skip(reason)
    port = free_port()
    add_user(tmp_path / "users.json", "rita", PASSWORD, "reader")
    settings = settings_for(
        gallery, tmp_path / "audit.jsonl", users=tmp_path / "users.json", tls_elsewhere=True,
        hosts=("localhost",), client_header="X-Forwarded-For",
    )  # fmt: skip
    with serving(settings) as service:
        example = (DEPLOY / "nginx.conf").read_text()
        for old, new in {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "reading-room.example": "localhost",
            "/etc/nginx/reading-room.pem": str(certificate[0]),
            "/etc/nginx/reading-room.key": str(certificate[1]),
            "http://127.0.0.1:8765": str(service.base_url),
        }.items():
            assert old in example
            example = example.replace(old, new)
        (tmp_path / "braincase.conf").write_text(example)
        main = tmp_path / "nginx.conf"
        main.write_text(
            f"daemon off; user root; pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}}\n"
            f"http {{ access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path"
            f" {tmp_path}/proxy; fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u;"
            f" scgi_temp_path {tmp_path}/s; include {tmp_path}/braincase.conf; }}\n"
        )
        address = f"https://localhost:{port}"
        with (
            running(["/usr/sbin/nginx", "-c", main], port),
            httpx.Client(base_url=address, verify=trusting(certificate)) as client,
        ):
            headers = {"Origin": address, "X-Forwarded-For": "1.2.3.4"}
            answer = client.post(
                f"{API}/login", json={"user": "rita", "password": PASSWORD}, headers=headers
            )
            assert answer.status_code == 200, answer.text
            assert "__Host-braincase" in answer.headers["set-cookie"]
            assert "strict-transport-security" in answer.headers
            assert client.get(f"{API}/me").json()["user"] == "rita"
            assert client.get("/metrics").status_code == 403
    login = json.loads((tmp_path / "audit.jsonl").read_text().splitlines()[0])
    assert (login["action"], login["client"]) == ("login", "127.0.0.1")  # not 1.2.3.4
