"""Idioms that look ahead, and clean ones that resemble them; notebooks cell by cell."""

import json

import pytest

from hydra_assets.proof.lint.linter import lint, lint_source

IMPORTS = """
import itertools
import numpy as np
import pandas as pd
import polars as pl
from sklearn.model_selection import KFold, ShuffleSplit, train_test_split
from sklearn.preprocessing import StandardScaler
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
]


def rules(text):
    return [finding.rule for finding in lint_source(IMPORTS + text)]


@pytest.mark.parametrize("text", AHEAD)
def test_an_idiom_that_looks_ahead_is_found(text):
    assert rules(text) != []


@pytest.mark.parametrize("text", CLEAN)
def test_a_clean_idiom_is_left_alone(text):
    assert rules(text) == []


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
