"""
From what users pass to an Engine that works, and what tells one database from another.

Rule: two databases are never taken for one. Whoever is taken for another database is handed its messages, and told its
results; whoever is not recognised is merely woken by way of the database.
"""

from __future__ import annotations

import os
import re

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy import Dialect as SqlAlchemyDialect
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import StaticPool

from ..._clock import new_token
from ..._core import limits
from ...errors import InvalidInput


#: Milliseconds that SQLite waits for another process to finish writing, before we try again.
BUSY_TIMEOUT_MS = 60_000

#: What Postgres cuts names to, without an error: two names that differ behind it are the same.
MAX_SCHEMA_BYTES = 63

_PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*@")

_INSTALL = "pip install 'duroxide-python[postgres]'"

#: Every transaction is begun and ended by `Database`, so the pool need not make sure.
_AS_WE_NEED_IT: Mapping[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}

#: How psycopg is to connect, unless a URL says otherwise.
_CONNECTION_SETTINGS: Mapping[str, Any] = {
    # Nothing is prepared before we know that no transaction-mode pooler hands each transaction another session.
    "prepare_threshold": None,
    # What a session takes by default is the administrator's affair.
    "client_encoding": "utf8",
    # A server that vanishes without a word, or a router that forgets a connection, is noticed within a minute. By default
    # that takes hours, in which the connection that listens is deaf.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

#: Drivers whose URLs are meant for the same files as ours. Not SQLCipher's, for example: its files are encrypted.
_SQLITE_DRIVERS = frozenset({"sqlite", "sqlite+pysqlite", "sqlite+aiosqlite"})

#: Where a URL says which server and database it is about; whatever else is in its query may make it another one.
_WHERE = frozenset({"host", "port", "dbname"})


def engine_for(url_or_engine: str | URL | Engine, *, read_only: bool) -> Engine:
    """
    Return *url_or_engine*, or an Engine for it with the settings that suit us.

    Raises:
        InvalidInput: If it is no URL of a database that is supported.
    """
    if not isinstance(url_or_engine, Engine):
        url = _parse_url(url_or_engine)
        try:
            return _make_read_only_engine(url) if read_only else _make_engine(url)
        except ArgumentError as error:
            raise _no_url(url_or_engine) from error
    if read_only:
        msg = f"read_only with the Engine for {url_or_engine.url!r}: give its URL, so that its connections read only."
        raise InvalidInput(msg)
    return url_or_engine


def _parse_url(text: str | URL) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:  # a port that is no number
        raise _no_url(text) from error
    if "\0" in (url.database or ""):
        raise _no_url(text)
    return url


def _no_url(text: str | URL) -> InvalidInput:
    shown = repr(text) if isinstance(text, URL) else _PASSWORD.sub(r"\1***@", repr(text))
    return InvalidInput(
        f"{shown} is not a database URL: write sqlite:///path.db or postgresql://user:password@host/database."
    )


def _make_read_only_engine(url: URL) -> Engine:
    """Return an engine for *url* whose transactions cannot write."""
    if url.get_backend_name() != "sqlite":
        return _make_engine(url)  # the dialect sees to it
    if _names_no_file(url):
        msg = f"read_only with {url!r}: a new in-memory database is empty. Give the URL of a file."
        raise InvalidInput(msg)
    path = (url.database or "").removeprefix("file:")
    file = quote(os.path.abspath(path))  # noqa: PTH100  # as it is written: a link is followed by SQLite
    return _make_engine(url.set(database=f"file:{file}").update_query_dict({"mode": "ro", "uri": "true"}))


def _make_engine(url: URL) -> Engine:
    """Return an engine for *url* with the settings that suit us."""
    if url.drivername in _SQLITE_DRIVERS:
        url = url.set(drivername="sqlite")
        if _names_no_file(url):
            return create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False}, **_AS_WE_NEED_IT)
        wait = {"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False}
        return create_engine(url, connect_args=wait, **_AS_WE_NEED_IT)
    if url.get_backend_name() == "postgresql":
        return _make_postgres_engine(url.set(drivername="postgresql+psycopg"))
    msg = f"{url.drivername!r} is not supported: use a URL that starts with sqlite:/// or postgresql://."
    raise InvalidInput(msg)


def _make_postgres_engine(url: URL) -> Engine:
    wanted = {name: value for name, value in _CONNECTION_SETTINGS.items() if name not in url.query}
    try:
        return create_engine(url, connect_args=wanted, pool_size=10, **_AS_WE_NEED_IT)
    except ImportError as error:
        msg = f"{url!r} needs the driver psycopg 3, which cannot be imported ({error}): {_INSTALL}."
        raise InvalidInput(msg) from error


def check_engine(engine: Engine, schema: str | None) -> None:
    """
    Refuse engines that cannot work.

    Raises:
        InvalidInput: If *engine* or *schema* is no good, with the remedy.
    """
    kind = (engine.dialect.name, engine.driver)
    if kind == ("sqlite", "pysqlite"):
        if schema is not None:
            msg = f"schema={schema!r}: SQLite has no schemas. Use a database file of its own instead."
            raise InvalidInput(msg)
        if is_in_memory(engine) and not isinstance(engine.pool, StaticPool):
            msg = "an Engine for an in-memory database shares nothing between threads: use SqlProvider.in_memory()."
            raise InvalidInput(msg)
    elif kind == ("postgresql", "psycopg"):
        if schema is not None:
            _check_schema(schema)
    else:
        msg = f"an Engine for {'+'.join(kind)} is not supported: use sqlite or postgresql+psycopg ({_INSTALL})."
        raise InvalidInput(msg)


def _check_schema(schema: str) -> None:
    limits.check_sought("schema", schema)
    if (size := limits.size_of(schema)) > MAX_SCHEMA_BYTES:
        msg = f"schema {schema!r} of {size} bytes: Postgres cuts names to {MAX_SCHEMA_BYTES}. Use a shorter one."
        raise InvalidInput(msg)
    if "%" in schema:
        msg = f"schema {schema!r}: the driver takes % for a placeholder. Use a name without it."
        raise InvalidInput(msg)


def _names_no_file(url: URL) -> bool:
    return url.database in {None, "", ":memory:", "file::memory:"} or url.query.get("mode") == "memory"


def is_in_memory(engine: Engine) -> bool:
    """Whether *engine* is for a database that ends with its connection."""
    return engine.dialect.name == "sqlite" and _names_no_file(engine.url)


#: An Engine of the caller's → its name. By its dialect, which all have that share its pool, and which outlives that.
_engines: WeakKeyDictionary[SqlAlchemyDialect, str] = WeakKeyDictionary()


def identity_of(engine: Engine, schema: str | None, *, is_ours: bool) -> str:
    """
    Return what names a database in this process, however its URL is written.

    Args:
        is_ours: Whether *engine* was made here, of nothing but its URL. To which server and with which ``search_path``
            an Engine of the caller's connects (``creator=``, ``connect_args=``, listeners), its URL does not say.
    """
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return place_of(url)
    if not is_ours:
        return f"postgresql:{_engines.setdefault(engine.dialect, new_token())}:{schema or ''}"
    # Without a schema, it depends on the role where its tables are.
    role = "" if schema is not None else url.username
    rest = sorted((name, value) for name, value in url.query.items() if name not in _WHERE)
    return f"{place_of(url)}:{schema or ''}:{role}:{rest}"


def file_of(url: URL) -> str:
    """Return the path of an SQLite file, whatever links lead to it."""
    return os.path.realpath((url.database or "").removeprefix("file:"))


def place_of(url: URL) -> str:
    """Return the file, or the server and the database, that *url* speaks of."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:{file_of(url)}"
    host = url.host or url.query.get("host") or "localhost"
    port = url.port or url.query.get("port") or 5432
    database = url.database or url.query.get("dbname") or url.username
    return f"postgresql:{host}:{port}:{database}"
