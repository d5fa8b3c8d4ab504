"""Each decision against its formula, or against what scikit-learn and SciPy find."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss as sk_log_loss

from sensorium.errors import CapabilityError, InputError
from sensorium.fusion.decisions.calibrated import Calibrated
from sensorium.fusion.decisions.mean import Mean
from sensorium.fusion.decisions.product import FittedProduct, Product
from sensorium.fusion.decisions.selection import FittedSelection, Selection
from sensorium.fusion.decisions.stacking import FittedStacking, Stacking
from sensorium.fusion.decisions.vote import Vote
from sensorium.fusion.decisions.weights import FittedWeights, Weights
from tests.fusion.experts import experts, softmax

TARGETS = np.array([0, 1, 2])


def vote(*rows: list[float]) -> np.ndarray:
    predictions = {name: np.array([row]) for name, row in zip("abcdef", rows, strict=False)}
    return Vote().fit(predictions, np.array([0]), problem="classification")(predictions)[0]


def test_the_majority_wins_however_sure_the_others_are() -> None:
    assert vote([0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.0, 1.0, 0.0]).argmax() == 0


def test_a_tie_goes_to_the_higher_mean() -> None:
    assert vote([0.6, 0.4, 0.0], [0.1, 0.9, 0.0]).argmax() == 1
    assert vote([0.9, 0.1, 0.0], [0.4, 0.6, 0.0]).argmax() == 0


def test_who_is_torn_abstains() -> None:
    assert vote([0.45, 0.45, 0.1], [0.45, 0.45, 0.1], [0.2, 0.1, 0.7]).argmax() == 2


def test_votes_never_lose_to_the_mean() -> None:
    rng = np.random.default_rng(0)
    predictions = {name: softmax(rng.normal(size=(2000, 4)) * 9) for name in "abcde"}
    targets = rng.integers(0, 4, 2000)
    fused = Vote().fit(predictions, targets, problem="classification")(predictions)
    votes = sum(np.eye(4)[given.argmax(1)] for given in predictions.values())
    mean = sum(predictions.values()) / 5
    best = np.where(votes == votes.max(1, keepdims=True), mean, -1).argmax(1)
    assert (fused.argmax(1) == best).all()


def test_labels_are_voted_on_one_by_one() -> None:
    predictions = {"a": np.array([[0.6, 0.4]]), "b": np.array([[0.6, 0.1]]), "c": np.array([[0.0, 0.9]])}
    fused = Vote().fit(predictions, np.array([[1, 0]]), problem="multi_label")(predictions)
    assert (fused >= 0.5).tolist() == [[True, False]]


def test_amounts_are_fused_to_the_median_of_those_present() -> None:
    predictions = {"a": np.array([[1.0], [1.0]]), "b": np.array([[2.0], [np.nan]]), "c": np.array([[99.0], [2.0]])}
    decision = Vote().fit(predictions, np.array([[1.0], [2.0]]), problem="regression")
    assert decision(predictions).tolist() == [[2.0], [1.5]]


def test_the_mean_is_of_those_present() -> None:
    predictions = {"a": np.array([[0.2, 0.8], [0.2, 0.8]]), "b": np.array([[0.6, 0.4], [np.nan, np.nan]])}
    fused = Mean().fit(predictions, np.array([0, 1]), problem="classification")(predictions)
    assert np.allclose(fused, [[0.4, 0.6], [0.2, 0.8]])


@pytest.mark.parametrize("problem", ["classification", "multi_label", "regression"])
@pytest.mark.parametrize("absent", [0.0, 0.3])
def test_learned_weights_are_scipys_optimum(problem: str, absent: float) -> None:
    predictions, targets = experts(problem, absent=absent, seed=3)
    decision = Weights().fit(predictions, targets, problem=problem)  # type: ignore[arg-type]
    assert isinstance(decision, FittedWeights)
    assert sum(decision.weights) == pytest.approx(1)
    some = np.any([~np.isnan(given).any(1) for given in predictions.values()], axis=0)
    stack = np.stack([given[some] for given in predictions.values()])
    here, filled, truth = ~np.isnan(stack), np.nan_to_num(stack), targets[some]

    def loss(free: np.ndarray) -> float:
        weights = softmax(free)[:, None, None] * here
        fused = (weights * filled).sum(0) / weights.sum(0)
        if problem == "classification":
            return float(-np.log(fused[np.arange(len(truth)), truth]).mean())
        if problem == "multi_label":
            return float(-np.log(np.where(truth > 0, fused, 1 - fused)).mean())
        return float((((fused - truth) / truth.std(0)) ** 2).mean())

    best = minimize(loss, np.zeros(3), tol=1e-12)
    assert np.allclose(decision.weights, softmax(best.x), atol=5e-3)
    # Where one expert outweighs all, the order of the others matters to few rows, and is found slowly.
    assert loss(np.log(decision.weights)) <= best.fun + (1e-4 if absent else 1e-6)


def test_a_useless_expert_gets_no_weight_and_is_heard_where_it_is_alone() -> None:
    predictions, targets = experts("classification")
    predictions["c"] = np.roll(predictions["a"], 1, axis=1)
    for settings in (Weights(), Selection()):
        decision = settings.fit(predictions, targets, problem="classification")
        assert isinstance(decision, FittedWeights | FittedSelection)
        assert decision.weights[2] < 0.01
        assert np.allclose(decision({"c": predictions["c"]}), predictions["c"], atol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_product_of_independent_experts_is_bayess_posterior(k: int) -> None:
    """Each expert sees its own Gaussian sign of the class, under a prior that is not even."""
    prior, rng = np.array([0.7, 0.2, 0.1]), np.random.default_rng(0)
    targets = rng.choice(3, 4000, p=prior)
    seen = targets[:, None] + rng.normal(size=(4000, k))
    likely = norm.pdf(seen[:, :, None] - np.arange(3))
    posterior = prior * likely
    posterior /= posterior.sum(2, keepdims=True)
    predictions = {"abcd"[i]: posterior[:, i] for i in range(k)}
    expected = prior * likely.prod(1)
    expected /= expected.sum(1, keepdims=True)
    decision = Product().fit(predictions, targets, problem="classification")
    assert isinstance(decision, FittedProduct)
    assert decision.redundancy <= 0.1 or k == 1
    exact = FittedProduct(
        problem="classification", names=decision.names, prior=tuple(prior), redundancy=0.0, precisions=()
    )
    assert np.allclose(exact(predictions), expected, atol=1e-5)
    assert sk_log_loss(targets, decision(predictions)) == pytest.approx(sk_log_loss(targets, expected), abs=2e-3)


def test_the_product_of_labels_is_that_of_two_classes() -> None:
    predictions, targets = experts("multi_label", classes=1)
    two = {name: np.concatenate([1 - given, given], axis=1) for name, given in predictions.items()}
    one = Product(redundancy=0.3).fit(predictions, targets, problem="multi_label")
    other = Product(redundancy=0.3).fit(two, targets[:, 0], problem="classification")
    assert np.allclose(one(predictions)[:, 0], other(two)[:, 1], atol=1e-6)


def test_copies_are_found_to_be_redundant() -> None:
    rng = np.random.default_rng(0)
    given = softmax(rng.normal(size=(5000, 3)) * 2)
    targets = (given.cumsum(1) > rng.random((5000, 1))).argmax(1)  # Calibrated by its making.
    decision = Product().fit({"a": given, "b": given, "c": given}, targets, problem="classification")
    assert isinstance(decision, FittedProduct)
    assert decision.redundancy >= 0.9


def test_the_product_of_amounts_is_the_mean_by_precision() -> None:
    predictions, targets = experts("regression", rows=4000, classes=2)
    fused = Product().fit(predictions, targets, problem="regression")(predictions)
    weights = 1 / np.array([((given - targets) ** 2).mean(0) for given in predictions.values()])
    stack = np.stack(list(predictions.values()))
    assert np.allclose(fused, (stack * weights[:, None]).sum(0) / weights.sum(0)[None])


def test_calibrated_experts_are_each_cooled_and_then_averaged() -> None:
    predictions, targets = experts("classification", n=2, rows=500)
    predictions["b"] = softmax(5 * np.log(predictions["b"]))  # Far too sure of itself.
    decision = Calibrated().fit(predictions, targets, problem="classification")
    expected = np.zeros_like(predictions["a"])
    for given in predictions.values():
        logits = np.log(np.clip(given, 1e-12, 1))
        best = minimize_scalar(
            lambda t, z=logits: sk_log_loss(targets, softmax(z / t)), bounds=(0.05, 20), method="bounded",
            options={"xatol": 1e-9},
        )  # fmt: skip
        expected += softmax(logits / best.x) / 2
    assert np.allclose(decision(predictions), expected, atol=1e-5)


def test_stacking_two_experts_is_scikit_learns_logistic_regression() -> None:
    predictions, targets = experts("classification", n=2)
    decision = Stacking(strength=0.5).fit(predictions, targets, problem="classification")
    features = np.concatenate([np.log(given) - np.log(decision.prior) for given in predictions.values()], axis=1)
    features = np.concatenate([features, np.ones((300, 2))], axis=1)
    expected = LogisticRegression(C=0.5, max_iter=1000).fit(features, targets).predict_proba(features)
    assert np.allclose(decision(predictions), expected, atol=1e-6)


def test_stacking_many_classes_by_few_rows_finds_the_best_weight_of_each_expert() -> None:
    predictions, targets = experts("classification", n=2, classes=20, rows=400)
    decision = Stacking().fit(predictions, targets, problem="classification")
    assert isinstance(decision, FittedStacking)
    assert decision.tied
    said = np.stack([np.log(given.clip(1e-7)) - np.log(decision.prior) for given in predictions.values()], axis=2)

    def loss(weights: np.ndarray) -> float:
        fused = softmax(np.log(decision.prior) + said @ weights)
        return float(((weights - 0.5) ** 2).sum() / 2 + 400 * sk_log_loss(targets, fused, labels=range(20)))

    best = minimize(loss, np.ones(2), tol=1e-10)
    assert np.allclose(decision.models[0][0], best.x, atol=1e-4)
    fresh, truth = experts("classification", n=2, classes=20, rows=400, seed=1)
    mean = Mean().fit(predictions, targets, problem="classification")
    losses = [sk_log_loss(truth, one(fresh), labels=range(20)) for one in (decision, mean)]
    assert losses[0] < losses[1]


@pytest.mark.parametrize("classes", [2, 4])
def test_stacking_learns_what_the_mean_cannot(classes: int) -> None:
    predictions, targets = experts("classification", classes=classes, n=2, rows=1000)
    predictions["b"] = np.roll(predictions["b"], 1, axis=1)  # It means another class than it says.
    fresh, truth = experts("classification", classes=classes, n=2, rows=1000, seed=1)
    fresh["b"] = np.roll(fresh["b"], 1, axis=1)
    stack, mean = (one.fit(predictions, targets, problem="classification")(fresh) for one in (Stacking(), Mean()))
    assert (stack.argmax(1) == truth).mean() > (mean.argmax(1) == truth).mean() + 0.1


def test_stacking_amounts_is_ridge_regression() -> None:
    predictions, targets = experts("regression", n=2, classes=1)
    decision = Stacking(strength=2.0).fit(predictions, targets, problem="regression")
    spread, middle = targets.std(), targets.mean()
    features = np.concatenate([(given - middle) / spread for given in predictions.values()], axis=1)
    ridge = Ridge(alpha=0.5).fit(features, (targets - middle) / spread)
    assert np.allclose(decision(predictions), middle + spread * ridge.predict(features).reshape(-1, 1))


def test_stacking_is_calibrated_for_every_number_of_experts_present() -> None:
    predictions, targets = experts("classification", n=4, rows=2000)
    decision = Stacking().fit(predictions, targets, problem="classification")
    assert isinstance(decision, FittedStacking)
    assert decision.levels == (2, 3, 4)
    fresh, truth = experts("classification", n=4, rows=2000, seed=1)
    losses = [sk_log_loss(truth, decision({name: fresh[name] for name in "abcd"[4 - k :]})) for k in (1, 2, 3, 4)]
    assert losses == sorted(losses, reverse=True)
    mean = Mean().fit(predictions, targets, problem="classification")
    for k in (2, 3, 4):
        some = {name: fresh[name] for name in "abcd"[4 - k :]}
        assert sk_log_loss(truth, decision(some)) < sk_log_loss(truth, mean(some))


def test_stacking_heeds_all_classes_where_their_rows_take_turns() -> None:
    predictions, targets = experts("classification", n=3, rows=1200)
    order = np.argsort(targets, kind="stable")[np.arange(1200).reshape(3, 400).T.ravel()]  # Classes 0 1 2 0 1 2 ...
    turns = Stacking().fit({name: given[order] for name, given in predictions.items()}, targets[order],
                           problem="classification")  # fmt: skip
    plain = Stacking().fit(predictions, targets, problem="classification")
    fresh, truth = experts("classification", n=3, rows=1200, seed=1)
    some = {name: fresh[name] for name in "bc"}
    assert sk_log_loss(truth, turns(some)) == pytest.approx(sk_log_loss(truth, plain(some)), abs=0.02)


def test_stacking_without_rows_that_experts_share_is_the_calibrated_mean() -> None:
    predictions, targets = experts("classification", n=2)
    predictions["a"][:150], predictions["b"][150:] = np.nan, np.nan
    both, _ = experts("classification", n=2, seed=1)
    stack, mean = (one.fit(predictions, targets, problem="classification") for one in (Stacking(), Calibrated()))
    assert np.allclose(stack(both), mean(both))


@pytest.mark.parametrize("problem", ["classification", "multi_label"])
def test_stacking_copes_with_classes_and_labels_that_no_row_has(problem: str) -> None:
    predictions, targets = experts(problem, classes=3)
    targets = np.zeros_like(targets) if problem == "multi_label" else targets % 1
    fused = Stacking().fit(predictions, targets, problem=problem)(predictions)  # type: ignore[arg-type]
    assert np.isfinite(fused).all()
    assert (fused > 0).all()
    assert fused[:, 0].mean() > 0.9 if problem == "classification" else fused.mean() < 0.1


def test_selection_is_never_worse_than_the_best_expert_on_its_own_rows() -> None:
    for seed in range(5):
        predictions, targets = experts("classification", n=4, seed=seed, rows=100)
        fused = Selection().fit(predictions, targets, problem="classification")(predictions)
        assert sk_log_loss(targets, fused) <= min(sk_log_loss(targets, given) for given in predictions.values()) + 1e-9
        fused = Selection(by="accuracy").fit(predictions, targets, problem="classification")(predictions)
        best = max((given.argmax(1) == targets).mean() for given in predictions.values())
        assert (fused.argmax(1) == targets).mean() >= best


def test_selection_comes_near_the_best_weights() -> None:
    predictions, targets = experts("multi_label", rows=1000)
    bag = Selection(rounds=100).fit(predictions, targets, problem="multi_label")
    weights = Weights().fit(predictions, targets, problem="multi_label")
    assert isinstance(bag, FittedSelection)
    assert isinstance(weights, FittedWeights)
    assert np.allclose(bag.weights, weights.weights, atol=0.03)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="redundancy"):
        Product(redundancy=1.5)
    with pytest.raises(InputError, match="rounds"):
        Selection(rounds=0)
    with pytest.raises(InputError, match="strength"):
        Stacking(strength=0.0)
    predictions, targets = experts("regression")
    with pytest.raises(CapabilityError, match="no accuracy"):
        Selection(by="accuracy").fit(predictions, targets, problem="regression")
