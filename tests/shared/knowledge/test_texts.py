from __future__ import annotations

from pathlib import Path

import numpy as np

from shared.data.heart import TASK, read_heart
from shared.data.records import Records
from shared.knowledge.texts import texts_of
from shared.tokenise import Tokeniser
from tests.support.texts import messages, text_task, tokenizer_json


def test_texts_come_back_word_by_word(tmp_path: Path) -> None:
    file, task = tmp_path / "tokenizer.json", text_task()
    file.write_text(tokenizer_json())
    words = [text for text, _ in messages(12)]
    inputs = Tokeniser(file.read_bytes()).encode(words, max_tokens=task.max_tokens, padding=task.padding)
    found = texts_of(task, Records(inputs, np.zeros(12, np.int64)), file)
    assert [text.split() for text in found] == [text.split() for text in words]
    assert texts_of(TASK, read_heart()["cleveland"], None) == ()
