"""The lint sees each way of looking ahead, and leaves alone what only looks like one."""

import json
import sys
from pathlib import Path

import pytest

import hydra_assets
from hydra_assets.errors import ConfigError
from hydra_assets.proof.lint.linter import ALL_RULES, lint, lint_source
from hydra_assets_tests.support.demo_home import Demo

PACKAGE = Path(hydra_assets.__file__).parent
IMPORTS = """
import datetime as dt, os, time
import datetime
from datetime import datetime as DateTime
from pathlib import Path
import numpy as np, pandas as pd, polars as pl
import scipy.stats as stats
from hydra_assets import ParquetLake
"""
BAD = {
    "negative-shift": [
        "y = x.shift(-1)",
        "y = x.shift(periods=-5)",
        "y = df['a'].pct_change(-1)",
        "y = x.diff(periods=-2)",
        "y = np.roll(x, -1)",
        "y = np.roll(x, shift=(-2, 0))",
        "h = 5\ny = x.shift(-h)",
        "AHEAD = -1\ndef f(x):\n    return x.shift(AHEAD)",
        "def f(x, by=-3):\n    return x.shift(by)",
        "for h in (-1, -5):\n    y = x.shift(h)",
        "y[:-1] = x[1:]",
        "y[:-2] = np.log(x[2:] / x[:-2])",
        "for i in range(n):\n    y[i] = x[i + 1]",
        "for i in range(n):\n    y[i] = x[i:i + 5].sum()",
        "y = [x.iloc[i + 1] / x.iloc[i] for i in range(n)]",
        "for i, v in enumerate(x):\n    y.iloc[i] = x.iloc[i + 1] - v",
        "y = pl.col('a').shift(-1)",
        "y = pl.col('a').shift(n=-1)",
        "def f(x, *, by=-3):\n    return x.shift(by)",
        "y[:-1] += x[1:]",
        "y[:-1, :] = x[1:, :]",
        "for i in range(n):\n    y[i] = x[1 + i]",
        "y = [x.iat[i + 1] for i in range(n)]",
    ],
    "centred-window": [
        "y = x.rolling(21, center=True).mean()",
        "y = x.rolling(window=21, min_periods=1, center=True).std()",
        "y = x.rolling(5, 1, True).sum()",
        "CENTRED = True\ny = x.rolling(5, center=CENTRED).sum()",
        "y = pl.col('a').rolling_mean(5, center=True)",
        "y = np.convolve(x, k, mode='same')",
        "y = np.convolve(x, k, 'same')",
        "from scipy.signal import savgol_filter\ny = savgol_filter(x, 5, 2)",
        "y = x[::-1].rolling(5).max()[::-1]",
        "y = x[::-1].ewm(5).mean()[::-1]",
        "y = x[::-1].expanding().max()[::-1]",
        "y = x[::-1].ffill()[::-1]",
        "y = x[::-1].cummax()[::-1]",
        "y = x[::-1].cummin()[::-1]",
        "y = x.rolling(pd.api.indexers.FixedForwardWindowIndexer(window_size=5)).mean()",
    ],
    "backward-fill": [
        "y = x.bfill()",
        "y = x.backfill()",
        "y = x.fillna(method='bfill')",
        "y = x.fillna(None, 'backfill')",
        "y = x.interpolate()",
        "y = x.interpolate(method='time', limit_direction='both')",
        "y = x.interpolate('linear', limit_direction='backward')",
        "y = x.reindex(days, method='bfill')",
        "y = x.reindex_like(other, method='backfill')",
        "y = x.asfreq('D', method='bfill')",
        "at = x.index.get_indexer(days, method='nearest')",
        "y = pl.col('a').fill_null(strategy='backward')",
        "y = pd.merge_asof(a, b, on='t', direction='nearest')",
        "y = pd.merge_asof(a, b, on='t', direction='forward')",
        "y = a.join_asof(b, on='t', strategy='forward')",
        "y = a.join_asof(b, on='t', strategy='nearest')",
    ],
    "whole-series": [
        "z = (x - x.mean()) / x.std()",
        "z = (df['a'] - df['a'].mean()) / df['a'].std()",
        "mu = x.mean()\nsd = x.std()\nz = (x - mu) / sd",
        "mu, sd = x.mean(), x.std(ddof=1)\nz = (x - mu) / (sd + 1e-9)",
        "z = (np.log(x) - np.nanmean(x)) * 2",
        "def f(x):\n    z = (x - x.mean()) / x.std()\n    return z[-1], z[0]",
        "z = (x - x.min()) / (x.max() - x.min())",
        "z = x / x.max()",
        "z = x.max() - x",
        "z = -x / x.max()",
        "z = x.values - x.mean()",
        "z = (x - x.mean()) / 2",
        "z = x / float(x.std())",
        "seen = x[~np.isnan(x)]\nz = (x - seen.mean()) / seen.std()",
        "z = x - x.dropna().median()",
        "r = x.rank(pct=True)",
        "r = df.groupby('market')['a'].rank()",
        "r = stats.rankdata(x)",
        "r = stats.zscore(x)",
        "q = pd.qcut(x, 5)",
        "q = pd.cut(x, 5)",
        "hot = x > x.quantile(0.9)",
        "hot = np.percentile(x, 90) < x",
        "y = x.clip(x.quantile(0.01), x.quantile(0.99))",
        "low, high = np.percentile(x, 1), np.percentile(x, 99)\ny = np.clip(x, low, high)",
        "y = x.fillna(x.mean())",
        "y = np.where(np.isnan(x), np.nanmean(x), x)",
        "df['m'] = df['a'].mean()",
        "df = df.assign(m=df['a'].mean())",
        "y = np.full(len(x), x.mean())",
        "y = MinMaxScaler().fit_transform(x)",
        "y = x - x.groupby(x.index.month).transform('mean')",
        "y = x - x.groupby(x.index.dayofweek).transform('mean')",
        "y = df.groupby('market').transform(lambda g: (g - g.mean()) / g.std())",
    ],
    "clock": [
        "t = dt.datetime.now(dt.UTC)",
        "t = datetime.datetime.utcnow()",
        "t = DateTime.now()",
        "from theirs import datetime\nt = datetime.now()",
        "t = dt.date.today()",
        "t = pd.Timestamp.now('UTC')",
        "t = pd.Timestamp('now')",
        "t = pd.to_datetime('now')",
        "t = np.datetime64('today')",
        "t = time.time()",
        "t = time.time_ns()",
        "t = time.localtime()",
        "t = time.gmtime()",
        "from time import time as clock\nt = clock()",
        "from hydra_assets.core.instants import now_us\nt = now_us()",
        "import hydra_assets.core.instants as clocks\nt = clocks.now_us()",
    ],
    "io": [
        "f = open('a.csv')",
        "df = pd.read_csv('a.csv')",
        "df = pd.read_fwf('a.txt')",
        "df = pl.scan_parquet('a.parquet')",
        "import pyarrow.parquet as pq\ndf = pq.read_table('a')",
        "import requests",
        "from urllib.request import urlopen",
        "import sqlite3",
        "text = Path('a').read_text()",
        "def f(path: Path):\n    return path.open()",
        "f = (Path('a') / 'b').open()",
        "p = Path('a')\nf = p.open()",
        "x = np.load('a.npy')",
        "x = np.loadtxt('a.txt')",
        "key = os.environ['KEY']",
        "key = os.getenv('KEY')",
        "df.to_csv('a.csv')",
    ],
    "whole-vintages": [
        "t = lake.read('futures_bars', 'HE')",
        "t = lake.read_vintages('futures_bars', 'HE')",
        "t = opened.read_vintages('futures_bars', 'HE')",
        "t = self.lake.read('futures_bars', 'HE')",
        "t = ParquetLake('x').read('futures_bars', 'HE')",
        "rows = ParquetLake('x')\nt = rows.read('futures_bars', 'HE')",
        "with ParquetLake('x') as rows:\n    t = rows.read('futures_bars', 'HE')",
        "here = desk.lake\nt = here.read('futures_bars', 'HE')",
        "opened = lake.open()\nt = opened.read('futures_bars', 'HE')",
        "def f(source: ParquetLake):\n    return source.read('futures_bars', 'HE')",
        "from hydra_assets.flow.publish import evidence_of\nt = evidence_of(store, 'cot', 'HE', months)",
    ],
}
GOOD = [
    "y = x.shift(1)",
    "y = x.shift(periods=h)",
    "BACK = -5\ny = x.shift(-BACK)",
    "AHEAD = -1\ndef f(x, AHEAD):\n    return x.shift(AHEAD)",
    "by = 1\ndef f():\n    by = -1\n    return by\ny = x.shift(by)",
    "y = x.diff()",
    "y = x.diff(5)",
    "y = np.roll(x, 1)",
    "y = np.log(x[1:] / x[:-1])",
    "y[1:] = x[1:] - x[:-1]",
    "for i in range(n):\n    y[i + 1] = x[i + 1] - x[i]",
    "for i in range(1, n):\n    y[i] = x[i] - x[i - 1]",
    "for i in range(n):\n    y[i] = x[i - 4:i + 1].mean()",
    "gaps = [strike[i + 1] - strike[i] for i in range(n)]",
    "for i in range(n):\n    y.iloc[i + 1] = x.iloc[i + 1] - x.iloc[i]",
    "for i in range(n):\n    y.iloc[i + 1 :] = x.iloc[i]",
    "last = x.iloc[-1]",
    "y = x[::-1]",
    "y = x.rolling(21).mean()",
    "y = x.rolling(21, center=False).mean()",
    "y = x.ewm(span=35).std()",
    "title = text.center(20)",
    "y = np.convolve(x, k, mode='valid')",
    "y = x.ffill()",
    "y = x.fillna(0)",
    "y = x.fillna(method='ffill')",
    "y = x.interpolate(method='pad')",
    "vol = smile.interpolate(strike)",
    "y = pd.merge_asof(a, b, on='t')",
    "y = pd.merge_asof(a, b, on='t', direction='backward')",
    "y = x.reindex(days, method='ffill')",
    "z = (x - x.rolling(60).mean()) / x.rolling(60).std()",
    "z = (x - x.expanding().mean()) / x.expanding().std()",
    "seen = x[~np.isnan(x)]\nz = (x[-1] - seen.mean()) / seen.std(ddof=1)",
    "z = ((x - x.mean()) / x.std())[-1]",
    "z = ((x - x.mean()) / x.std()).iloc[-1]",
    "def f(x):\n    z = (x - x.mean()) / x.std()\n    return z[-1]",
    "recent = x[-20:]\nz = recent - recent.mean()",
    "w = _window(x, t, 60)\nz = (w - w.mean()) / w.std()",
    "y = x.rolling(20).apply(lambda w: (w - w.mean()).abs().mean())",
    "z = df.sub(df.mean(axis=1), axis=0)",
    "z = (x - x.mean(axis=1)[:, None]) / x.std(axis=1)[:, None]",
    "w = weight / weight.sum()",
    "y = x.rolling(52).rank(pct=True)",
    "y = x.expanding().rank(pct=True)",
    "y = df.rank(axis=1)",
    "y = df.groupby('as_of')['carry'].rank()",
    "y = pl.col('carry').rank().over('as_of')",
    "y = df.groupby('date').transform(lambda g: (g - g.mean()) / g.std())",
    "y = df.groupby(['date'])['a'].transform('mean')",
    "rank = stats.rankdata(x)[-1]",
    "share = stats.percentileofscore(x[:-1], x[-1])",
    "q = pd.cut(x, [0, 1, 2])",
    "hot = x > x.rolling(252).quantile(0.9)",
    "hot = x[-1] > np.quantile(x[:-1], 0.9)",
    "top = float(np.quantile(x, 0.9))",
    "facts['mean'] = x.mean()",
    "spread = x.max() - x.min()",
    "y = x.clip(-3, 3)",
    "y = np.clip(x, 0, 1)",
    "a = np.full(len(x), np.nan)",
    "t = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)",
    "def f(now):\n    return now()",
    "t = pd.Timestamp('2025-01-01', tz='UTC')",
    "s = time.strptime('2025', '%Y')",
    "ours = bars.open",
    "def f(open):\n    return open(1)",
    "price = book.open(1)",
    "rows = reader.read()",
    "body = file.read(10)",
    "t = lake.read_known('futures_bars', 'HE', known_at, key=['instrument'])",
    "t = archive.read('a')",
    "frame = store.get_training_frame(['HE'], times)",
    "text = 'x.shift(-1)'",
    "from .requests import build",
]


