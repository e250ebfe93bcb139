"""
Which names of the standard library and of well-known packages break which rule, as data.

A key stands for itself and for everything below it: ``random`` for ``random.choice``. The longest key decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from attrs import frozen


CLOCK = "DX101"
RANDOM = "DX102"
IDS = "DX103"
ENVIRONMENT = "DX104"
IO = "DX105"
SLEEP = "DX106"
CONCURRENCY = "DX107"
PRINT = "DX108"
LOGGING = "DX109"
IDENTITY = "DX110"


def _below(prefix: str, names: str) -> list[str]:
    return [f"{prefix}.{name}" for name in names.split()]


_LEVELS = "debug info warning warn error exception critical fatal log"

_TABLE: Mapping[str, Iterable[str]] = {
    CLOCK: (
        *_below("datetime.datetime", "now utcnow today"),
        "datetime.date.today",
        *_below("time", "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time"),
        *_below("time", "process_time_ns thread_time thread_time_ns clock_gettime clock_gettime_ns"),
        *_below("time", "localtime gmtime ctime asctime strftime"),
        *_below("django.utils.timezone", "now localtime localdate"),
        *_below("arrow", "now utcnow"),
        *_below("pendulum", "now today yesterday tomorrow"),
        *_below("pandas.Timestamp", "now utcnow today"),
        "timeit",
    ),
    RANDOM: ("random", "secrets", "os.urandom", "os.getrandom", "numpy.random", "ssl.RAND_bytes"),
    IDS: ("uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7", "uuid.getnode", "ulid", "shortuuid", "nanoid"),
    ENVIRONMENT: (
        *_below("os", "environ environb getenv getenvb putenv getpid getppid getcwd getlogin getuid getgid cpu_count"),
        *_below("os", "uname getloadavg path.expanduser path.expandvars path.abspath path.realpath"),
        *_below("sys", "argv platform executable path flags"),
        *_below("time", "tzname timezone altzone daylight"),
        *_below("socket", "gethostname getfqdn"),
        *_below("pathlib.Path", "cwd home expanduser absolute resolve"),
        *_below("importlib.metadata", "version"),
        "locale",
        "platform",
        "getpass",
        "psutil",
    ),
    IO: (
        *_below("builtins", "open input"),
        *_below("io", "open open_code"),
        *_below(
            "os", "open read write close listdir scandir walk mkdir makedirs remove unlink rmdir rename replace stat"
        ),
        *_below("os", "system popen kill path.exists path.isfile path.isdir path.getsize path.getmtime truncate link"),
        *_below("pathlib.Path", "open read_text read_bytes write_text write_bytes exists is_file is_dir stat iterdir"),
        *_below("pathlib.Path", "glob rglob walk mkdir rmdir unlink rename replace touch chmod samefile symlink_to"),
        *_below("pandas", "read_csv read_sql read_sql_query read_parquet read_excel read_json read_table"),
        *_below("sqlalchemy", "create_engine engine Engine Connection orm.Session orm.sessionmaker ext.asyncio"),
        *_below("sqlalchemy.orm", "scoped_session session"),
        *_below("urllib", "request"),
        *_below("http", "client server"),
        *_below("duroxide", "Client Runtime SqlProvider"),
        *("aiohttp", "asyncpg", "boto3", "botocore", "fileinput", "ftplib", "glob", "grpc", "httpx", "imaplib"),
        *("kafka", "MySQLdb", "paramiko", "pika", "poplib", "psycopg", "psycopg2", "pymongo", "pymysql", "redis"),
        *("requests", "shelve", "shutil", "smtplib", "socket", "socketserver", "sqlite3", "subprocess", "sys.stdin"),
        *("telnetlib", "tempfile", "urllib3", "websockets", "xmlrpc.client"),
    ),
    SLEEP: ("time.sleep", "asyncio.sleep", "gevent.sleep", "trio.sleep", "anyio.sleep"),
    CONCURRENCY: (
        *("_thread", "anyio", "asyncio", "celery", "concurrent.futures", "dask", "gevent", "joblib"),
        *("multiprocessing", "signal", "threading", "trio", "os.fork"),
    ),
    PRINT: ("builtins.print", "pprint.pprint", "pprint.pp", "sys.stdout", "sys.stderr", "rich.print"),
    LOGGING: (
        "logging",
        *_below("logging.getLogger", _LEVELS),
        *_below("structlog", "get_logger stdlib.get_logger"),
        *_below("loguru.logger", _LEVELS),
        "warnings.warn",
    ),
    IDENTITY: ("builtins.id", "builtins.hash"),
}

BANNED: Mapping[str, str] = MappingProxyType({path: code for code, paths in _TABLE.items() for path in paths})

#: Not wrong in themselves; what is below them is.
_HARMLESS = frozenset(
    {
        *("logging.getLogger", "structlog.get_logger", "structlog.stdlib.get_logger", "sys.path.join"),
        *("numpy.random", "secrets.compare_digest"),
    }
)

#: Wrong only when called with at most so many arguments: ``random.Random()`` is, ``random.Random(7)`` is not.
AT_MOST_ARGUMENTS: Mapping[str, int] = MappingProxyType(
    {
        "random.Random": 0,
        "numpy.random.default_rng": 0,
        "numpy.random.RandomState": 0,
        "time.gmtime": 0,
        "time.asctime": 0,
        "time.strftime": 1,
    }
)

#: Rules that are broken by passing a function on (``key=random.random``), not only by calling it.
BY_REFERENCE = frozenset({CLOCK, RANDOM, IDS, ENVIRONMENT, SLEEP, PRINT})

#: Rules that an object breaks whoever made it, if its annotation tells its type.
BY_TYPE = frozenset({IO, CONCURRENCY})

_NOT_A_DEED = ("Error", "Exception", "Warning", "Timeout")


@frozen
class Ban:
    """A name that breaks the rule *code*; it *is_exact* if the name itself is in the table."""

    code: str
    is_exact: bool


def ban_of(path: str) -> Ban | None:
    """Return what is wrong with using the dotted name *path*, if anything is."""
    if path in _HARMLESS or path.endswith(_NOT_A_DEED):
        return None
    for prefix in _prefixes(path):
        if (code := BANNED.get(prefix)) is not None:
            return Ban(code, prefix == path)
    return None


def _prefixes(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition(".")[0]
