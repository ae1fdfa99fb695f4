"""From words to windows of sub-word ids."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from adapterkit.tasks.config import TaskConfig
from adapterkit.tasks.examples import Example, NerExample, TextExample, all_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Protocol = Literal["word", "nlpie"]

_Special = tuple[tuple[int, ...], tuple[int, ...]]

IGNORED = -100
"""Label id that no loss counts (PyTorch's ``ignore_index``)."""


@dataclass(frozen=True, slots=True)
class Window:
    """What the model reads at once: a sentence, a part of a long one, or a text.

    Attributes:
        example: Index of the example.
        input_ids: Sub-word ids, special tokens included.
        words: NER: indices of the words scored in this window; with protocol ``nlpie`` a word
            stands here once for each of its pieces. Empty for classification.
        positions: Where in ``input_ids`` each entry of ``words`` is scored: at the word's first
            piece, or with protocol ``nlpie`` at each piece.
        labels: NER: a tag id at every scored position, `IGNORED` elsewhere. Empty for
            classification.
    """

    example: int
    input_ids: tuple[int, ...]
    words: tuple[int, ...]
    positions: tuple[int, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A split as the model reads it.

    Attributes:
        windows: All windows, in the order of the examples.
        targets: Classification: label ids of each example. Empty for NER.
        truncated: Texts cut at the end (classification), or words whose last pieces were cut
            (NER); no word and no mention is ever left out.
        protocol: What is scored: the first piece of each word, or every piece.
    """

    windows: tuple[Window, ...]
    targets: tuple[tuple[int, ...], ...]
    truncated: int
    protocol: Protocol = "word"


def encode(
    task: TaskConfig,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    protocol: Protocol = "word",
) -> Encoded:
    """Encode examples for a model.

    A sentence of more than ``max_length`` pieces becomes several windows, cut between words, that
    overlap by about a quarter; each word is scored once, in the window in which the nearer edge
    is farthest from it. Texts are cut at the end.

    Args:
        task: The task.
        examples: Its examples; tags of NER examples are IOB2 (all ``O`` where none are known).
        tokenizer: A fast tokenizer.
        max_length: Sub-words a window, special tokens included.
        protocol: ``word`` scores the first piece of each word; ``nlpie`` copies a word's tag to
            all its pieces and scores each, as the NER scripts of nlpie do.

    Raises:
        ValueError: If ``max_length`` leaves no room for a word, or the tokenizer is not fast.
    """
    special = _special_ids(tokenizer)
    room = max_length - sum(map(len, special))
    if room < 2:
        raise ValueError(f"max_length {max_length} leaves no room beside the special tokens")
    if task.kind == "ner":
        sentences = all_of(NerExample, examples)
        return _encode_sentences(task, sentences, tokenizer, room, special, protocol)
    return _encode_texts(task, all_of(TextExample, examples), tokenizer, room, special)


def scored_examples(
    encoded: Encoded, examples: Sequence[NerExample], tokenizer: PreTrainedTokenizerFast
) -> tuple[NerExample, ...]:
    """Return the examples at the level at which they were encoded to be scored.

    With protocol ``word`` these are the examples themselves. With ``nlpie`` every piece stands as
    a word, with the tag of its word: what `decoding.decode_ner` predicts there.
    """
    if encoded.protocol == "word":
        return tuple(examples)
    pieces: list[list[str]] = [[] for _ in examples]
    tags: list[list[str]] = [[] for _ in examples]
    for window in encoded.windows:
        names = tokenizer.convert_ids_to_tokens([window.input_ids[p] for p in window.positions])
        pieces[window.example].extend(names)
        tags[window.example].extend(examples[window.example].tags[word] for word in window.words)
    return tuple(
        NerExample(example.id, example.document, tuple(words), tuple(names))
        for example, words, names in zip(examples, pieces, tags, strict=True)
    )


def _special_ids(tokenizer: PreTrainedTokenizerFast) -> _Special:
    """Return the special tokens that the tokenizer puts before and after a sequence."""
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError("a fast tokenizer is needed (PreTrainedTokenizerFast)")
    encoding = tokenizer([["a"]], is_split_into_words=True, add_special_tokens=True)
    ids, words = encoding["input_ids"][0], encoding.word_ids(0)
    inner = [index for index, word in enumerate(words) if word is not None]
    return tuple(ids[: inner[0]]), tuple(ids[inner[-1] + 1 :])


def _word_pieces(
    examples: Sequence[NerExample], tokenizer: PreTrainedTokenizerFast
) -> list[list[list[int]]]:
    """Return the piece ids of every word; a word that has none gets the unknown piece."""
    if not examples:
        return []
    unknown = tokenizer.unk_token_id
    batch = tokenizer(
        [list(example.words) for example in examples],
        is_split_into_words=True,
        add_special_tokens=False,
        truncation=False,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    pieces: list[list[list[int]]] = []
    for index, example in enumerate(examples):
        words: list[list[int]] = [[] for _ in example.words]
        for piece, word in zip(batch["input_ids"][index], batch.word_ids(index), strict=True):
            words[word].append(piece)
        pieces.append([word or [unknown] for word in words])
    return pieces


def _encode_sentences(
    task: TaskConfig,
    examples: Sequence[NerExample],
    tokenizer: PreTrainedTokenizerFast,
    room: int,
    special: _Special,
    protocol: Protocol,
) -> Encoded:
    ids = {tag: index for index, tag in enumerate(task.tag_names)}
    # Half the room at most, so that even the longest word keeps some context.
    limit = max(1, room // 2)
    windows: list[Window] = []
    truncated = 0
    for index, pieces in enumerate(_word_pieces(examples, tokenizer)):
        truncated += sum(len(word) > limit for word in pieces)
        short = [word[:limit] for word in pieces]
        tags = [ids[tag] for tag in examples[index].tags]
        for start, end, scored in _plan_windows([len(word) for word in short], room):
            windows.append(_window(index, short, tags, (start, end), scored, special, protocol))
    return Encoded(tuple(windows), (), truncated, protocol)


def _plan_windows(lengths: Sequence[int], room: int) -> list[tuple[int, int, range]]:
    """Cut a sentence into windows: first word, end word, and the words scored there.

    Args:
        lengths: Pieces of each word, none above ``room // 2``.
        room: Pieces a window may hold.
    """
    total, count = sum(lengths), len(lengths)
    if total <= room:
        return [(0, count, range(count))]
    offsets = [0]
    for length in lengths:
        offsets.append(offsets[-1] + length)
    bounds: list[tuple[int, int]] = []
    start = 0
    while True:
        end = _last_fitting(offsets, start, room)
        if end == count:
            # The last window reaches as far back as it can: context costs nothing there.
            while start > 0 and total - offsets[start - 1] <= room:
                start -= 1
            bounds.append((start, end))
            break
        bounds.append((start, end))
        start = end
        while offsets[end] - offsets[start - 1] <= room // 4:
            start -= 1
    cuts = [0]
    for before, after in itertools.pairwise(bounds):
        cuts.append(max(cuts[-1], _best_cut(offsets, before, after)))
    cuts.append(count)
    return [
        (start, end, range(cut, cut_after))
        for (start, end), cut, cut_after in zip(bounds, cuts, cuts[1:], strict=False)
    ]


def _last_fitting(offsets: Sequence[int], start: int, room: int) -> int:
    end = start + 1
    while end + 1 < len(offsets) and offsets[end + 1] - offsets[start] <= room:
        end += 1
    return end


def _best_cut(offsets: Sequence[int], before: tuple[int, int], after: tuple[int, int]) -> int:
    """Return the first word that ``after`` scores: the one with more context there."""
    left_edge, right_edge = offsets[after[0]], offsets[before[1]]
    for word in range(after[0], before[1]):
        if offsets[word] - left_edge >= right_edge - offsets[word + 1]:
            return word
    return before[1]


def _window(
    index: int,
    pieces: Sequence[Sequence[int]],
    tags: Sequence[int],
    bounds: tuple[int, int],
    scored: range,
    special: _Special,
    protocol: Protocol,
) -> Window:
    prefix, suffix = special
    ids = list(prefix)
    words: list[int] = []
    positions: list[int] = []
    for word in range(*bounds):
        if word in scored:
            count = 1 if protocol == "word" else len(pieces[word])
            words.extend([word] * count)
            positions.extend(range(len(ids), len(ids) + count))
        ids.extend(pieces[word])
    ids.extend(suffix)
    labels = [IGNORED] * len(ids)
    for word, position in zip(words, positions, strict=True):
        labels[position] = tags[word]
    return Window(index, tuple(ids), tuple(words), tuple(positions), tuple(labels))


def _encode_texts(
    task: TaskConfig,
    examples: Sequence[TextExample],
    tokenizer: PreTrainedTokenizerFast,
    room: int,
    special: _Special,
) -> Encoded:
    prefix, suffix = special
    if not examples:
        return Encoded((), (), 0)
    batch = tokenizer(
        [example.text for example in examples],
        add_special_tokens=False,
        truncation=False,
        padding=False,
        verbose=False,
    )["input_ids"]
    windows = tuple(
        Window(index, (*prefix, *pieces[:room], *suffix), (), (), ())
        for index, pieces in enumerate(batch)
    )
    ids = {label: index for index, label in enumerate(task.labels)}
    targets = tuple(tuple(ids[label] for label in example.labels) for example in examples)
    return Encoded(windows, targets, sum(len(pieces) > room for pieces in batch))
