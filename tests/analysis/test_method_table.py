"""What the registry knows of a method, in Markdown."""

import pytest

import cmmlib
from cmmlib.analysis import method_facts


def test_facts_and_defaults_come_from_the_registry():
    @cmmlib.method(paper="ours")
    def pull(merged, task_vector, ctx, *, rate: float = 0.25):
        return merged + rate * task_vector

    lines = method_facts("pull", {"rate": "how far"}).splitlines()
    assert lines[0].startswith("`pull`, source <ours>: the order of the models matters;")
    assert [cell.strip() for cell in lines[-1].strip("|").split("|")] == ["`rate`", "`0.25`", "how far"]


def test_a_method_without_hyper_parameters_says_so():
    assert method_facts("weight_average", {}).endswith("It has no hyper-parameters.")


@pytest.mark.parametrize("meanings", [{}, {"scaling_factor": "λ", "more": "what it has not"}])
def test_other_hyper_parameters_than_the_method_has_are_refused(meanings):
    with pytest.raises(ValueError, match="task_arithmetic"):
        method_facts("task_arithmetic", meanings)
