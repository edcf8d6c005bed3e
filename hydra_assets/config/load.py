"""Settings: shipped defaults with the user's ``config.yaml`` merged over; a wrong key is named with its file and place."""

import csv
import dataclasses
import datetime as dt
import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from hydra_assets.config.home import base_folder
from hydra_assets.config.ranges import check_ranges
from hydra_assets.config.user_file import read_user_file
from hydra_assets.core.calendar import CALENDARS, Calendar, calendar_named
from hydra_assets.core.known_holes import KnownHole
from hydra_assets.core.market import Market, OptionRoot, calendar_of
from hydra_assets.core.option_rules import OptionRules
from hydra_assets.core.tables.registry import TABLES
from hydra_assets.errors import ConfigError

if TYPE_CHECKING:
    from hydra_assets.core.releases import ReleaseCalendar

_SHIPPED = files("hydra_assets.config")
_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
Block = TypeVar("Block")


@dataclass(frozen=True)
class Thresholds:
    """Staleness in trading days (COT: days after the release that was due) and the options' liquidity rule."""

    futures_stale_days: int
    options_stale_days: int
    cot_stale_days: int
    min_liquid_strikes: int
    max_spread_pct: float
    min_oi: int


@dataclass(frozen=True)
class OptionSettings:
    """Settings of reading options; see `OptionRules`."""

    cut: str
    max_spread_ticks: int
    rate: float
    dealer_sign_call: int
    dealer_sign_put: int
    five_parameter_svi: bool


@dataclass(frozen=True)
class CashSettings:
    """Settings of the cash index: whether it counts hogs sold by negotiated formula."""

    negotiated_formula: bool


@dataclass(frozen=True)
class Severities:
    """Severity of each data quality check: ``WARN``, or ``ERROR``, which stops the tables downstream. Proofs always block."""

    coverage: str
    staleness: str
    jumps: str
    standing_still: str
    ohlc_sane: str
    within_limits: str
    near_last_trade: str
    price_scale: str
    strike_scale: str
    missing_strikes: str
    monotone: str
    parity: str


@dataclass(frozen=True)
class CheckSettings:
    """
    Settings of the sampled checks (rows and seed) and limits of an ordinary price.

    Attributes:
        settle_off_last: distance of a settlement from the last trade, as a share of it, beyond which it is looked at.
        crossed_quotes_share: share of a day's two-sided quotes of options that may be crossed.
        old_quote_hours: age at the cut from which a quote is old.
        old_quotes_share: share of a day's quotes that may be old.
        missing_strikes_share: options near the money without a usable quote, as a share of an expiration's.
        arbitrage_pairs: neighbouring strikes a day whose quotes contradict each other.
        parity_share: smiles of a month in which put-call parity and the settlement disagree.
        settle_jump: change of a contract's settlement from one session to the next, as a share of it.
        price_scale_factor: ratio of a session's middle settlement to that of the session before, either way.
        strike_scale_factor: ratio of strikes to the settlement of their underlying, in the middle of a day's options, either way.
        unchanged_sessions: sessions on end without a change of the settlement while the contract is traded.
        cot_jump: change from one report to the next, as a share of open interest.
        severity: of each check.
    """

    replay_sample: int
    replay_seed: int
    settle_off_last: float
    crossed_quotes_share: float
    old_quote_hours: float
    old_quotes_share: float
    missing_strikes_share: float
    arbitrage_pairs: int
    parity_share: float
    settle_jump: float
    price_scale_factor: float
    strike_scale_factor: float
    unchanged_sessions: int
    cot_jump: float
    severity: Severities


@dataclass(frozen=True)
class AlertSettings:
    """Settings of the alert of a failed run: the notifier's name, and its target where it needs one."""

    notifier: str
    target: str


@dataclass(frozen=True)
class StorageSettings:
    """Settings of lake and store: the longest wait for another process that holds the store's file or a folder of the lake, in seconds."""

    busy_timeout_s: float


@dataclass(frozen=True)
class SampleSettings:
    """
    Settings of the sample world's embedded vendor.

    Attributes:
        rude: behaviours of the real vendors, by name; ``all`` is every one.
        max_days: longest range that is answered, with ``too_large``.
        max_bytes: largest uncompressed answer, with ``too_large``.
        bytes_per_s: speed of ``drip``.
        first_byte_s: delay of ``slow_start``, seconds.
        busy_polls: number of polls to which ``slow_jobs`` reports a job as not done.
    """

    rude: tuple[str, ...]
    max_days: int
    max_bytes: int
    bytes_per_s: int
    first_byte_s: float
    busy_polls: int


