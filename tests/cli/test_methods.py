"""``cmm methods``: what there is, with parameters, defaults, papers and what is kept."""

import json

from cmmlib import method_names
from cmmlib.cli import main

from ..helpers.own_method import FADING, write_fading


def test_all_methods_are_listed(capsys):
    assert main(["methods", "--json"]) == 0
    found = {method["name"]: method for method in json.loads(capsys.readouterr().out)["methods"]}
    assert list(found) == method_names()
    assert found["opcm"]["parameters"] == {"alpha": 0.5, "zero_diagonal": True}
    assert all(method["paper"].startswith("https://") and method["what"] and method["keeps"] for method in found.values())


def test_ones_own_is_described_too(tmp_path, capsys):
    name = write_fading(tmp_path, text=FADING.replace("float = 0.5", "float"))
    assert main(["methods", "opcm", write_fading(tmp_path / "b"), name]) == 0
    said = capsys.readouterr().out
    assert "opcm(alpha=0.5, zero_diagonal=true)\n" in said and "keeps 1 times a linear weight\n" in said
    assert f"{tmp_path}/b/my_methods.py:fading(fade=0.5)\n  Like the weight average, but the newest" in said
    assert f"{name}(fade=null)" not in said and "fading(fade)\n" in said  # has to be given
    assert main(["methods", "opmc"]) == 2
