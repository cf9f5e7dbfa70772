"""Preparations: imputers, encoders, scalers, text; in front of a model, or answering with the transformed row."""

# ruff: noqa: E501  a case a line: it reads as a table

import numpy as np
import sklearn.cluster as cluster
import sklearn.covariance as cov
import sklearn.decomposition as dec
import sklearn.ensemble as ens
import sklearn.feature_extraction.text as txt
import sklearn.impute as imp
import sklearn.kernel_approximation as ka
import sklearn.linear_model as lm
import sklearn.mixture as mix
import sklearn.naive_bayes as nb
import sklearn.neighbors as nn
import sklearn.pipeline as pipe
import sklearn.preprocessing as pre
import sklearn.random_projection as rp
import sklearn.svm as svm
import sklearn.tree as tree
from sklearn.compose import make_column_transformer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  makes IterativeImputer importable

from suite.case import Case
from suite.data import documents, floats, gaps, kinds, mixed, numbers, objects, one, plain_documents, positive, words
from suite.preparing import columns, scaled


def _imputed(imputer):
    return pipe.make_pipeline(imputer, tree.DecisionTreeRegressor(max_depth=6, random_state=0))


def _text(encoder, *, impute=None):
    return columns(lm.LogisticRegression(), text=encoder if impute is None else pipe.make_pipeline(impute, encoder))


def _one_hot(**options):
    return pipe.make_pipeline(pre.OneHotEncoder(**options), lm.LogisticRegression())


def _on_text(vectorizer, estimator, name="text"):
    return pipe.make_pipeline(make_column_transformer((vectorizer, name), sparse_threshold=0), estimator)


def _log(model, frame, y):
    logged = make_column_transformer(
        (pre.FunctionTransformer(np.log1p, feature_names_out="one-to-one"), ["income", "ratio"]),
        remainder="passthrough",
    )
    return pipe.make_pipeline(logged, pre.StandardScaler(), lm.LogisticRegression()).fit(frame, y)


MOST = imp.SimpleImputer(strategy="most_frequent")

# fmt: off
imputers = [
    Case("SimpleImputer, mean", gaps, "number", lambda: _imputed(imp.SimpleImputer())),
    Case("SimpleImputer, median", gaps, "number", lambda: _imputed(imp.SimpleImputer(strategy="median"))),
    Case("SimpleImputer, constant", gaps, "number", lambda: _imputed(imp.SimpleImputer(strategy="constant", fill_value=-999))),
    Case("SimpleImputer, most frequent", gaps, "number", lambda: _imputed(imp.SimpleImputer(strategy="most_frequent"))),
    Case("SimpleImputer with an indicator", gaps, "number", lambda: _imputed(imp.SimpleImputer(add_indicator=True))),
    Case("SimpleImputer of text, constant", mixed, "two", lambda: _text(pre.OneHotEncoder(handle_unknown="ignore"), impute=imp.SimpleImputer(strategy="constant", fill_value="missing"))),
    Case("SimpleImputer of objects", objects, "two", lambda: _text(pre.OneHotEncoder(handle_unknown="ignore"), impute=imp.SimpleImputer(strategy="constant", missing_values=None, fill_value="missing"))),
    Case("KNNImputer", gaps, "number", lambda: _imputed(imp.KNNImputer(n_neighbors=3))),
    Case("IterativeImputer", gaps, "number", lambda: _imputed(imp.IterativeImputer(max_iter=3, random_state=0))),
    Case("MissingIndicator", gaps, "two", lambda: pipe.make_pipeline(imp.MissingIndicator(), nb.BernoulliNB())),
]
# fmt: on