@dataclass(frozen=True)
class Config:
    """
    All settings, typed.

    Attributes:
        vendors: block of each vendor, with the keys and types of the shipped one; see `vendor`.
    """

    default_market: str
    start_month: str
    thresholds: Thresholds
    options: OptionSettings
    cash: CashSettings
    vendors: Mapping[str, Mapping[str, Any]]
    sample: SampleSettings
    checks: CheckSettings
    alerts: AlertSettings
    storage: StorageSettings
    known_holes: tuple[KnownHole, ...]
    markets: Mapping[str, Market]

    def market(self, symbol: str) -> Market:
        """The market of *symbol*; ConfigError naming the configured ones."""
        if not isinstance(symbol, str):
            raise ConfigError(f"market {symbol!r} is no symbol; configured are {', '.join(sorted(self.markets))}")
        if symbol not in self.markets:
            near = difflib.get_close_matches(symbol.upper(), self.markets, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"market {symbol!r} is not configured; {hint}configured are {', '.join(sorted(self.markets))}")
        return self.markets[symbol]

    def vendor(self, name: str, kind: type[Block]) -> Block:
        """The settings of the vendor *name*; ConfigError where the shipped block does not fit the class *kind*."""
        return _build(kind, self.vendors.get(name, {}), "default.yaml", f"{name}: ")

    def calendar_of(self, symbol: str) -> Calendar:
        """The exchange calendar of *symbol*; the lake can hold a market that is configured no more, which keeps the shipped one."""
        return self.markets[symbol].calendar if symbol in self.markets else calendar_of(symbol)

    @property
    def cot_codes(self) -> frozenset[str]:
        """The CFTC's contract codes of all markets."""
        return frozenset(market.cftc_code for market in self.markets.values())

    @property
    def option_rules(self) -> OptionRules:
        """The thresholds and settings that the options' pure functions take."""
        limits = self.thresholds
        return OptionRules(
            **dataclasses.asdict(self.options),
            **dataclasses.asdict(self.cash),
            min_oi=limits.min_oi,
            max_spread_pct=limits.max_spread_pct,
            min_liquid_strikes=limits.min_liquid_strikes,
        )


def user_config_path() -> Path:
    """``$HYDRA_CONFIG``, else ``$HYDRA_HOME/config.yaml``."""
    named = os.environ.get("HYDRA_CONFIG")
    return Path(named).expanduser() if named else base_folder() / "config.yaml"


def load_config(path: Path | None = None) -> Config:
    """
    The settings in force.

    Args:
        path: the user's file; default `user_config_path`, which may be absent unless ``HYDRA_CONFIG`` names it.

    Raises:
        ConfigError: naming file, block and key.
    """
    file = path or user_config_path()
    try:
        content = file.read_bytes()
    except OSError:
        if path or file.exists() or os.environ.get("HYDRA_CONFIG"):
            return _load(path)  # refuses it by name and place
        content = None
    return _loaded(path, file, content)


@lru_cache(maxsize=16)
def _loaded(path: Path | None, _file: Path, _content: bytes | None) -> Config:
    """The settings of a file of this content, which are asked for at every turn; shared by all callers, to be read, never changed."""
    return _load(path)


def _load(path: Path | None) -> Config:
    merged, file = _merged(path)
    shipped = _shipped()
    _refuse_unknown(merged, shipped, file, "")
    vendors = {name: _vendor(name, shipped[name], merged[name], file) for name in vendor_blocks()}
    settings = {name: value for name, value in merged.items() if name not in vendors}
    settings["known_holes"] = [*_shipped_holes(), *_list(settings["known_holes"], file, "known_holes")]
    markets = {symbol: _market(symbol, block, file) for symbol, block in _mapping(settings.pop("markets"), file, "markets").items()}
    sample = _mapping(settings["sample"], file, "sample")
    check_ranges(merged, file)
    if isinstance(sample.get("rude"), str):  # one name needs no list around it
        settings["sample"] = {**sample, "rude": [sample["rude"]]}
    config = _build(Config, {**settings, "vendors": vendors, "markets": markets}, file, "")
    _ = config.option_rules  # raises on a wrong setting now, not in the middle of a run
    if config.default_market not in markets:
        raise ConfigError(f"{file}: default_market {config.default_market!r} is none of the markets {', '.join(sorted(markets))}")
    for check, severity in dataclasses.asdict(config.checks.severity).items():
        if severity not in ("WARN", "ERROR"):
            raise ConfigError(f"{file}: checks: severity: {check}: {severity!r} is neither WARN nor ERROR")
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", config.start_month):
        raise ConfigError(f'{file}: start_month {config.start_month!r} is not a month; write it in quotes, like "2010-06"')
    return config


