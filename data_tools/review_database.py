"""The review database: one sqlite file in WAL mode, its tables, its version, and the way from older versions.

Events, masks and the claims of drafts are append-only: triggers refuse to change or delete them, so what a person
decided stays on record even when it is undone (an undo is an event, too). `reviews.stage` and `tasks.outcome` are kept
beside the events, in the same transaction, so that queues need not read every event. Every acknowledged transaction
is on disk (synchronous=FULL). Deliberately left out: what the events mean (`review_state`), who may do what when
(`review_store`).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakeexplain.errors import OutputError, SourceError

APPLICATION_ID = 0x46455256  # "FERV" in the file's header tells this database from others
_WAIT_SECONDS = 30.0


def _append_only(table: str) -> tuple[str, str]:
    says = f"SELECT RAISE(ABORT, '{table} are append-only')"
    return (
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} BEGIN {says}; END",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} BEGIN {says}; END",
    )


# One tuple of statements a version; version N is reached by running the first N. Never change one that was released.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE imports (
            id INTEGER PRIMARY KEY,
            path TEXT NOT NULL,              -- what was imported, as given
            root TEXT NOT NULL,              -- folder of the pictures, relative to the database where it can be
            annotators INTEGER NOT NULL CHECK (annotators >= 1),
            overlap REAL NOT NULL CHECK (overlap BETWEEN 0 AND 1),
            at TEXT NOT NULL,
            program TEXT NOT NULL)""",
        """CREATE TABLE tasks (
            id INTEGER PRIMARY KEY,
            import_id INTEGER NOT NULL REFERENCES imports(id),
            key TEXT NOT NULL UNIQUE,        -- sha256 of the draft, so that no draft comes in twice
            image TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            width INTEGER NOT NULL CHECK (width > 0),
            height INTEGER NOT NULL CHECK (height > 0),
            record TEXT NOT NULL,            -- the draft as a line of JSON
            draft_mask_id INTEGER REFERENCES masks(id),
            model TEXT NOT NULL,
            config_hash TEXT NOT NULL,
            blind INTEGER NOT NULL CHECK (blind IN (0, 1)),
            wanted INTEGER NOT NULL CHECK (wanted >= 1),
            outcome TEXT NOT NULL DEFAULT 'open'
                CHECK (outcome IN ('open', 'reviewed', 'agreed', 'disputed', 'adjudicated')))""",
        """CREATE TABLE claims (
            task_id INTEGER NOT NULL REFERENCES tasks(id),
            number INTEGER NOT NULL CHECK (number >= 1),
            turn INTEGER NOT NULL,           -- index into the draft's dialogue, -1 where it has none
            text TEXT NOT NULL,
            evidence_ids TEXT NOT NULL,      -- JSON list
            section TEXT NOT NULL,
            finding TEXT NOT NULL,           -- of the grounding checker, "unchecked" without one
            PRIMARY KEY (task_id, number)) WITHOUT ROWID""",
        """CREATE TABLE annotators (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE COLLATE NOCASE,
            since TEXT NOT NULL)""",
        """CREATE TABLE reviews (
            id INTEGER PRIMARY KEY,
            task_id INTEGER NOT NULL REFERENCES tasks(id),
            annotator_id INTEGER NOT NULL REFERENCES annotators(id),
            role TEXT NOT NULL CHECK (role IN ('review', 'adjudication')),
            stage TEXT NOT NULL CHECK (stage IN ('opinion', 'review', 'done', 'skipped', 'released')),
            opened_at TEXT NOT NULL,
            changed_at TEXT NOT NULL,
            finished_at TEXT,
            seconds REAL NOT NULL DEFAULT 0,
            UNIQUE (task_id, annotator_id, role))""",
        """CREATE UNIQUE INDEX one_adjudication ON reviews (task_id)
            WHERE role = 'adjudication' AND stage IN ('review', 'done')""",
        "CREATE INDEX reviews_of_task ON reviews (task_id, role, stage)",
        "CREATE INDEX reviews_of_annotator ON reviews (annotator_id, role, stage)",
        "CREATE INDEX tasks_by_outcome ON tasks (outcome)",
        """CREATE TABLE masks (
            id INTEGER PRIMARY KEY,
            task_id INTEGER NOT NULL REFERENCES tasks(id),
            sha256 TEXT NOT NULL,
            height INTEGER NOT NULL,
            width INTEGER NOT NULL,
            counts TEXT NOT NULL,            -- COCO's compressed run lengths, source frame
            area INTEGER NOT NULL,           -- pixels
            UNIQUE (task_id, sha256))""",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            review_id INTEGER NOT NULL REFERENCES reviews(id),
            task_id INTEGER NOT NULL REFERENCES tasks(id),
            action_id TEXT NOT NULL UNIQUE,  -- of the client: what is sent again is not done again
            kind TEXT NOT NULL CHECK (kind IN ('opened', 'opinion', 'verdict', 'mask', 'claim', 'note', 'finished',
                'skipped', 'reopened', 'released', 'undo')),
            claim INTEGER,
            before TEXT NOT NULL,            -- JSON
            after TEXT NOT NULL,             -- JSON
            mask_id INTEGER REFERENCES masks(id),
            undoes INTEGER UNIQUE REFERENCES events(id),
            at TEXT NOT NULL,                -- UTC
            seconds REAL NOT NULL CHECK (seconds >= 0),
            model TEXT NOT NULL,
            config_hash TEXT NOT NULL,
            program TEXT NOT NULL,
            FOREIGN KEY (task_id, claim) REFERENCES claims(task_id, number),
            CHECK ((kind = 'undo') = (undoes IS NOT NULL)),
            CHECK ((kind = 'claim') = (claim IS NOT NULL)))""",
        "CREATE INDEX events_of_review ON events (review_id)",
        *_append_only("events"),
        *_append_only("masks"),
        *_append_only("claims"),
    ),
)


class ReviewDatabase:
    """Connections to one review database, one a thread; the file is made where there is none and `create` says so.

    Raises:
        SourceError: there is no such file; it is no review database; or a newer program wrote it.
        OutputError: it cannot be made or written here.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        if not create and not path.is_file():
            raise SourceError(f"{path}: no such database; make one with: python -m data_tools.review import DRAFTS")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._migrate(self.connection())
        except OSError as error:
            raise OutputError(f"{path}: cannot be made ({error.strerror or error})") from None
        except sqlite3.DatabaseError as error:
            self.close()
            raise SourceError(f"{path}: cannot be used as a review database ({error})") from None

    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            found.row_factory = sqlite3.Row
            found.execute("PRAGMA foreign_keys = ON")
            found.execute("PRAGMA synchronous = FULL")
            self._local.connection = found
            with self._lock:
                self._open.append(found)
        return found

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = self._version(connection)
        if version > len(MIGRATIONS):
            raise SourceError(
                f"{self.path}: schema version {version}, this program reads up to {len(MIGRATIONS)}; update it"
            )
        _use_wal(connection, self.path)
        if version == len(MIGRATIONS):
            return
        with self.write() as inside:
            for statements in MIGRATIONS[self._version(inside) :]:  # another process may have been quicker
                for statement in statements:
                    inside.execute(statement)
            inside.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            inside.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _version(self, connection: sqlite3.Connection) -> int:
        """The schema's version, 0 of an empty file; in one transaction, for another process may be making it."""
        begun = not connection.in_transaction
        if begun:
            connection.execute("BEGIN")
        try:
            tables = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
            application = int(connection.execute("PRAGMA application_id").fetchone()[0])
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        finally:
            if begun:
                connection.execute("ROLLBACK")
        if application != APPLICATION_ID and (application or version or tables):
            raise SourceError(f"{self.path}: a database of another program; give another path")
        return version

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction that may write: all of it or nothing; others wait.

        Raises:
            OutputError: the database stayed locked, the disk is full, the file cannot be written, or what was to be
                written contradicts what is there.
        """
        connection = self.connection()
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            raise OutputError(f"{self.path}: not saved ({error}); nothing was changed, try again") from None

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One transaction that sees one state of the database."""
        connection = self.connection()
        try:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            raise SourceError(f"{self.path}: cannot be read ({error})") from None

    def close(self) -> None:
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
        self._local = threading.local()


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Switches to WAL; two processes that make the database at once may both try, so it is tried again."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    if mode != "wal":
        raise OutputError(f"{path}: this file system has no write-ahead log ({mode}); use a folder on a local disk")