# fmt: off
encoders = [
    Case("OneHotEncoder, ignore", words, "text", lambda: _one_hot(handle_unknown="ignore")),
    Case("OneHotEncoder, error", kinds, "text", lambda: _one_hot()),
    Case("OneHotEncoder, infrequent", words, "text", lambda: _one_hot(handle_unknown="infrequent_if_exist", min_frequency=0.1)),
    Case("OneHotEncoder, at most three", words, "two", lambda: _one_hot(handle_unknown="infrequent_if_exist", max_categories=3)),
    Case("OneHotEncoder, drop first", words, "text", lambda: _one_hot(drop="first", handle_unknown="ignore")),
    Case("OneHotEncoder, drop if binary", kinds, "text", lambda: _one_hot(drop="if_binary")),
    Case("OneHotEncoder, warn", words, "text", lambda: _one_hot(handle_unknown="warn", min_frequency=5)),
    Case("OrdinalEncoder, unknown as -1", words, "integers", lambda: pipe.make_pipeline(pre.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ens.RandomForestClassifier(10, random_state=0))),
    Case("OrdinalEncoder, missing as -2", words, "integers", lambda: pipe.make_pipeline(pre.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2), tree.DecisionTreeClassifier(random_state=0))),
    Case("OrdinalEncoder, error", kinds, "integers", lambda: pipe.make_pipeline(pre.OrdinalEncoder(), tree.DecisionTreeClassifier(random_state=0))),
    Case("OrdinalEncoder, infrequent", words, "two", lambda: pipe.make_pipeline(pre.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=99, min_frequency=30), tree.DecisionTreeClassifier(random_state=0))),
    Case("TargetEncoder", mixed, "two", lambda: _text(pre.TargetEncoder(random_state=0))),
    Case("TargetEncoder, a number", mixed, "number", lambda: columns(lm.Ridge(), text=pre.TargetEncoder(random_state=0))),
]
# fmt: on

# fmt: off
scalers = [
    Case("MinMaxScaler", numbers, "two", lambda: pipe.make_pipeline(pre.MinMaxScaler(clip=True), lm.LogisticRegression())),
    Case("MaxAbsScaler", numbers, "two", lambda: pipe.make_pipeline(pre.MaxAbsScaler(), lm.LogisticRegression())),
    Case("RobustScaler", gaps, "two", lambda: pipe.make_pipeline(pre.RobustScaler(), imp.SimpleImputer(), lm.LogisticRegression())),
    Case("Normalizer", positive, "two", lambda: pipe.make_pipeline(pre.Normalizer(), lm.LogisticRegression())),
    Case("Binarizer", floats, "two", lambda: pipe.make_pipeline(pre.Binarizer(threshold=0.3), lm.LogisticRegression())),
    Case("PowerTransformer, Yeo-Johnson", numbers, "two", lambda: pipe.make_pipeline(pre.PowerTransformer(), lm.LogisticRegression())),
    Case("PowerTransformer, Box-Cox", one, "number", lambda: pipe.make_pipeline(pre.MinMaxScaler((1, 2), clip=True), pre.PowerTransformer("box-cox"), lm.Ridge())),
    Case("QuantileTransformer", numbers, "two", lambda: pipe.make_pipeline(pre.QuantileTransformer(n_quantiles=50), lm.LogisticRegression()), slow=True),
    Case("KBinsDiscretizer, one-hot", numbers, "two", lambda: pipe.make_pipeline(pre.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), lm.LogisticRegression())),
    Case("KBinsDiscretizer, ordinal", numbers, "number", lambda: pipe.make_pipeline(pre.KBinsDiscretizer(5, encode="ordinal", strategy="uniform"), lm.Ridge())),
    Case("SplineTransformer", floats, "number", lambda: pipe.make_pipeline(pre.SplineTransformer(n_knots=4), lm.Ridge())),
    Case("PolynomialFeatures", numbers, "number", lambda: pipe.make_pipeline(pre.StandardScaler(), pre.PolynomialFeatures(2), lm.Ridge())),
    Case("FunctionTransformer, np.log1p", numbers, "text", lambda: None, fit=_log),
    Case("Nystroem", floats, "two", lambda: pipe.make_pipeline(ka.Nystroem(n_components=20, random_state=0), lm.LogisticRegression())),
    Case("RBFSampler", floats, "two", lambda: pipe.make_pipeline(ka.RBFSampler(n_components=20, random_state=0), lm.LogisticRegression())),
    Case("GaussianRandomProjection", floats, "two", lambda: pipe.make_pipeline(rp.GaussianRandomProjection(2, random_state=0), lm.LogisticRegression())),
    Case("PCA in front", numbers, "text", lambda: scaled(pipe.make_pipeline(dec.PCA(2), lm.LogisticRegression()))),
    Case("ColumnTransformer, transform", mixed, None, lambda: columns("passthrough")),
    Case("StandardScaler, transform", gaps, None, lambda: pre.StandardScaler()),
    Case("PCA, transform", numbers, None, lambda: scaled(dec.PCA(3))),
    Case("KernelPCA, transform", floats, None, lambda: dec.KernelPCA(2, kernel="rbf", random_state=0)),
    Case("TruncatedSVD, transform", numbers, None, lambda: scaled(dec.TruncatedSVD(2, random_state=0))),
    Case("NMF, transform", positive, None, lambda: dec.NMF(2, init="nndsvda", max_iter=400, random_state=0), slow=True),
    Case("FastICA, transform", floats, None, lambda: dec.FastICA(2, random_state=0)),
    Case("FactorAnalysis, transform", floats, None, lambda: dec.FactorAnalysis(2)),
    Case("LatentDirichletAllocation, transform", positive, None, lambda: dec.LatentDirichletAllocation(3, max_iter=4, random_state=0), slow=True),
]
# fmt: on

