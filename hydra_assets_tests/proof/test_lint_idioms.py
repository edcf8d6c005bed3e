"""Idioms that look ahead, and clean ones that resemble them; notebooks cell by cell."""

import json
from pathlib import Path

import pytest

import hydra_assets
from hydra_assets.proof.lint.linter import lint, lint_source
from hydra_assets_tests.proof.test_lint import BAD, GOOD

IMPORTS = """
import itertools
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.compute as pc
import scipy.ndimage
import scipy.signal
import statsmodels.api as sm
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold, cross_val_predict, train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler
"""
AHEAD = [
    "y = x.shift(freq='-1D')",
    "y = x.shift(1, freq=pd.Timedelta(-1, 'D'))",
    "y = x.shift(periods=1, freq=-pd.offsets.BDay())",
    "y = df.groupby('k')['x'].transform('shift', -1)",
    "y = df.groupby('k')['x'].apply('shift', periods=-1)",
    "y = df.with_columns(pl.col('x').shift(-1))",
    "y = df.with_columns(pl.col('x').shift_and_fill(-1, fill_value=0))",
    "y = np.r_[x[1:], np.nan]",
    "y = np.append(x[1:], np.nan)",
    "y = np.concatenate([x[1:], [np.nan]])",
    "y = np.hstack((x[2:], np.zeros(2)))",
    "y = x[1:] + [None]",
    "y = list(x[1:]) + [None]",
    "y = [b - a for a, b in zip(x, x[1:])]",
    "y = np.diff(x, append=np.nan)",
    "y = con.sql('select lead(x) over (order by day) from t')",
    "y = con.sql('select avg(x) over (order by day rows between 2 preceding and 2 following) from t')",
    "y = con.sql('select sum(x) over (order by as_of desc) from t')",
    "y = con.sql('select lag(x, -1) over (order by day) from t')",
    "y = df.sort_values('date', ascending=False)['x'].cumsum()",
    "y = df.sort_index(ascending=False)['x'].rolling(5).mean()",
    "y = df.sort('ts', descending=True).select(pl.col('x')).cum_sum()",
    "y = np.cumsum(x[::-1])[::-1]",
    "y = np.maximum.accumulate(np.flip(x))",
    "y = list(itertools.accumulate(reversed(x)))",
    "r = x[::-1]\ny = r.rolling(3).max()",
    "y = df.groupby('k')['x'].transform(np.mean)",
    "y = df.groupby('k')['x'].transform('std')",
    "y = df.with_columns(pl.col('x') - pl.col('x').mean())",
    "y = df.with_columns((pl.col('x') - pl.col('x').mean().over('k')))",
    "y = df.with_columns(pl.col('x').mean().over('k').alias('m'))",
    "y = x - df.describe()['x']['mean']",
    "y = StandardScaler().fit_transform(X)",
    "y = StandardScaler().fit(X).transform(X)",
    "s = StandardScaler()\ns.fit(X)\ny = s.transform(X)",
    "y = model.fit(X, target).predict(X)",
    "y = np.polyval(np.polyfit(t, x, 2), t)",
    "y = np.gradient(x)",
    "y = scipy.signal.find_peaks(x)",
    "y = scipy.signal.hilbert(x)",
    "y = scipy.signal.fftconvolve(x, k, mode='same')",
    "y = kalman.smooth(x)",
    "y = UnivariateSpline(t, x)(t)",
    "y = df.resample('1D').last()",
    "y = df['x'].resample('1h', label='left').mean()",
    "y = df.group_by_dynamic('ts', every='1d').agg(pl.col('x').last())",
    "a, b = train_test_split(df)",
    "k = KFold(5, shuffle=True)",
    "k = ShuffleSplit(5)",
    "y = df.sample(frac=1)",
    "y = desk.store.vintages('HE', ['a'])",
    "y = store.get_feature_history('HE', 'a', t, t)",
    "y = con.sql(\"select * from 'lake/data_type=futures_bars/**/*.parquet'\")",
    "y = pd.merge_asof(left, right, left_on='time', right_on='as_of')",
    "y = left.merge(right, on='as_of')",
    "y = left.join_asof(right, on='as_of')",
    "y = eval('x.shift(-1)')",
    "exec(code)",
    "y = df.eval('x - x.mean()')",
    "y = x.shift(-1, freq='D')",
    "y = x.tshift(-1)",
    "y = x.shift(freq=pd.DateOffset(days=-1))",
    "y = x.shift(freq=pd.offsets.BDay(-1))",
    "y = x.shift(-pd.Timedelta('1D').days)",
    "y = df.groupby('k').shift(-1)",
    "y = df.groupby('k')['x'].agg('shift', -1)",
    "y = df['x'].transform('shift', periods=-1)",
    "y = df['x'].pipe(lambda s: s.shift(-1))",
    "y = getattr(x, 'shift')(-1)",
    "y = df.groupby('k')['x'].transform(lambda s: s.shift(-1))",
    "y = x.pct_change(periods=-5)",
    "y = pl.col('x').diff(-1)",
    "y = pl.col('x').pct_change(-1)",
    "y = df.select(pl.col('x').shift(n=-2).over('k'))",
    "y = np.concatenate((x[1:], x[-1:]))",
    "y = np.vstack([x[1:], z])",
    "y = np.pad(x[1:], (0, 1))",
    "y = pd.concat([x.iloc[1:], tail])",
    "y = x.iloc[1:].reset_index(drop=True)",
    "y = itertools.zip_longest(x, x[1:])",
    "y = np.take(x, np.arange(len(x)) + 1, mode='clip')",
    "y = x[np.minimum(np.arange(n) + 1, n - 1)]",
    "y = df.query('x > x.mean()')",
    "y = duckdb.sql('SELECT LEAD(x, 2) OVER (PARTITION BY k ORDER BY d) FROM t')",
    "y = con.sql('select avg(x) over () from t')",
    "y = con.sql('select x, max(x) over (order by d rows between current row and 5 following) from t')",
    "y = con.sql('select last_value(x) over (order by d rows between unbounded preceding and unbounded following) from t')",
    "y = df.iloc[::-1]['x'].cumsum()",
    "y = df[::-1]['x'].expanding().mean()",
    "y = x.sort_index(ascending=False).cummax()",
    "y = np.flipud(x).cumsum()",
    "y = pl.col('x').reverse().cum_sum()",
    "y = df.sort(pl.col('ts'), descending=True).with_columns(pl.col('x').rolling_mean(3))",
    "y = pl.col('x').cum_sum(reverse=True)",
    "y = np.minimum.accumulate(x[::-1])[::-1]",
    "y = df.groupby('k')['x'].transform('rank')",
    "y = x.sub(x.mean())",
    "y = x.sub(x.mean()).div(x.std())",
    "y = df.apply(lambda c: (c - c.mean()) / c.std())",
    "y = (x - np.average(x)) / np.std(x)",
    "y = scipy.stats.zscore(x)",
    "y = x.rank()",
    "y = x.sub(x.median())",
    "y = (df - df.mean()) / df.std()",
    "y = df.select(pl.col('x').rank())",
    "y = df.describe().loc['mean']",
    "y = pl.col('x').qcut(5)",
    "y = MinMaxScaler().fit_transform(df)",
    "y = PCA(2).fit_transform(X)",
    "y = sm.OLS(a, b).fit().fittedvalues",
    "y = sm.OLS(a, b).fit().resid",
    "y = scipy.signal.detrend(x)",
    "y = scipy.signal.filtfilt(b, a, x)",
    "y = scipy.signal.sosfiltfilt(s, x)",
    "y = scipy.ndimage.gaussian_filter1d(x, 2)",
    "y = scipy.ndimage.uniform_filter1d(x, 5)",
    "y = scipy.signal.medfilt(x, 5)",
    "y = sm.tsa.filters.hpfilter(x)",
    "y = sm.nonparametric.lowess(x, t)",
    "y = sm.tsa.seasonal_decompose(x)",
    "y = scipy.signal.argrelextrema(x, np.greater)",
    "y = np.fft.ifft(np.fft.fft(x) * h)",
    "y = pywt.wavedec(x, 'db1')",
    "y = CubicSpline(t, x)(s)",
    "y = scipy.interpolate.interp1d(t, x)(s)",
    "y = df.resample('1h').mean()",
    "y = df.resample('D', label='left', closed='left').ohlc()",
    "y = df.groupby(pd.Grouper(freq='D')).last()",
    "y = df.groupby(df.index.floor('D')).last()",
    "a = train_test_split(X, y, test_size=0.2)",
    "k = StratifiedKFold(5, shuffle=True)",
    "y = cross_val_predict(m, X, t)",
    "y = df.sample(frac=1.0, random_state=1)",
    "y = compile(t, 'f', 'eval')",
    "y = pd.eval('x - x.mean()')",
    "y = left.merge(right, left_on='day', right_on='as_of')",
    "y = left.join(right.set_index('as_of'))",
    "y = pd.merge(left, right, on='as_of')",
    "y = left.merge_asof(right, on='as_of')",
    "y = left.join(right, on='as_of')",
    "y = pl.read_parquet('lake/data_type=x/*.parquet')",
    "y = x.fillna(method='backfill')",
    "y = x.bfill(limit=1)",
    "y = pl.col('x').backward_fill()",
    "y = pl.col('x').interpolate()",
    "y = x.rolling(3, center=True).apply(f)",
    "y = bn.move_mean(x[::-1], 3)[::-1]",
]
# Their form alone does not say that they look ahead, or not to a small lint: `causal` sees them.
BEYOND = [
    "y = pd.Series(x[1:]).reindex(range(n))",
    "y = x.values[idx + 1]",
    "y = con.execute('select first_value(x) over (order by d desc) from t')",
    "y = pc.subtract(x, pc.mean(x))",
    "y = df.with_columns((pl.col('x') - pl.mean('x')) / pl.std('x'))",
    "y = df['x'] - df['x'].agg('mean')",
    "p = make_pipeline(StandardScaler(), m).fit_predict(X)",
    "y = sm.OLS(a, b).fit().predict(b)",
    "y = np.polynomial.Polynomial.fit(t, x, 2)(t)",
    "y = smooth.smoothed_state",
]
CLEAN = [
    "y = x.shift(freq='1D')",
    "y = df.groupby('k')['x'].transform('shift', 1)",
    "y = np.r_[np.nan, x[:-1]]",
    "y = np.append(x, 1.0)",
    "y = np.concatenate([[np.nan], x[:-1]])",
    "y = [b - a for a, b in zip(x[:-1], x[1:])]",
    "for a, b in zip(names, parts[1:]):\n    print(a, b)",
    "y = np.diff(x, prepend=np.nan)",
    "y = con.sql('select lag(x) over (order by day rows between 5 preceding and current row) from t')",
    "y = df.sort_values('date')['x'].cumsum()",
    "y = df.sort_values('date', ascending=False).drop_duplicates('k')",
    "y = df.sort_values('volume', ascending=False)['w'].cumsum()",
    "y = x[::-1][::-1].rolling(3).mean()",
    "skew = vols - vols.min()",
    "p = np.exp(x - x.max()) / np.exp(x - x.max()).sum()",
    "w = weights / weights.max()",
    "y = df.groupby('as_of')['x'].transform(np.mean)",
    "y = df.with_columns(pl.col('x') - pl.col('x').mean().over('as_of'))",
    "y = StandardScaler().fit(past).transform(today)",
    "y = model.fit(train, target).predict(test)",
    "y = x.rolling(20).apply(lambda w: np.polyfit(t, w, 1)[0])",
    "y = df.resample('1D', label='right', closed='right').last()",
    "y = df.resample('ME').last()",
    "y = df.resample('1D').last().shift(1)",
    "k = KFold(5)",
    "a, b = train_test_split(df, shuffle=False)",
    "y = df.sample(frac=0.1)",
    "y = pd.merge_asof(left, right, left_on='time', right_on='available_at')",
    "y = left.merge(right, on=['as_of', 'available_at'])",
    "y = df.eval('a + b')",
    "y = store.get_training_frame(['HE'], times)",
    "y = lead(x)",
    "y = x.shift(1).rolling(5).mean()",
    "y = x.shift(1, freq='D')",
    "y = vols - vols.min()",
    "y = np.exp(v) / np.exp(v).sum()",
    "e = np.exp(v - np.max(v))",
    "y = smile.iv - smile.iv.min()",
    "y = iv - np.nanmin(iv)",
    "y = x.expanding().mean()",
    "y = x.ewm(5).mean()",
    "y = pl.col('x').shift(1)",
    "y = pl.col('x').cum_sum()",
    "y = x[1:] - x[:-1]",
    "y = x[1:]",
    "body = lines[1:]",
    "for row in rows[1:]:\n    print(row)",
    "args = sys.argv[1:]",
    "y = np.diff(x)",
    "y = sorted(names, reverse=True)",
    "y = df.sort_values('strike', ascending=False)",
    "top = df.nlargest(5, 'x')",
    "y = np.cumsum(x)",
    "y = df.groupby('as_of')['iv'].transform('mean')",
    "y = df.groupby(['market','as_of'])['x'].rank()",
    "y = np.interp(k, strikes, ivs)",
    "m = x[-20:].mean()",
    "y = np.polyfit(x[-20:], z[-20:], 1)",
    "y = x.rolling(20).std()",
    "y = train.merge(test, on='k')",
    "y = df.resample('W', label='right').last()",
    "r = x.iloc[-1] / x.iloc[-2] - 1",
    "y = x.clip(lower=0)",
    "y = x / x.shift(1) - 1",
    "y = x.where(x > 0).ffill()",
    "y = np.where(x > 0, x, np.nan)",
    "y = w / np.sum(w)",
    "y = p / p.sum()",
    "strikes = sorted(set(s), reverse=True)",
    "parts = text.split('/')[1:]",
    "y = df.pivot(index='as_of', columns='k', values='x')",
]


