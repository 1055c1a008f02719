"""What a merged model is: one identity per model, and another one where code that decides its scores is another."""

from cmmlib.experiments.identity import canonical_json, deciding_modules, identity
from cmmlib.experiments.rows import all_rows
from cmmlib.experiments.runs import Run, plan
from cmmlib.methods import get_method
from cmmlib.methods.sources import code_hash

from ..helpers.golden_suite import SUITE


def test_a_first_model_that_stays_as_it_is_counts_as_the_individual_one():
    first = {identity(SUITE, "tiny", run, 1) for run in plan(all_rows(4), 4, [40])}
    by_method = {model.method for model in first}
    changing = {method for method, _ in all_rows(4).values() if not get_method(method).keeps_first}
    assert by_method == {"individual", *changing} and {"task_arithmetic", "ties", "magmax", "dop_all"} <= changing


def test_a_corrected_method_does_not_reuse_scores():
    def define(gain):
        source = f"def passing(merged, task_vector, ctx, *, k: float = 1.0):\n    return merged + {gain} * task_vector\n"
        namespace = {}
        exec(compile(source, __file__, "exec"), namespace)
        return source, namespace["passing"]

    hashes = [code_hash([define(gain)[0]]) for gain in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]
    commented = define(1)[0].replace("\n    return", '\n    """Says what it does."""  # why\n    return')
    assert code_hash([commented]) == hashes[0]


def test_parameters_have_one_identity_however_they_are_written():
    runs = [Run("a", "task_arithmetic", 3, 40, params) for params in ({}, {"scaling_factor": 0.3})]
    assert identity(SUITE, "tiny", runs[0], 2) == identity(SUITE, "tiny", runs[1], 2)
    one, two = (Run("a", "magmax", 3, 40, {"scaling_factor": value}) for value in (1, 1.0))
    assert identity(SUITE, "tiny", one, 2) == identity(SUITE, "tiny", two, 2)


def test_canonical_json_has_one_spelling():
    assert canonical_json({"b": 1, "a": "α"}) == canonical_json({"a": "α", "b": 1}) == '{"a":"α","b":1}'


def test_what_reads_steps_finishes_and_scores_decides_and_what_plans_and_shows_does_not():
    modules = deciding_modules()
    packages = {module.split(".")[1] for module in modules}
    assert packages >= {"models", "merging", "evaluation"}
    assert not packages & {"methods", "cli", "bench", "analysis", "experiments"}
    for subject in (
        *("models.opening", "models.weights", "models.source", "models.architecture", "models.names"),
        *("merging.merger", "merging.parameter_step", "merging.model_step", "merging.merged"),
        *("evaluation.scorer", "evaluation.heads", "threads"),
    ):
        assert f"cmmlib.{subject}" in modules