def vendor_blocks() -> dict[str, Mapping[str, Any]]:
    """The shipped settings of the vendors, by name: the blocks that belong to no class of this module."""
    known = {field.name for field in dataclasses.fields(Config)}
    return {name: block for name, block in _shipped().items() if name not in known}


def config_text() -> str:
    """The settings in force, as YAML."""
    return yaml.safe_dump(_merged(None)[0], sort_keys=False)


def user_config_template() -> str:
    """The shipped defaults, every line commented out, to start one's own file from."""
    lines = [*(_SHIPPED / "default.yaml").read_text(encoding="utf-8").splitlines(), "markets:"]
    lines += [f"  {line}" for line in (_SHIPPED / "markets.yaml").read_text(encoding="utf-8").splitlines()]
    return "".join(f"# {line}\n" if line else "\n" for line in lines)


@cache
def load_release_calendar() -> "ReleaseCalendar":
    """The COT release calendar of the shipped tables."""
    from hydra_assets.core.releases import ReleaseCalendar  # it needs pandas, which settings do not

    exceptions = list(csv.DictReader((_SHIPPED / "cot_releases.csv").read_text(encoding="utf-8").splitlines()))
    table = _parsed("cot_calendar.yaml")
    return ReleaseCalendar(exceptions, reviewed_until=table["reviewed_until"], closures=table["closures"])