def rules(text):
    return [finding.rule for finding in lint_source(IMPORTS + text)]


@pytest.mark.parametrize("text", AHEAD)
def test_an_idiom_that_looks_ahead_is_found(text):
    assert rules(text) != []


@pytest.mark.parametrize("text", CLEAN)
def test_a_clean_idiom_is_left_alone(text):
    assert rules(text) == []


@pytest.mark.parametrize("text", BEYOND)
def test_an_idiom_beyond_its_rules_is_listed_here_until_a_rule_names_it(text):
    assert rules(text) == []


def test_the_page_on_proofs_says_how_many_are_named():
    page = (Path(hydra_assets.__file__).parents[1] / "docs/pages/proofs.md").read_text(encoding="utf-8")
    idioms = [*AHEAD, *(text for texts in BAD.values() for text in texts)]
    clean = [*CLEAN, *GOOD]
    sentence = f"names {len(idioms)} of {len(idioms) + len(BEYOND)} idioms that look ahead and accuses none of {len(clean)} clean ones"
    assert sentence in " ".join(page.split())
    assert len(set(idioms)) == len(idioms)


def test_a_notebook_is_read_cell_by_cell_and_what_is_not_read_is_said(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": "y = x.shift(-1)"},
        {"cell_type": "code", "source": ["import pandas as pd\n", "%matplotlib inline\n", "n = -1\n"]},
        {"cell_type": "code", "source": "!ls\ny = x.rolling(3).mean()\nz = x.shift(n)"},
        {"cell_type": "code", "source": "def f(:"},
        {"cell_type": "code", "source": "%%bash\nls"},
    ]
    path = tmp_path / "mine.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    found = {(f.path.removeprefix(str(path)), f.line, f.rule) for f in lint(tmp_path)}
    assert found == {("#3", 3, "negative-shift"), ("#4", 1, "unreadable"), ("#5", 1, "unreadable")}
    path.write_text("{}")
    assert [f.rule for f in lint(path)] == ["unreadable"]
    (tmp_path / "mine.R").write_text("x")
    assert [f.rule for f in lint(tmp_path / "mine.R")] == ["unreadable"]
