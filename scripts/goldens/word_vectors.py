"""Files of word vectors as gensim writes and reads them, and its ten nearest words and analogies."""

import numpy as np
from gensim.models import KeyedVectors

from fixture import versions, write_json

COUNT, DIMENSIONS, SEED = 300, 20, 20261220
ODD = ["naïve", "日本語", "🙂", "New_York", "it's", "0,5", "-", "</s>"]


def words():
    return ODD + [f"word{i}" for i in range(COUNT - len(ODD))]


def vectors():
    """In twenty clusters, so that nearest words are near; lengths differ widely."""
    random = np.random.default_rng(SEED)
    centres = random.standard_normal((20, DIMENSIONS))
    rows = centres[random.integers(0, 20, COUNT)] + 0.6 * random.standard_normal((COUNT, DIMENSIONS))
    return (rows * np.exp(random.standard_normal((COUNT, 1)))).astype(np.float32)


def near(pairs):
    return [[word, float(score)] for word, score in pairs]


def make(out):
    folder = out / "word-vectors"
    folder.mkdir(parents=True, exist_ok=True)
    keyed = KeyedVectors(DIMENSIONS)
    keyed.add_vectors(words(), vectors())
    keyed.save_word2vec_format(str(folder / "word2vec.bin"), binary=True, write_header=True)
    keyed.save_word2vec_format(str(folder / "word2vec.txt"), binary=False, write_header=True)
    keyed.save_word2vec_format(str(folder / "glove.txt"), binary=False, write_header=False)
    read = KeyedVectors.load_word2vec_format(str(folder / "word2vec.txt"), binary=False)
    assert np.array_equal(read.vectors, keyed.vectors)
    asked = ODD + ["word7", "word100"]
    triples = [("word1", "word2", "word3"), ("naïve", "日本語", "🙂"), ("word50", "word50", "word60"), ("word9", "-", "word8")]
    random = np.random.default_rng(SEED + 1)
    vector = random.standard_normal(DIMENSIONS).astype(np.float32)
    write_json(
        folder / "golden.json",
        {
            "versions": versions("gensim", "numpy"),
            "seed": SEED,
            "words": words(),
            "first": [float(value) for value in keyed.vectors[0]],
            "nearest": {word: near(keyed.most_similar(word, topn=10)) for word in asked},
            "vector": [float(value) for value in vector],
            "nearestToVector": near(keyed.similar_by_vector(vector, topn=10)),
            "analogies": [
                {"words": list(triple), "near": near(keyed.most_similar(positive=[triple[1], triple[2]], negative=[triple[0]], topn=10))}
                for triple in triples
            ],
        },
    )
