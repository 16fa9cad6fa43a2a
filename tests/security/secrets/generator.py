"""A labelled set: secrets of many kinds in realistic text, and harmless text like it. Seeded: it is always the same."""
# ruff: noqa: E501 - a sample is one line

import base64
import hashlib
import json
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

LETTERS = string.ascii_letters
ALNUM = LETTERS + string.digits
BASE64 = ALNUM + "+/"
URLSAFE = ALNUM + "-_"
HEX = "0123456789abcdef"
BASE32 = string.ascii_uppercase + "234567"
WORDS = (  # noqa: SIM905
    "retry backoff timeout cache index queue worker deploy cluster migration schema vacuum replica shard token parser "
    "latency budget circuit breaker idempotent handler pool session cookie header gateway proxy tenant rollback"
).split()


@dataclass(frozen=True)
class Sample:
    """A text, the kind of secret in it (empty for none), and the secret itself."""

    kind: str
    text: str
    secret: str = ""


class Maker:
    """Makes the parts of samples from one source of chance."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def chars(self, alphabet: str, length: int) -> str:
        return "".join(self.random.choices(alphabet, k=length))

    def sentence(self, words: int = 8) -> str:
        return " ".join(self.random.choices(WORDS, k=words)).capitalize() + "."

    def word(self) -> str:
        return self.random.choice(WORDS)

    def password(self) -> str:
        """A password as people and generators make them: letters, digits, mostly a sign."""
        word = self.random.choice(("Winter", "dragon", "Tr0ub4dor", "s3cur3", "Kestrel", "orange", "Falcon"))
        return self.random.choice(
            (
                lambda: f"{word}{self.random.randrange(10, 9999)}!",
                lambda: f"{word}-{self.chars(ALNUM, 6)}{self.random.randrange(10)}",
                lambda: self.chars(ALNUM + "!#%*+-_.", 15) + str(self.random.randrange(10)),
                lambda: self.chars(ALNUM, 19) + str(self.random.randrange(10)),
            )
        )()

    def host(self) -> str:
        return f"{self.word()}-{self.random.randrange(1, 99)}.{self.random.choice(('acme', 'initech', 'hooli'))}.io"

    def wrapped(self, data: str, width: int = 64) -> str:
        return "\n".join(data[i : i + width] for i in range(0, len(data), width))

    def jwt(self) -> str:
        def part(value: object) -> str:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

        claims = {"sub": str(self.random.randrange(10**9)), "name": self.word(), "iat": 1700000000}
        return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.{self.chars(URLSAFE, 43)}"

    def pem(self, label: str, size: int) -> str:
        body = self.wrapped(self.chars(BASE64, size))
        return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----"


def _line(name: str) -> Callable[[Maker, str], str]:
    """The ways in which people write an assignment."""

    def write(make: Maker, secret: str) -> str:
        return make.random.choice(
            (
                f"{name}={secret}",
                f"export {name.upper()}={secret}",
                f'{name} = "{secret}"',
                f"{name}: {secret}",
                f'"{name}": "{secret}"',
                f"{name} := '{secret}'",
            )
        )

    return write


def _bare(make: Maker, secret: str) -> str:
    return make.random.choice(
        (
            f"use {secret} for it",
            f"curl -H 'Authorization: Bearer {secret}' https://{make.host()}/v1/items",
            f"TOKEN={secret}",
            f'client = Client("{secret}")',
            f"{make.word()}: {secret}",
        )
    )


def _alone(_make: Maker, secret: str) -> str:
    return secret


Kind = tuple[Callable[[Maker], str], Callable[[Maker, str], str]]

KINDS: dict[str, Kind] = {
    "aws access key": (
        lambda m: (
            f"aws_access_key_id = AKIA{m.chars(BASE32, 16)}\naws_secret_access_key = {m.chars(BASE64, 40)}"
        ),
        _alone,
    ),
    "aws secret": (lambda m: m.chars(BASE64, 40), _line("aws_secret_access_key")),
    "gcp api key": (lambda m: "AIza" + m.chars(URLSAFE, 35), _bare),
    "gcp service account": (
        lambda m: json.dumps(
            {
                "type": "service_account",
                "project_id": f"{m.word()}-{m.random.randrange(99)}",
                "private_key_id": m.chars(HEX, 40),
                "private_key": m.pem("PRIVATE KEY", 1600) + "\n",
                "client_email": f"{m.word()}@{m.word()}.iam.gserviceaccount.com",
            }
        ),
        _alone,
    ),
    "azure storage": (
        lambda m: (
            f"DefaultEndpointsProtocol=https;AccountName={m.word()}{m.random.randrange(99)};"
            f"AccountKey={m.chars(BASE64, 86)}==;EndpointSuffix=core.windows.net"
        ),
        _alone,
    ),
    "azure client secret": (
        lambda m: f"{m.chars(ALNUM, 3)}{m.random.randrange(10)}Q~{m.chars(ALNUM + '~_.-', 34)}",
        _line("azure_client_secret"),
    ),
    "github": (lambda m: f"gh{m.random.choice('pousr')}_{m.chars(ALNUM, 36)}", _bare),
    "github fine-grained": (lambda m: f"github_pat_{m.chars(ALNUM, 22)}_{m.chars(ALNUM, 59)}", _bare),
    "gitlab": (lambda m: f"glpat-{m.chars(URLSAFE, 20)}", _bare),
    "slack bot": (
        lambda m: f"xoxb-{m.chars(string.digits, 12)}-{m.chars(string.digits, 13)}-{m.chars(ALNUM, 24)}",
        _bare,
    ),
    "slack webhook": (
        lambda m: (
            "https://hooks.slack.com/services/"
            f"T{m.chars(ALNUM.upper(), 10)}/B{m.chars(ALNUM.upper(), 10)}/{m.chars(ALNUM, 24)}"
        ),
        _alone,
    ),
    "stripe": (lambda m: f"sk_live_{m.chars(ALNUM, 24)}", _bare),
    "openai": (lambda m: f"sk-proj-{m.chars(URLSAFE, 74)}T3BlbkFJ{m.chars(URLSAFE, 74)}", _bare),
    "anthropic": (lambda m: f"sk-ant-api03-{m.chars(URLSAFE, 93)}AA", _bare),
    "npm": (lambda m: f"npm_{m.chars(ALNUM, 36)}", _bare),
    "pypi": (lambda m: f"pypi-AgEIcHlwaS5vcmc{m.chars(URLSAFE, 120)}", _bare),
    "jwt": (lambda m: m.jwt(), _bare),
    "private key rsa": (lambda m: m.pem("RSA PRIVATE KEY", 1600), _alone),
    "private key ec": (lambda m: m.pem("EC PRIVATE KEY", 160), _alone),
    "private key openssh": (
        lambda m: m.pem("OPENSSH PRIVATE KEY", 380),
        _alone,
    ),
    "private key pgp": (lambda m: m.pem("PGP PRIVATE KEY BLOCK", 900), _alone),
    "postgres uri": (
        lambda m: f"postgresql://{m.word()}:{m.password().replace('%', '')}@{m.host()}:5432/{m.word()}",
        _line("database_url"),
    ),
    "postgres keywords": (
        lambda m: f"host={m.host()} port=5432 user={m.word()} password={m.password()} dbname={m.word()}",
        _alone,
    ),
    "mysql uri": (lambda m: f"mysql://root:{m.chars(ALNUM, 12)}7@{m.host()}/app", _alone),
    "mongodb uri": (
        lambda m: (
            f"mongodb+srv://{m.word()}:{m.chars(ALNUM, 14)}5@cluster0.{m.chars(HEX, 5)}.mongodb.net/app"
        ),
        _alone,
    ),
    "redis uri": (lambda m: f"redis://:{m.chars(ALNUM, 18)}9@{m.host()}:6379/0", _line("redis_url")),
    "amqp uri": (lambda m: f"amqps://{m.word()}:{m.chars(ALNUM, 20)}3@{m.host()}/vhost", _alone),
    "nats uri": (lambda m: f"nats://{m.word()}:{m.chars(ALNUM, 16)}4@{m.host()}:4222", _alone),
    "basic auth url": (
        lambda m: f"https://{m.word()}:{m.password().replace('#', '')}@{m.host()}/repo.git",
        _alone,
    ),
    "basic auth header": (
        lambda m: "Authorization: Basic " + base64.b64encode(f"{m.word()}:{m.password()}".encode()).decode(),
        _alone,
    ),
    "bearer token": (lambda m: f"Authorization: Bearer {m.chars(URLSAFE, 40)}", _alone),
    "password": (lambda m: m.password(), _line("password")),
    "password prefixed": (lambda m: m.password(), _line("db_password")),
    "password in a sentence": (
        lambda m: (
            f"{m.random.choice(('The', 'the database', 'its admin'))} password "
            f"{m.random.choice(('is', 'was'))} {m.password()}"
        ),
        _alone,
    ),
    "passphrase": (lambda m: m.password(), _line("passphrase")),
    "command line": (
        lambda m: m.random.choice(
            (
                f"mysql -u root --password={m.password()} app",
                f"PGPASSWORD={m.password()} psql -h {m.host()}",
                f"curl -u {m.word()}:{m.chars(ALNUM, 14)}8 https://{m.host()}/api",
                f"sshpass -p {m.chars(ALNUM, 12)}6 ssh {m.host()}",
            )
        ),
        _alone,
    ),
    "secret key": (lambda m: m.chars(ALNUM + "-_", 50), _line("secret_key")),
    "api key": (lambda m: m.chars(HEX, 32), _line("api_key")),
    "client secret": (lambda m: m.chars(URLSAFE, 32) + "1", _line("client_secret")),
    "access token": (lambda m: m.chars(ALNUM, 40) + "2", _line("access_token")),
    "twilio": (lambda m: f"SK{m.chars(HEX, 32)}", _line("twilio_api_key")),
    "sendgrid": (lambda m: f"SG.{m.chars(URLSAFE, 22)}.{m.chars(URLSAFE, 43)}", _bare),
    "discord": (
        lambda m: f"M{m.chars(ALNUM, 23)}.{m.chars(ALNUM, 6)}.{m.chars(URLSAFE, 38)}",
        _line("discord_token"),
    ),
    "telegram": (
        lambda m: f"{m.random.randrange(10**8, 10**10)}:AA{m.chars(URLSAFE, 33)}",
        _line("telegram_bot_token"),
    ),
    "heroku": (lambda m: str(uuid.UUID(int=m.random.getrandbits(128), version=4)), _line("heroku_api_key")),
    "digitalocean": (lambda m: f"dop_v1_{m.chars(HEX, 64)}", _bare),
    "cloudflare": (lambda m: m.chars(URLSAFE, 40), _line("cloudflare_api_token")),
    "datadog": (lambda m: m.chars(HEX, 32), _line("datadog_api_key")),
    "nats seed": (
        lambda m: f"S{m.random.choice('UAO')}{m.random.choice('ABCD')}{m.chars(BASE32, 55)}",
        _bare,
    ),
    "nats creds": (
        lambda m: f"-----BEGIN USER NKEY SEED-----\nSUA{m.chars(BASE32, 55)}\n------END USER NKEY SEED------",
        _alone,
    ),
    "netrc": (lambda m: f"machine {m.host()} login {m.word()} password {m.password()}", _alone),
    "dotenv": (
        lambda m: f"DEBUG=1\nPORT=8080\n{m.word().upper()}_SECRET={m.chars(ALNUM, 24)}7\nLOG_LEVEL=info",
        _alone,
    ),
    "kubernetes": (
        lambda m: (
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: "
            f"{m.word()}\ndata:\n  password: {base64.b64encode((m.password() + 'x1').encode()).decode()}"
        ),
        _alone,
    ),
    "hugging face": (lambda m: f"hf_{m.chars(LETTERS, 34)}", _bare),
    "docker hub": (lambda m: f"dckr_pat_{m.chars(URLSAFE, 27)}", _bare),
    "vault": (lambda m: f"hvs.{m.chars(URLSAFE, 95)}", _bare),
    "shopify": (lambda m: f"shpat_{m.chars(HEX, 32)}", _bare),
    "xml": (lambda m: f"<dbPassword>{m.password().replace('<', '')}</dbPassword>", _alone),
    "terraform": (lambda m: f'variable "db_password" {{ default = "{m.password()}" }}', _alone),
    "docker login": (
        lambda m: f"docker login -u {m.word()} -p {m.chars(ALNUM, 12)}7 registry.acme.io",
        _alone,
    ),
    "password in german": (lambda m: m.password(), _line("passwort")),
    "stripe webhook": (lambda m: f"whsec_{m.chars(ALNUM, 32)}", _bare),
    "unix hash": (
        lambda m: f"{m.word()}:$6${m.chars(ALNUM, 8)}${m.chars(ALNUM + './', 86)}:19000:0:99999:7:::",
        _alone,
    ),
    "pgpass": (lambda m: f"{m.host()}:5432:app:{m.word()}:{m.chars(ALNUM, 11)}4", _alone),
    "putty": (
        lambda m: (
            f"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\n{m.chars(BASE64, 64)}"
        ),
        _alone,
    ),
    "kubeconfig": (
        lambda m: "client-key-data: " + base64.b64encode(m.pem("RSA PRIVATE KEY", 400).encode()).decode(),
        _alone,
    ),
    "age": (lambda m: f"AGE-SECRET-KEY-1{m.chars('QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L', 58)}", _bare),
}


def secrets(seed: int, each: int = 8) -> Iterator[Sample]:
    """Secrets of every kind, each between sentences."""
    make = Maker(seed)
    for kind, (secret, write) in KINDS.items():
        for _ in range(each):
            value = secret(make)
            yield Sample(kind, f"{make.sentence()}\n{write(make, value)}\n{make.sentence()}", value)


HARMLESS: dict[str, Callable[[Maker], str]] = {
    "prose": lambda m: " ".join(m.sentence(m.random.randrange(4, 12)) for _ in range(4)),
    "prose on passwords": lambda m: m.random.choice((
        "Never log a password; keep the token in the session and rotate the secret every 90 days.",
        "The password is hashed with argon2id before it is stored, the API key is only shown once.",
        "Password must be at least 12 characters. The secret is stored in a vault, the token expires after 3600s.",
        "If the access token is expired, use the refresh token; the client secret comes from the environment.",
        "The password was wrong, so the handler returned 401 and the retry budget was spent.",
        "Use password: <your password> and api_key: <your api key> in the config file.",
    )) + " " + m.sentence(),
    "sha256": lambda m: f"checksum sha256:{hashlib.sha256(m.chars(ALNUM, 9).encode()).hexdigest()} {m.sentence()}",
    "git": lambda m: f"fixed in commit {m.chars(HEX, 40)}, see also {m.chars(HEX, 7)}",
    "image": lambda m: f"image: registry.acme.io/{m.word()}/{m.word()}@sha256:{m.chars(HEX, 64)}",
    "uuid": lambda m: f"request_id={uuid.UUID(int=m.random.getrandbits(128), version=4)} took {m.random.random():.3f}s",
    "uuid field": lambda m: f'"artifact_id": "{uuid.UUID(int=m.random.getrandbits(128), version=4)}", "revision": 7',
    "integrity": lambda m: f'"integrity": "sha512-{m.chars(BASE64, 86)}=="',
    "base64 image": lambda m: f'<img src="data:image/png;base64,iVBORw0KGgo{m.chars(BASE64, 200)}=">',
    "base64 text": lambda m: base64.b64encode(m.sentence(12).encode()).decode(),
    "certificate": lambda m: m.pem("CERTIFICATE", 800),
    "public key": lambda m: m.pem("PUBLIC KEY", 390),
    "ssh public key": lambda m: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{m.chars(BASE64, 44)} {m.word()}@{m.word()}",
    "environment": lambda m: m.random.choice((
        'password = os.environ["DB_PASSWORD"]',
        "api_key: ${API_KEY}",
        "token = $(vault read -field=token secret/app)",
        'const secret = process.env.CLIENT_SECRET || ""',
        "password: {{ vault_db_password }}",
        "PGPASSWORD=$DB_PASSWORD1 psql -h db1",
        "password: !vault /secret/data/app1#password",
    )),
    "placeholder": lambda m: m.random.choice((
        "password=changeme", "password: <password>", "api_key = YOUR_API_KEY_HERE", "token: xxxxxxxxxxxxxxxx",
        "DATABASE_URL=postgres://user:password@localhost:5432/app", "secret_key = 'REPLACE_ME_123'",
        "password = '********'", "access_token: example_token_1234", "AWS_SECRET_ACCESS_KEY=<your-secret-key>",
        "https://user:pass@example.com/path", "client_secret: TODO", "password=${PASSWORD:-default1}",
    )),
    "code": lambda m: m.random.choice((
        "def check_password(password: str, hashed: bytes) -> bool:\n    return bcrypt.checkpw(password.encode(), hashed)",
        "token = tokenizer.next_token(stream2)\nif token.type == TokenType.STRING_LITERAL_2:\n    advance(token)",
        "for (const key of Object.keys(map1)) { cache.set(key, map1[key]); }",
        "secret_name: my-app-secret-v2\nsecretRef:\n  name: postgres-credentials-2",
        "password_reset_token_expires_in = timedelta(hours=24)",
        "max_tokens = 4096\ntoken_limit: 128000\nprimary_key = user_id2",
        "let token_bucket = TokenBucket::new(100, Duration::from_secs(60));",
        "api_key_header = APIKeyHeader(name='X-API-Key2', auto_error=False)",
        "passwordField.setTextContentType(.newPassword)\nlabel.text = NSLocalizedString(\"password_title_1\", nil)",
        "sort_key=created_at2 partition_key=tenant_id_v2 foreign_key=orders_2024",
    )) + f"\n# {m.sentence()}",
    "sql": lambda m: f"create index {m.word()}_{m.random.randrange(99)} on {m.word()} (tenant_id, created_at desc) "
    f"where {m.word()}_key = '{m.word()}-{m.random.randrange(999)}'",
    "url": lambda m: f"https://{m.host()}/docs/{m.word()}/{m.chars(HEX, 8)}?page={m.random.randrange(99)}&q={m.word()}",
    "log": lambda m: f"2026-11-{m.random.randrange(1, 29):02} 12:00:{m.random.randrange(60):02} ERROR [{m.word()}-"
    f"{m.random.randrange(9)}] trace={m.chars(HEX, 32)} span={m.chars(HEX, 16)} {m.sentence()}",
    "json": lambda m: json.dumps({m.word(): m.random.randrange(10**6), "steps": [m.sentence(), m.sentence()],
                                  "hash": m.chars(HEX, 32), "key": f"{m.word()}/{m.word()}"}),
    "version lock": lambda m: f"{m.word()}=={m.random.randrange(9)}.{m.random.randrange(20)}.1 \\\n    "
    f"--hash=sha256:{m.chars(HEX, 64)}",
    "etag": lambda m: f'ETag: "{m.chars(HEX, 32)}"\nX-Amz-Request-Id: {m.chars(BASE32, 16)}\nCache-Key: {m.word()}-v3',
    "identifiers": lambda m: f"arn:aws:iam::{m.chars(string.digits, 12)}:role/{m.word()}-{m.word()} "
    f"ami-{m.chars(HEX, 17)} subnet-{m.chars(HEX, 17)}",
}  # fmt: skip


def harmless(seed: int, count: int = 3000) -> Iterator[Sample]:
    """Texts without secrets."""
    make = Maker(seed)
    kinds = list(HARMLESS.values())
    for number in range(count):
        text = kinds[number % len(kinds)](make)
        yield Sample("", f"{make.sentence(4)}\n{text}" if make.random.random() < 0.5 else text)