@cache
def _parsed(name: str) -> Any:
    """The parsed shipped file *name*, shared by every caller: parsing takes longer than all the rest. To be read, never changed."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
    return yaml.load((_SHIPPED / name).read_text(encoding="utf-8"), loader)  # noqa: S506  a SafeLoader


def _shipped() -> Mapping[str, Any]:
    return {**_parsed("default.yaml"), "markets": _parsed("markets.yaml")}


def _merged(path: Path | None) -> tuple[dict[str, Any], str]:
    defaults, file = dict(_shipped()), path or user_config_path()
    if not file.exists():
        if path or os.environ.get("HYDRA_CONFIG"):
            raise ConfigError(f"{file}: there is no such configuration file")
        return defaults, "default.yaml"
    return _merge(defaults, _mapping(read_user_file(file), str(file), "the file")), str(file)


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged


def _shipped_holes() -> list[object]:
    return _list(_parsed("known_holes.yaml"), "known_holes.yaml", "the file")


def _list(value: object, file: str, where: str) -> list[object]:
    if not isinstance(value, list):
        raise ConfigError(f"{file}: {where} must be a list, not {value!r}")
    return value


def _mapping(value: object, file: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{file}: {where} must be a block of keys, not {value!r}")
    return value


def _market(symbol: object, block: object, file: str) -> Market:
    if not isinstance(symbol, str) or not _SYMBOL.fullmatch(symbol):
        raise ConfigError(f"{file}: market {symbol!r} is not a usable name (put it in quotes if YAML reads it as something else)")
    place = f"market {symbol}: "
    market = _build(Market, {**_mapping(block, file, f"market {symbol}"), "symbol": symbol}, file, place)
    if not re.fullmatch(r"[0-9A-Z+]{6}", market.cftc_code):
        raise ConfigError(f'{file}: market {symbol}: cftc_code {market.cftc_code!r} is not six characters; put it in quotes, like "054642"')
    if market.contract_multiplier <= 0 or market.tick <= 0:
        raise ConfigError(f"{file}: market {symbol}: contract_multiplier and tick must be positive")
    try:
        ZoneInfo(market.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"{file}: market {symbol}: timezone {market.timezone!r} is not an IANA zone such as America/Chicago") from error
    if market.timezone != market.calendar.timezone:
        raise ConfigError(
            f"{file}: {place}timezone {market.timezone} is not that of its calendar {market.calendar.name}, {market.calendar.timezone};"
            f" name its own calendar (known are {', '.join(sorted(CALENDARS))})"
        )
    return market


def _hole(block: object, file: str, place: str) -> KnownHole:
    hole = _build(KnownHole, _mapping(block, file, f"{place}each"), file, place)
    if hole.last < hole.first:
        raise ConfigError(f"{file}: {place}last day {hole.last} lies before the first, {hole.first}")
    unknown = [name for name in hole.tables if name != "*" and name not in TABLES]
    if unknown:
        raise ConfigError(f"{file}: {place}{', '.join(unknown)} is no table; known are {', '.join(TABLES)}")
    vendors = sorted({table.source for table in TABLES.values() if table.source})
    if hole.vendor not in vendors:
        raise ConfigError(f"{file}: {place}vendor {hole.vendor!r} fills no table; known are {', '.join(vendors)}")
    return hole


def _vendor(name: str, shipped: Mapping[str, Any], block: object, file: str) -> dict[str, Any]:
    """The block of a vendor, each key and value of it like the shipped one."""
    values = _mapping(block, file, name)
    _refuse_unknown(values, shipped, file, f"{name}: ")
    return {key: _like(shipped[key], value, file, f"{name}: {key}") for key, value in values.items()}


def _like(shipped: object, value: Any, file: str, where: str) -> Any:
    if isinstance(shipped, dict):
        return {str(key): _typed(str, each, file, f"{where}: {key}") for key, each in _mapping(value, file, where).items()}
    value = _typed(type(shipped), value, file, where)
    if isinstance(value, str) and not re.fullmatch(r"[!-~]([ -~]*[!-~])?", value):
        raise ConfigError(f"{file}: {where} {value!r} is not one line of plain letters")
    return value


def _refuse_unknown(values: Iterable[object], wanted: Iterable[str], file: str, place: str) -> None:
    known = list(wanted)
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {sorted(known)}"
            raise ConfigError(f"{file}: {place}unknown key {key!r}; {hint}")


def _option_roots(value: object, file: str, place: str) -> tuple[OptionRoot, ...]:
    """A list of roots, each its name alone or a block of name and first day."""
    if not isinstance(value, list):
        raise ConfigError(f"{file}: {place} must be a list of roots, like [HE], not {value!r}")
    roots = [
        _build(OptionRoot, {"root": item} if isinstance(item, str) else _mapping(item, file, f"{place}: each"), file, f"{place}: ")
        for item in value
    ]
    names = [option_root.root for option_root in roots]
    for name in names:
        if not _SYMBOL.fullmatch(name) or names.count(name) > 1:
            raise ConfigError(f"{file}: {place}: {name!r} is no usable name of a root, or a duplicate")
    return tuple(roots)


def _build(kind: type[Block], values: Mapping[str, Any], file: str, place: str) -> Block:
    """A dataclass from a block, each key of it checked."""
    wanted = {field.name: field.type for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    _refuse_unknown(values, wanted, file, place)
    optional = {field.name for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}  # type: ignore[arg-type]
    missing = [key for key in wanted if key not in values and key not in optional]
    if missing:
        raise ConfigError(f"{file}: {place}missing key(s) {', '.join(missing)}")
    return kind(**{key: _typed(wanted[key], values[key], file, f"{place}{key}") for key in wanted if key in values})


def _typed(wanted: Any, value: Any, file: str, where: str) -> Any:
    if wanted is Calendar:
        try:
            return calendar_named(str(value))
        except ConfigError as error:
            raise ConfigError(f"{file}: {where}: {error}") from error
    if isinstance(wanted, type) and dataclasses.is_dataclass(wanted):
        return _build(wanted, _mapping(value, file, where), file, f"{where}: ")
    if wanted == tuple[KnownHole, ...]:
        return tuple(_hole(block, file, f"{where}: ") for block in value)
    if wanted == tuple[OptionRoot, ...]:
        return _option_roots(value, file, where)
    if wanted == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{file}: {where} must be a list of names, like [HE], not {value!r}")
        return tuple(value)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    for kind in (dt.date, str):
        if wanted == kind | None:
            if value is None:
                return None
            wanted = kind
    if wanted in (str, int, float, bool, dt.date) and (type(value) is not wanted):
        raise ConfigError(f"{file}: {where} must be {wanted.__name__}, not {value!r} ({type(value).__name__})")
    return value
