"""Every error that hydra_assets raises on purpose: one tree, each also the built-in kind that it is."""

import datetime as dt


class HydraError(Exception):
    """Base of all errors below; the message names the thing, the place and the remedy."""


class ConfigError(HydraError, ValueError):
    """A setting is missing, unknown or of the wrong kind."""


class InvalidNameError(HydraError, ValueError):
    """A data type or market has a name that cannot be a folder."""


class InvalidTimeError(HydraError, ValueError):
    """An instant without a zone, finer than a microsecond, or out of order."""


class InvalidValueError(HydraError, ValueError):
    """A value that a store of finite numbers and known quality words cannot hold."""


class SchemaError(HydraError, ValueError):
    """Columns are missing, renamed or of another type than the data already held."""


class ConflictError(HydraError, ValueError):
    """One batch says two things about one vintage."""


class UnknownFeatureError(HydraError, LookupError):
    """A feature name that is neither registered nor stored."""


class LabelError(HydraError, ValueError):
    """A label was about to be stored or served as a feature."""


class WorldError(HydraError, ValueError):
    """Sample (synthetic) and live data were about to meet."""


class RetractionError(HydraError, ValueError):
    """More rows would be withdrawn than a mended computation explains."""


class StaleInputsError(HydraError, ValueError):
    """A publish was computed from older inputs than one already published."""


class LookaheadError(HydraError, ValueError):
    """Rows claim to have been known before an input that they need."""

    def __init__(self, message: str, *, table: str | None = None, rows: int | None = None) -> None:
        self.table, self.rows = table, rows
        super().__init__(message)


class FeatureError(HydraError, RuntimeError):
    """A feature could not be computed."""

    def __init__(self, message: str, *, feature: str) -> None:
        self.feature = feature
        super().__init__(message)


class PluginError(FeatureError):
    """A feature of a third party could not be computed."""


class ImpureFeatureError(PluginError):
    """A feature's function opened a file, a socket, a database or a process, or started a thread."""


class CorruptionError(HydraError, OSError):
    """Stored bytes are not the bytes that were written, or lie where they were not written."""


class StorageError(HydraError, OSError):
    """The disk refuses: it is full, may only be read, or the path is none that can be opened. Stored bytes are not in doubt."""


class LockTimeoutError(HydraError, TimeoutError):
    """Another process held a lock for longer than a write can take."""


class VendorError(HydraError, OSError):
    """A vendor could not give a whole, believable answer; nothing was kept of a broken one."""


class VendorUnavailableError(VendorError):
    """Transient: connection, deadline, 408, 429, 5xx, a cut body. Worth another try."""

    def __init__(self, message: str, *, retry_after: dt.timedelta | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class BrokenOffError(VendorUnavailableError):
    """A stream or download that ended in the middle; the next one is usually whole."""


class VendorRefusedError(VendorError):
    """Final: key refused, licence, budget, a request that the vendor calls wrong."""


class RequestRefusedError(VendorRefusedError):
    """Final for one request alone (HTTP 400, 404, 422, an expired batch job): the vendor may answer others."""


class BudgetError(VendorRefusedError):
    """A request costs more than is left of a budget; it was not made."""


class LiveLicenceError(VendorRefusedError):
    """The vendor refuses data after the instant ``after`` to an account without a live licence; nothing was paid."""

    def __init__(self, message: str, *, after: dt.datetime) -> None:
        self.after = after
        super().__init__(message)


class RunFailedError(HydraError, RuntimeError):
    """A step of a Dagster run failed."""


class NotPublishedError(VendorError):
    """The vendor has not published this yet: a gap, not a failure."""


class VendorContentError(VendorError, ValueError):
    """The answer arrived whole and is not what it should be (format, member, columns, year)."""


class ShortAnswerError(VendorContentError):
    """An answer holds fewer records than were announced for it; ``records`` is how many came."""

    def __init__(self, message: str, *, records: int) -> None:
        self.records = records
        super().__init__(message)


class UnprovenWarning(UserWarning):
    """A default training frame takes in a series that no registered feature claims."""


class UnknownTableWarning(UserWarning):
    """A table was read whose name neither the package nor the lake knows; the answer is empty."""
