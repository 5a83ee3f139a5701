from __future__ import annotations

from gateway.triton.embedded import server_log

LOG = """\
2026-11-21T12:02:14Z I 1 model_lifecycle.cc:472] "loading: good:1"
2026-11-21T12:02:15Z I 1 model.py:1] "onnxruntime backend: good_0_0: Python 3.11.7, numpy 1.26.4, onnxruntime 1.31.1"
2026-11-21T12:02:15Z I 1 model_lifecycle.cc:839] "successfully loaded 'good'"
2026-11-21T12:02:15Z E 1 model_lifecycle.cc:642] "failed to load 'bad' version 1: Internal: no file"
+-------+---------+--------+
| Model | Version | Status |
+-------+---------+--------+

2026-11-21T12:02:16Z E 1 main.cc:1] "failed to start HTTP service"
"""


def test_models_are_settled_whether_they_loaded_or_not() -> None:
    assert server_log.settled_models(LOG) == {"good", "bad"}


def test_the_stub_environment_is_what_the_backend_said() -> None:
    assert server_log.stub_environment(LOG) == "Python 3.11.7, numpy 1.26.4, onnxruntime 1.31.1"
    assert server_log.stub_environment("") is None


def test_of_models_of_the_python_backend_it_is_where_they_compute() -> None:
    said = "one loaded in 41.0 s: cuda:0, torch.bfloat16, attention by sdpa"
    log = f"{LOG}INFO gateway.python_backend: {said}.\nINFO gateway.python_backend: {said.replace('one', 'two')}.\n"
    assert server_log.stub_environment(log) == f"{said}; {said.replace('one', 'two')}"


def test_last_words_leave_out_tables() -> None:
    words = server_log.last_words(LOG)
    assert words.endswith('"failed to start HTTP service"')
    assert "+--" not in words
    assert "| Model" not in words