# fmt: off
texts = [
    Case("TfidfVectorizer", documents, "text", lambda: _on_text(txt.TfidfVectorizer(), lm.LogisticRegression())),
    Case("TfidfVectorizer, plain words", plain_documents, "text", lambda: _on_text(txt.TfidfVectorizer(), lm.LogisticRegression())),
    Case("TfidfVectorizer, pairs of words", documents, "two", lambda: _on_text(txt.TfidfVectorizer(ngram_range=(1, 2), min_df=2), lm.LogisticRegression()), slow=True),
    Case("TfidfVectorizer, characters", documents, "two", lambda: _on_text(txt.TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3)), svm.LinearSVC()), slow=True),
    Case("CountVectorizer", plain_documents, "integers", lambda: _on_text(txt.CountVectorizer(lowercase=False), nb.MultinomialNB())),
    Case("HashingVectorizer", documents, "two", lambda: _on_text(txt.HashingVectorizer(n_features=64), lm.LogisticRegression())),
    Case("TfidfVectorizer of a list of texts", documents, "two", lambda: pipe.make_pipeline(txt.TfidfVectorizer(), lm.LogisticRegression()), fit=lambda model, frame, y: model.fit(frame["text"].to_numpy(), y)),
]
# fmt: on

# fmt: off
unsupervised = [
    Case("KMeans", numbers, None, lambda: scaled(cluster.KMeans(4, n_init=2, random_state=0))),
    Case("KMeans, columns", mixed, None, lambda: columns(cluster.KMeans(3, n_init=2, random_state=0))),
    Case("MiniBatchKMeans", floats, None, lambda: cluster.MiniBatchKMeans(3, n_init=2, random_state=0)),
    Case("BisectingKMeans", floats, None, lambda: cluster.BisectingKMeans(3, random_state=0)),
    Case("MeanShift", floats, None, lambda: cluster.MeanShift(bandwidth=2.0), slow=True),
    Case("Birch", floats, None, lambda: cluster.Birch(n_clusters=3)),
    Case("AffinityPropagation", floats, None, lambda: cluster.AffinityPropagation(random_state=0, damping=0.9), rows=100),
    Case("GaussianMixture", floats, None, lambda: mix.GaussianMixture(3, random_state=0)),
    Case("BayesianGaussianMixture", floats, None, lambda: mix.BayesianGaussianMixture(n_components=3, random_state=0, max_iter=300)),
    Case("IsolationForest", numbers, None, lambda: ens.IsolationForest(n_estimators=20, random_state=0)),
    Case("IsolationForest, columns", mixed, None, lambda: columns(ens.IsolationForest(n_estimators=20, random_state=0))),
    Case("OneClassSVM", numbers, None, lambda: scaled(svm.OneClassSVM(nu=0.1))),
    Case("SGDOneClassSVM", floats, None, lambda: lm.SGDOneClassSVM(random_state=0)),
    Case("LocalOutlierFactor", floats, None, lambda: nn.LocalOutlierFactor(novelty=True)),
    Case("EllipticEnvelope", floats, None, lambda: cov.EllipticEnvelope(random_state=0)),
]
# fmt: on
