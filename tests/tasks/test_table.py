"""Tasks by name: every one is there, and misprints are told."""

import inspect
import typing

import pytest

from echoic import tasks
from echoic.core.task import AbstractTask


def concrete_subclasses(cls):
    found = set()
    for sub in cls.__subclasses__():
        found |= concrete_subclasses(sub)
        if not inspect.isabstract(sub) and sub.__module__.startswith("echoic.tasks."):
            found.add(sub)
    return found


def test_every_task_that_has_options_only_is_in_the_table():
    needs_data = {cls for cls in concrete_subclasses(AbstractTask) if not hasattr(cls, "name")}
    assert concrete_subclasses(AbstractTask) - needs_data == set(tasks.TASKS.values())
    for name, task in tasks.TASKS.items():
        assert task.name == name


@pytest.mark.parametrize("name", tasks.TASKS)
def test_options_have_plain_values(name):
    for parameter in inspect.signature(tasks.TASKS[name]).parameters.values():
        kinds = typing.get_args(parameter.annotation) or (parameter.annotation,)
        assert set(kinds) & {int, float, str, bool, typing.Any}, parameter
        assert parameter.default is not inspect.Parameter.empty


def test_a_task_by_its_name():
    task = tasks.build("copy", total_length=80)
    assert isinstance(task, tasks.Copy)
    assert task.delay == 60
    assert tasks.options("adding") == {"length": 100}


def test_misprints_are_told():
    with pytest.raises(ValueError, match=r"unknown task 'copying'\. Did you mean 'copy'\?"):
        tasks.build("copying")
    with pytest.raises(ValueError, match=r"option of sine 'lenght'\. Did you mean 'length'\?"):
        tasks.build("sine", lenght=3)
    with pytest.raises(ValueError, match="delay must lie in 1"):
        tasks.build("copy", delay=0)
