"""Names and prompts of the twenty tasks."""

from __future__ import annotations

from cmmlib.suites.mini.tasks import TASKS


def test_twenty_tasks_with_names_and_prompts_of_their_own():
    assert len({task.name for task in TASKS}) == len(TASKS) == 20
    for task in TASKS:
        assert len(set(task.class_names)) == len(task.class_names) >= 6
        assert 1 <= len(task.templates) <= 4
        assert all(template.count("{}") == 1 for template in task.templates)