def rules(text):
    return [finding.rule for finding in lint_source(IMPORTS + text)]


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, texts in BAD.items() for text in texts])
def test_a_way_of_looking_ahead_is_found_once_and_by_its_name(rule, text):
    assert rules(text) == [rule]


@pytest.mark.parametrize("text", GOOD)
def test_code_that_looks_back_is_left_alone(text):
    assert rules(text) == []


def test_every_rule_has_its_cases():
    assert set(BAD) == {rule.name for rule in ALL_RULES}


def test_a_finding_says_where_what_and_what_to_do(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("import pandas as pd\n\n\ndef f(x):\n    return 1 + x.shift(-1)\n")
    (found,) = lint([file])
    assert (found.line, found.column, found.rule) == (5, 16, "negative-shift")
    assert str(found).startswith(f"{file}:5:16: negative-shift .shift(-1) puts a later row's value into an earlier row; shift forwards")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y = x.shift(-1)  # lookahead-ok: a label, joined with the instant from which it is known", []),
        ("y = x.shift(\n    -1,  # lookahead-ok: a label\n)", []),
        ("y = x.shift(-1)  # lookahead-ok", ["acceptance", "negative-shift"]),
        ("y = x.shift(-1)  # lookahead-ok:   ", ["acceptance", "negative-shift"]),
        ("y = x.shift(1)  # lookahead-ok: a label", ["acceptance"]),
        ("# lookahead-ok: not on the line itself\ny = x.shift(-1)", ["acceptance", "negative-shift"]),
        ("y = x.shift(-1); s = '# lookahead-ok: text is no comment'", ["negative-shift"]),
    ],
)
def test_a_line_is_accepted_with_a_reason_and_only_where_there_is_something_to_accept(text, expected):
    assert sorted(rules(text)) == expected


