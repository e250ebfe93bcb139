"""The driver's exceptions end here: outside they are `ProviderError`s, which say where, why and what to do."""

from __future__ import annotations

from types import TracebackType

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ...errors import ProviderError
from .dialect import Conflict, Dialect


class Translated:
    """A ``with`` that turns the errors of database and pool into `ProviderError`s of *operation*."""

    # A class, since a generator would cost three times as much where nothing is raised.
    __slots__ = ("_dialect", "_engine", "_operation")

    def __init__(self, operation: str, engine: Engine, dialect: Dialect) -> None:
        self._operation = operation
        self._engine = engine
        self._dialect = dialect

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            translated = self._translated(error)
            if translated is not error:
                raise translated from error

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, ProviderError):
            if error.operation in {"connect", "commit"}:
                return ProviderError(self._operation, error.message, retryable=error.retryable)
            return error
        if isinstance(error, PoolTimeout):
            message = f"no free connection in the pool; give the Engine a larger pool. {error}"
            return ProviderError(self._operation, message, retryable=True)
        if isinstance(error, Conflict) or not is_database_error(error):
            return error
        where = self._engine.url.render_as_string(hide_password=True)
        message = f"{self._dialect.name} at {where} {self._dialect.reason(error)}"
        return ProviderError(self._operation, message, retryable=self._dialect.is_transient(error))


def is_database_error(error: BaseException) -> bool:
    """
    Whether *error* comes from SQLAlchemy or a driver; both drivers derive theirs from a class called Error.

    Or from a text that a session's encoding has no letters for.
    """
    return isinstance(error, SQLAlchemyError | UnicodeEncodeError) or any(
        cls.__name__ == "Error" and cls.__module__.partition(".")[0] in {"sqlite3", "psycopg"}
        for cls in type(error).__mro__
    )