def test_what_cannot_be_read_is_told_and_a_wrong_path_raises(tmp_path):
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    assert [finding.rule for finding in lint(tmp_path)] == ["unreadable", "unreadable"]
    with pytest.raises(ConfigError, match="no such file"):
        lint(tmp_path / "nowhere")


def test_folders_are_read_through_and_what_is_not_ones_own_is_skipped(tmp_path):
    for folder in ("a", "a/b", ".venv/x", "a/__pycache__"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "m.py").write_text("y = x.shift(-1)\n")
    assert [Path(f.path).relative_to(tmp_path).as_posix() for f in lint([tmp_path, tmp_path / "a" / "m.py"])] == ["a/b/m.py", "a/m.py"]


def test_our_own_features_are_free_of_findings():
    assert lint(PACKAGE / "features") == []


def test_our_own_reads_of_whole_vintages_are_accepted_by_a_reason_on_their_line_alone():
    file = PACKAGE / "flow" / "publish.py"
    assert [f for f in lint(file) if f.rule in ("whole-vintages", "acceptance")] == []
    bare = file.read_text().replace("lookahead-ok", "")
    assert [f.rule for f in lint_source(bare, file)].count("whole-vintages") == 2


def test_a_leak_in_one_of_our_own_features_would_be_seen(tmp_path):
    text = (PACKAGE / "features" / "cot" / "formulas.py").read_text()
    leak = text.replace("share[-1] - seen.mean()", "share - seen.mean()")
    assert leak != text
    (found,) = lint_source(leak, "cot.py")
    assert found.rule == "whole-series"


def test_the_command_prints_findings_and_its_exit_code_says_whether_there_are_any(tmp_path):
    def run(*words):
        return Demo(tmp_path, "").run("lint", *map(str, words), check=False)

    (tmp_path / "mine.py").write_text("y = x.bfill()\n")
    found = Demo(tmp_path, "").process("-m", "hydra_assets.cli.main", "lint", str(tmp_path), program=sys.executable, check=False)
    assert found.returncode == 1
    assert found.stdout.startswith(f"{tmp_path}/mine.py:1:5: backward-fill ")
    assert "1 finding" in found.stderr
    told = json.loads(run(tmp_path, "--json").stdout)
    assert told["findings"][0] | {"message": "", "remedy": ""} == {
        "path": f"{tmp_path}/mine.py", "line": 1, "column": 5, "rule": "backward-fill", "message": "", "remedy": "",
    }  # fmt: skip
    clean = run(PACKAGE / "features" / "cot" / "formulas.py", "--json")
    assert (clean.returncode, json.loads(clean.stdout)) == (0, {"findings": []})
    assert run(tmp_path / "nowhere").returncode == 2
    assert "lookahead-ok" in run("--help").stdout
